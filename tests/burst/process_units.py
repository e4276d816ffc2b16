# SPDX-License-Identifier: GPL-3.0-or-later
"""Units as plain processes, for a keeper without systemd: they outlive it as systemd's do.

Each unit is a session led by `unit_process.py`, which restarts the program as it should be and
keeps what there is to know in a file.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from cloudspill_burst.units import UnitSpec, UnitState

from cloudspill_monitor import procfs

_RUNNER = Path(__file__).with_name("unit_process.py")
_POLL = 0.01


class ProcessUnits:
    """Implements the keeper's Units; what is known of them lies in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)
        self._children: list[subprocess.Popen[bytes]] = []

    async def observe(self) -> dict[int, UnitState]:
        """Return every unit that exists, by its run's number."""
        self._children = [child for child in self._children if child.poll() is None]
        return {int(path.stem): self._state(path) for path in self._folder.glob("*.json")}

    async def start(self, spec: UnitSpec) -> None:
        """Start a unit; return when its program runs."""
        file = self._file(spec.run)
        if file.exists():
            return
        told = {
            "command": spec.command,
            "environment": spec.environment,
            "folder": str(spec.folder),
            "log": str(spec.log),
            "restart": spec.restart,
            "stop_signal": spec.stop_signal,
        }
        words = [sys.executable, "-IS", str(_RUNNER), str(file), json.dumps(told)]
        self._children.append(subprocess.Popen(words, start_new_session=True))  # noqa: ASYNC220
        while not file.exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(_POLL)

    async def stop(self, run: int, grace: float) -> None:
        """Stop a unit: its stop signal, then SIGKILL after a grace. Return when it is gone."""
        file = self._file(run)
        if not file.exists():
            return
        known = json.loads(file.read_text())
        file.with_suffix(".stop").touch()
        deadline = time.monotonic() + grace
        while members := self._members(known):
            program = [stat for stat in members if stat.pid != known["leader"]]
            if time.monotonic() >= deadline:
                _signal(members, signal.SIGKILL)
            elif not known.get("asked"):
                _signal(program, signal.Signals[known["stop_signal"]])
                known["asked"] = bool(program)
            await asyncio.sleep(_POLL)

    async def kill(self, run: int) -> None:
        """Kill all processes of a unit at once."""
        file = self._file(run)
        if file.exists():
            _signal(self._members(json.loads(file.read_text())), signal.SIGKILL)

    async def forget(self, run: int) -> None:
        """Drop what is still known of a unit that is over."""
        for suffix in (".json", ".stop"):
            self._file(run).with_suffix(suffix).unlink(missing_ok=True)

    def _file(self, run: int) -> Path:
        return self._folder / f"{run}.json"

    def _members(self, known: dict[str, Any]) -> list[procfs.ProcessStat]:
        found = procfs.live(procfs.sessions().get(known["leader"], []))
        return [stat for stat in found if stat.start_ticks >= known["ticks"]]

    def _state(self, file: Path) -> UnitState:
        known = json.loads(file.read_text())
        members = self._members(known)
        ended = not members
        status = known["exit_status"] if known["exit_status"] is not None else -signal.SIGKILL
        return UnitState(
            pid=None if ended else known["pid"],
            ended=ended,
            exit_status=status if ended else None,
            restarts=known["restarts"],
            cpu_seconds=sum(stat.cpu for stat in members),
        )


def _signal(members: list[procfs.ProcessStat], number: signal.Signals) -> None:
    for stat in members:
        with suppress(ProcessLookupError):
            os.kill(stat.pid, number)
