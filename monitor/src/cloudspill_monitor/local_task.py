# SPDX-License-Identifier: GPL-3.0-or-later
"""A task as this machine sees it: what is known of it, and how it is looked at and stopped."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cloudspill_monitor import procfs
from cloudspill_monitor.config import TaskConfig
from cloudspill_monitor.journal import Run
from cloudspill_monitor.policy_types import LOCAL
from cloudspill_monitor.procfs import ProcessStat
from cloudspill_monitor.task_process import TaskProcess

Phase = Literal["waiting", "running", "stopping", "away", "done", "failed"]

_RESTART_DELAY = 1.0  # seconds, doubled per failure in a row
_RESTART_DELAY_MOST = 60.0
_STEADY = 60.0  # a run this long (seconds) ends a row of failures


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """Something that happened to a task, in words."""

    task: str
    text: str
    failure: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """A task that was released: its last run here, if it was running, and how that ended."""

    run: int | None
    definition: str
    exit_status: int | None
    process: TaskProcess | None = field(default=None, repr=False)


@dataclass(slots=True)
class Sessions:
    """The machine's sessions, as last seen: to list all processes is most of the cost of a look."""

    _seen: dict[int, list[int]] = field(default_factory=dict)

    def refresh(self) -> None:
        """Look again."""
        self._seen = procfs.sessions()

    def of(self, leader: int, *, fresh: bool) -> list[int]:
        """The processes of a session: as last seen, unless that cannot be all of them."""
        if fresh or len(self._seen.get(leader, ())) < 2:
            self.refresh()
        return self._seen.get(leader, [])


@dataclass(slots=True)
class LocalTask:
    """A task and what is known about it. Times are seconds since boot.

    A task that is away has no process here, and is never started here. `place` is its VM; it is
    local as long as the task was released (`ended` says how it stopped) but not yet handed out.
    """

    config: TaskConfig
    phase: Phase = "waiting"
    place: str = LOCAL
    process: TaskProcess | None = None
    members: tuple[ProcessStat, ...] = ()
    since: float = 0.0
    start_at: float = 0.0
    kill_at: float = 0.0
    signalled: bool = False
    failures: int = 0
    restarts: int = 0
    exit_status: int | None = None
    successor: TaskConfig | None = None
    wanted: bool = True
    releasing: bool = False
    ended: Ended | None = None

    def look(self, process: TaskProcess, sessions: Sessions) -> bool:
        """Note the members of its session; returns whether the task is alive."""
        self.members = tuple(process.members(sessions.of(process.pid, fresh=False)))
        if process.leads(self.members):
            return True
        self.members = tuple(process.members(sessions.of(process.pid, fresh=True)))
        return False

    def ask_to_stop(self, now: float, sessions: Sessions) -> None:
        """Send the stop signal, as soon as there is somebody to take it."""
        assert self.process is not None
        self.phase = "stopping"
        self.kill_at = now + self.config.stop_grace
        self.signalled = False
        self.members = tuple(self.process.members(sessions.of(self.process.pid, fresh=True)))
        self.signal_once(self.process)

    def signal_once(self, process: TaskProcess) -> None:
        """Send the stop signal unless that was done.

        The shell may not have begun the task yet; then the signal waits for the next look.
        """
        if not self.signalled and process.begun(self.members):
            self.signalled = True
            procfs.send_signal(self.members, signal.Signals[self.config.stop_signal])

    def wait_here(self) -> None:
        """To be started at once, as its successor if it has one."""
        self.phase, self.place, self.start_at = "waiting", LOCAL, 0.0
        self.releasing, self.ended = False, None
        if self.successor is not None:
            self.config, self.successor, self.failures = self.successor, None, 0

    def delay(self, now: float, lasted: float, *, failed: bool) -> float:
        """Start nothing for a while, longer with the failures in a row; returns the seconds."""
        self.failures = (1 if lasted >= _STEADY else self.failures + 1) if failed else 0
        doublings = min(max(self.failures - 1, 0), 16)
        delay = min(_RESTART_DELAY * 2.0**doublings, _RESTART_DELAY_MOST)
        self.start_at = now + delay
        return delay


def definition(config: TaskConfig) -> str:
    """What makes a process another one when it changes."""
    return json.dumps(
        {"command": config.command, "cwd": str(config.cwd), "env": config.env}, sort_keys=True
    )


def as_defined(config: TaskConfig, kept: str) -> TaskConfig:
    """`config` with what :func:`definition` said when it was `kept`."""
    words = json.loads(kept)
    begun = {"command": tuple(words["command"]), "cwd": Path(words["cwd"]), "env": words["env"]}
    return config.model_copy(update=begun)


def over_as(last: Run, config: TaskConfig) -> Phase | None:
    """What `config` is after its run `last`, if that was all there was to do for it."""
    if last.definition != definition(config):
        return None
    if last.outcome == "completed" and config.restart != "always":
        return "done"
    return "failed" if last.outcome == "failed" and config.restart == "never" else None
