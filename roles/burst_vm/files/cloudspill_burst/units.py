# SPDX-License-Identifier: GPL-3.0-or-later
"""What the keeper asks of whatever runs the tasks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class UnitSpec:
    """A task as a unit to start.

    Attributes:
        run: the run's number; there is one unit a run.
        command: the program, by its path, and its arguments.
        environment: all variables that it gets.
        folder: its working directory.
        log: the file that its output is appended to.
        restart: always, on-failure or never.
        stop_signal: such as SIGTERM.
        stop_grace: seconds after which whatever is left is killed.
    """

    run: int
    command: tuple[str, ...]
    environment: dict[str, str]
    folder: Path
    log: Path
    restart: str
    stop_signal: str
    stop_grace: float


@dataclass(frozen=True)
class UnitState:
    """A unit as it was seen.

    Attributes:
        pid: its main process, None while it has none.
        ended: it is over by itself and will not be restarted.
        exit_status: of its main process when it has ended; negative for a signal.
        restarts: how often it was restarted.
        cpu_seconds: CPU time of all its processes so far.
    """

    pid: int | None
    ended: bool
    exit_status: int | None
    restarts: int
    cpu_seconds: float


class Units(Protocol):
    """Runs tasks, one unit a run. Units outlive the keeper."""

    async def observe(self) -> dict[int, UnitState]:
        """Return every unit that exists, by its run's number."""

    async def start(self, spec: UnitSpec) -> None:
        """Start a unit; return when its program runs. One that exists already is left alone.

        Raises:
            Refusal: it cannot be started; the sentence says why.
        """

    async def stop(self, run: int, grace: float) -> None:
        """Stop a unit: its stop signal, then SIGKILL after a grace. Return when it is gone."""

    async def kill(self, run: int) -> None:
        """Kill all processes of a unit at once."""

    async def forget(self, run: int) -> None:
        """Drop what is still known of a unit that is over."""
