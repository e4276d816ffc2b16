# SPDX-License-Identifier: GPL-3.0-or-later
"""A monitor's heart and nothing more: keeps a VM's lease alive by echoing its tokens."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any


class Heartbeat:
    """Renews a lease as long as it is entered; connects again when the stream breaks.

    Args:
        command: what opens a stream, such as `[ssh, …, "sudo -n …/cloudspill-burst stream"]`.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._first = threading.Event()
        self._ending = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self.last_tick: dict[str, Any] = {}

    def __enter__(self) -> Heartbeat:
        self._thread = threading.Thread(target=self._beat)
        self._thread.start()
        if not self._first.wait(60):
            self.__exit__(None, None, None)
            raise AssertionError(f"no tick within a minute: {self._command}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ending.set()
        while self._thread.is_alive():
            if self._process is not None:
                self._process.kill()
            self._thread.join(0.1)

    def _beat(self) -> None:
        while not self._ending.wait(0.05):
            with (
                contextlib.suppress(OSError),
                subprocess.Popen(
                    self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
                ) as self._process,
            ):
                try:
                    self._echo(self._process)
                finally:
                    self._process.kill()

    def _echo(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in process.stdout:
            tick = json.loads(line).get("tick")
            if tick is not None:
                renewal = json.dumps({"renew": tick["token"]}) + "\n"
                process.stdin.write(renewal.encode())
                process.stdin.flush()
                self.last_tick = tick
                self._first.set()
