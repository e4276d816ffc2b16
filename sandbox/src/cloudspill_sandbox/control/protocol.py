# SPDX-License-Identifier: GPL-3.0-or-later
"""What the daemon says to the command that started it, line by line over a pipe."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class StartupMessage:
    """One line: progress on the way, then how it ended.

    `locked` means that another process is starting, running or stopping the sandbox.
    """

    kind: Literal["progress", "ready", "failed", "locked"]
    text: str


class StartupPipe:
    """The daemon's end; writing to a reader that has gone away is no error.

    Args:
        descriptor: file descriptor of the pipe's write end, None when nobody listens.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def send(self, message: StartupMessage) -> None:
        """Write one line; the pipe is closed after the last kind."""
        if self._descriptor is None:
            return
        try:
            os.write(self._descriptor, json.dumps(asdict(message)).encode() + b"\n")
        except BrokenPipeError:
            self._close()
        if message.kind != "progress":
            self._close()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def messages(descriptor: int) -> Iterator[StartupMessage]:
    """Yield what the daemon says until it closes its end."""
    with os.fdopen(descriptor) as lines:
        for line in lines:
            yield StartupMessage(**json.loads(line))
