# SPDX-License-Identifier: GPL-3.0-or-later
"""One VM of this monitor: what its stream last said, and what may be believed of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloudspill_monitor.burst.frames import GuestRun, Tick
from cloudspill_monitor.burst.link import LinkError, VmLink
from cloudspill_monitor.burst.remote_logs import RemoteLog
from cloudspill_monitor.burst.settlement import VmState
from cloudspill_monitor.clock import Clock
from cloudspill_monitor.console import Reporter
from cloudspill_monitor.executor import AwayLoad
from cloudspill_monitor.journal import Run, Vm
from cloudspill_monitor.policy_types import SATURATED

_OVER_SOON = 0.1  # of max_lifetime, at most _OVER_SOON_MOST: from then on a VM takes no tasks
_OVER_SOON_MOST = 300.0  # seconds


@dataclass(slots=True)
class BurstVm:
    """A VM that is up, or was. `changed` is set whenever there may be something to do about it;
    `runs` is what it said last, if it was `heard` since the stream came about; Google ends it at
    `expires_at` (seconds since boot). `fenced`: its lease is over, and nothing runs there any more.
    `pulled_at`, `fetch_at` and `retire_at` have when something was or will be done next, by run;
    `releasing` the runs that it is about to forget. While it is `leaving` it is to be deleted.
    """

    record: Vm
    expires_at: float
    clock: Clock
    reporter: Reporter
    log_path: Callable[[Run], Path]
    leaving: Callable[[], bool] = lambda: False
    link: VmLink | None = None
    runs: Mapping[int, GuestRun] = field(default_factory=dict)
    host_cpu: float = 0.0
    heard_at: float = 0.0
    heard: bool = False
    fenced: bool = False
    fenced_move: int = 0
    preempted: bool = False
    gone: bool = False
    idle_since: float | None = None
    pulled_at: dict[int, float] = field(default_factory=dict)
    fetch_at: dict[int, float] = field(default_factory=dict)
    retire_at: float = 0.0
    releasing: set[int] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _followed: dict[int, RemoteLog] = field(default_factory=dict)
    _tasks: dict[int, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name."""
        return self.record.vm

    @property
    def connected(self) -> bool:
        """Whether it can be asked."""
        return self.link is not None and self.link.connected

    @property
    def state(self) -> VmState:
        """What may be believed of it now."""
        over_at = self.link.lease_over_at() if self.link is not None else None
        over = over_at is not None and self.clock.boottime() >= over_at and not self.connected
        return VmState(self.connected, self.gone or self.fenced or over, self.fenced_move)

    def over_soon(self, now: float) -> bool:
        """Whether its life is nearly over, so that tasks must leave."""
        spare = min(_OVER_SOON * self.record.max_lifetime, _OVER_SOON_MOST)
        return now >= self.expires_at - spare

    def takes_tasks(self, now: float) -> bool:
        """Whether tasks can be sent to it."""
        spent = self.fenced or self.preempted or self.gone or self.over_soon(now)
        return self.record.state == "up" and self.connected and not spent

    def open(self, make_link: Callable[[BurstVm], VmLink]) -> None:
        """Connect, and stay connected."""
        if self.link is None:
            self.link = make_link(self)
            self.link.start()

    async def close(self) -> None:
        """Let the stream go."""
        if self.link is not None:
            await self.link.stop()

    def lease_left(self, now: float) -> float | None:
        """Seconds until its tasks are certainly ended, if it hears nothing more."""
        over_at = self.link.lease_over_at() if self.link is not None else None
        return None if over_at is None else max(0.0, over_at - now)

    def loads(self) -> tuple[AwayLoad, ...]:
        """What the tasks that run there have used, as last heard."""
        return tuple(
            AwayLoad(
                run["task"],
                run.get("cpu_seconds") or 0.0,
                self.heard_at,
                self.host_cpu >= SATURATED,
            )
            for run in self.runs.values()
            if run["state"] == "running"
        )

    def on_tick(self, tick: Tick) -> None:
        """The stream's listener: the state of all runs."""
        before = {number: run["state"] for number, run in self.runs.items()} if self.heard else None
        self.runs, self.heard = {run["run"]: run for run in tick["runs"]}, True
        self.host_cpu, self.heard_at = float(tick["cpu"]), self.clock.boottime()
        preempted = bool(tick["preempted"])
        if preempted and not self.preempted:
            self.reporter.error(f"{self.name} is being preempted: its tasks come home")
        # It says so from when it begins to kill: what it runs at that instant is not dead yet.
        fenced = bool(tick["fenced"]) and all(run["state"] != "running" for run in tick["runs"])
        news = preempted != self.preempted or fenced != self.fenced
        self.preempted, self.fenced = preempted, fenced
        if news or before != {number: run["state"] for number, run in self.runs.items()}:
            self.changed.set()

    def on_connected(self) -> None:
        """The stream's listener: it can be asked (again)."""
        self.runs, self.heard = {}, False
        self.changed.set()

    def on_lost(self, why: str) -> None:
        """The stream's listener: it cannot be asked for now."""
        # Its deletion ends the stream, and is told; a VM where tasks still run is lost.
        orderly = self.gone or (self.leaving() and not self.loads())
        self.runs, self.heard = {}, False
        if not orderly:
            self.reporter.notice(f"{self.name} does not answer: {why}")
        self.changed.set()

    def on_log(self, run: int, lines: list[str]) -> None:
        """The stream's listener: a task there wrote lines."""
        task = self._tasks.get(run, f"run {run}")
        for line in lines:
            self.reporter.log(task, line, self.name)

    def follow(self, run: Run) -> None:
        """Bring home what the run writes, from what is here already on."""
        if self.link is not None and run.run not in self._followed:
            log = RemoteLog(self.log_path(run), self.reporter.error)
            self._followed[run.run], self._tasks[run.run] = log, run.task
            self.link.follow(run.run, log)

    async def ask(self, what: str, **fields: Any) -> dict[str, Any]:
        """Ask the keeper. Raises LinkError."""
        if self.link is None:
            raise LinkError("lost", f"there is no connection to {self.name}")
        return await self.link.request(what, timeout=30.0, **fields)

    async def fence(self, move: int) -> None:
        """Late messages of moves up to `move` do nothing any more. Raises LinkError."""
        status = await self.ask("fence", move=move)
        self.fenced_move = int(status["fenced_move"])
        self.runs, self.heard = {run["run"]: run for run in status["runs"]}, True

    def unfollow(self, run: int) -> None:
        """Nothing more is wanted of the run's log."""
        if self._followed.pop(run, None) is not None and self.link is not None:
            self.link.unfollow(run)
            del self._tasks[run]
