# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The control socket of the monitor that has started this playbook.

One JSON object a line is asked, one is answered. An answer may take minutes: a hand-over ends a
task and waits for it.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STALE = "stale-move"
"""The kind of refusal by which the monitor says that this playbook's move is over."""


class ControlError(Exception):
    """The monitor does not answer, or refuses; `str()` is one sentence.

    Attributes:
        kind: the monitor's word for the refusal; empty where it did not answer.
    """

    def __init__(self, sentence: str, kind: str = "") -> None:
        super().__init__(f"{sentence} ({kind})" if kind else sentence)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Control:
    """One move, as the monitor knows it.

    Attributes:
        path: of the socket.
        move: the number of the move.
        timeout: seconds to wait for an answer.
    """

    path: Path
    move: int
    timeout: float

    def ask(self, what: str, **content: Any) -> dict[str, Any]:
        """Ask the monitor.

        Raises:
            ControlError: it refuses, or does not answer.
        """
        request = {"do": what, "move": self.move, **content}
        try:
            answer = self._answer(json.dumps(request).encode() + b"\n")
        except TimeoutError as error:
            raise ControlError(
                f"the monitor did not answer {what} within {self.timeout:.0f} s"
            ) from error
        except (OSError, ValueError) as error:
            raise ControlError(f"the monitor does not answer at {self.path}: {error}") from error
        if "error" in answer:
            raise ControlError(str(answer["error"]), str(answer.get("kind", "")))
        return answer

    def _answer(self, line: bytes) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(self.timeout)
            with _address(self.path) as address:
                connection.connect(address)
            connection.sendall(line)
            with connection.makefile("rb") as answers:
                answer = json.loads(answers.readline())
        if not isinstance(answer, dict):
            raise ValueError("its answer is no JSON object")  # noqa: TRY004 - of the line, not of a caller
        return answer


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """An address holds 107 characters; by way of its folder's descriptor any path fits."""
    descriptor = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)
