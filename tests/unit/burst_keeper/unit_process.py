# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for systemd where there is none: keeps one task as a unit, apart from the keeper.

`unit_process.py FOLDER RUN` reads FOLDER/RUN.spec, starts the task and returns when it runs; a
process of its own goes on watching it. FOLDER/RUN.state is what the unit is, as long as it exists.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

RESTART_SECONDS = 0.2


class Unit:
    """One task, restarted as it wants to be, until SIGTERM comes."""

    def __init__(self, folder: Path, run: str, spec: dict[str, Any]) -> None:
        self._state, self._spec = folder / f"{run}.state", spec
        self._child: subprocess.Popen[bytes] | None = None
        self._stopping = False

    def begin(self) -> None:
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGALRM, lambda *_: self._signal(signal.SIGKILL))
        self._launch(0)

    def keep(self) -> None:
        restarts = 0
        while True:
            assert self._child is not None
            status = self._child.wait()
            self._signal(signal.SIGKILL)  # whatever it left behind
            wanted = self._spec["restart"]
            again = wanted == "always" or (wanted == "on-failure" and status != 0)
            if not (again or self._stopping):
                self._write(pid=None, ended=True, exit_status=status, restarts=restarts)
                return
            if not self._stopping:
                self._write(pid=None, ended=False, exit_status=None, restarts=restarts)
                time.sleep(RESTART_SECONDS)
            if self._is_stopping():
                self._state.unlink()
                return
            restarts += 1
            self._launch(restarts)

    def _launch(self, restarts: int) -> None:
        with Path(self._spec["log"]).open("ab") as log:
            self._child = subprocess.Popen(
                self._spec["command"],
                cwd=self._spec["folder"],
                env=self._spec["environment"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._write(pid=self._child.pid, ended=False, exit_status=None, restarts=restarts)

    def _is_stopping(self) -> bool:
        return self._stopping  # a signal sets it

    def _stop(self, *_: object) -> None:
        self._stopping = True
        self._signal(signal.Signals[self._spec["stop_signal"]])
        signal.setitimer(signal.ITIMER_REAL, max(0.001, self._spec["stop_grace"]))

    def _signal(self, number: int) -> None:
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, number)

    def _write(self, **state: object) -> None:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        state.update(keeper=os.getpid(), cpu_seconds=used.ru_utime + used.ru_stime)
        fresh = self._state.with_suffix(".fresh")
        fresh.write_text(json.dumps(state))
        fresh.replace(self._state)


def main(folder: Path, run: str) -> int:
    lock = os.open(folder / f"{run}.lock", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0  # it runs already
    if (folder / f"{run}.state").exists():
        return 0  # it ran, and has ended
    unit = Unit(folder, run, json.loads((folder / f"{run}.spec").read_text()))
    told, tell = os.pipe()
    if os.fork():
        os.close(tell)
        why = os.read(told, 4096).decode()
        sys.stderr.write(why.removeprefix("+"))
        return 0 if why.startswith("+") else 1
    os.close(told)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    try:
        unit.begin()
    except OSError as error:
        os.write(tell, str(error).encode())
        os._exit(1)
    os.write(tell, b"+")
    os.close(tell)
    unit.keep()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
