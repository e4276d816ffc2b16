# SPDX-License-Identifier: GPL-3.0-or-later
"""Units as plain processes: they outlive the keeper, as systemd's do, and need no root."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from cloudspill_burst.protocol import Refusal
from cloudspill_burst.units import UnitSpec, UnitState

_SUPERVISOR = Path(__file__).with_name("unit_process.py")
_TICKS = os.sysconf("SC_CLK_TCK")


class ProcessUnits:
    """Implements Units.

    Args:
        folder: where the units are known; one that no "reboot" of a test survives.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    async def observe(self) -> dict[int, UnitState]:
        """Read what the supervisors wrote."""
        units = {}
        for path in self._folder.glob("*.state"):
            state = self._read(int(path.stem))
            if state is not None:
                cpu = state["cpu_seconds"] + _cpu_seconds(state["pid"])
                shown = {name: state[name] for name in ("pid", "ended", "exit_status", "restarts")}
                units[int(path.stem)] = UnitState(**shown, cpu_seconds=cpu)
        return units

    async def start(self, spec: UnitSpec) -> None:
        """Start a supervisor, which starts the task."""
        document = json.dumps(dataclasses.asdict(spec), default=str)
        (self._folder / f"{spec.run}.spec").write_text(document)
        supervisor = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(_SUPERVISOR), str(self._folder), str(spec.run)),
            stderr=asyncio.subprocess.PIPE,
        )
        _, why = await supervisor.communicate()
        if supervisor.returncode:
            raise Refusal("failed", f"{spec.command[0]} does not start: {why.decode()}")

    async def stop(self, run: int, grace: float) -> None:
        """Ask the supervisor to stop it; kill after the grace."""
        loop = asyncio.get_running_loop()
        until = loop.time() + grace
        state = self._read(run)
        if state is not None and not state["ended"]:
            _send(state["keeper"], signal.SIGTERM)
            while (self._folder / f"{run}.state").exists():
                if loop.time() >= until:
                    await self.kill(run)
                await asyncio.sleep(0.005)
        await self.forget(run)

    async def kill(self, run: int) -> None:
        """Have the supervisor not restart it, and kill its processes."""
        state = self._read(run)
        if state is not None and not state["ended"]:
            _send(state["keeper"], signal.SIGTERM)
            if state["pid"]:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(state["pid"], signal.SIGKILL)

    async def forget(self, run: int) -> None:
        """Remove its state."""
        (self._folder / f"{run}.state").unlink(missing_ok=True)

    def end_everything(self) -> None:
        """Kill all units and their supervisors: the machine is gone."""
        for path in list(self._folder.glob("*.state")):
            state = self._read(int(path.stem))
            if state is not None and not state["ended"]:
                _send(state["keeper"], signal.SIGKILL)
                if state["pid"]:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(state["pid"], signal.SIGKILL)
            path.unlink(missing_ok=True)

    def _read(self, run: int) -> dict[str, Any] | None:
        try:
            state: dict[str, Any] = json.loads((self._folder / f"{run}.state").read_text())
        except FileNotFoundError:
            return None
        return state


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _cpu_seconds(pid: int | None) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS
