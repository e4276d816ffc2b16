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
    """Renews a lease as long as it is entered.

    Args:
        command: what opens a stream, such as `[ssh, …, "sudo -n …/cloudspill-burst stream"]`.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._first = threading.Event()
        self.last_tick: dict[str, Any] = {}

    def __enter__(self) -> Heartbeat:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
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
        self._process.kill()
        self._process.wait()
        self._thread.join()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()

    def _beat(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            for line in self._process.stdout:
                tick = json.loads(line).get("tick")
                if tick is not None:
                    renewal = json.dumps({"renew": tick["token"]}) + "\n"
                    self._process.stdin.write(renewal.encode())
                    self._process.stdin.flush()
                    self.last_tick = tick
                    self._first.set()
