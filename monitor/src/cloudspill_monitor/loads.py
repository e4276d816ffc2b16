# SPDX-License-Identifier: GPL-3.0-or-later
"""What each task uses: CPU time over wall time in a sliding window."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from cloudspill_monitor.local_task import LocalTask
from cloudspill_monitor.placement import Placement
from cloudspill_monitor.policy_types import LOCAL, SATURATED, TaskLoad
from cloudspill_monitor.procfs import ProcessStat


@dataclass(frozen=True, slots=True)
class _Reading:
    at: float
    cpu: float
    saturated: bool


@dataclass(slots=True)
class LoadMeter:
    """One task's use over the last `window` seconds.

    Raises nothing: CPU time that falls, because a process ended without being waited for, counts
    as none used.
    """

    window: float
    _readings: deque[_Reading] = field(default_factory=deque)
    threads: int = 1

    def read(self, members: Iterable[ProcessStat], leader: int, at: float, host: float) -> None:
        """Take a reading at `at` (seconds) while the machine's CPU stood at `host` percent.

        The session's leader is the monitor's own waiting shell: its thread is not the task's.
        """
        members = tuple(members)
        self.threads = max(1, sum(m.threads for m in members if m.pid != leader))
        self.add(sum(member.cpu for member in members), at, saturated=host >= SATURATED)

    def add(self, cpu: float, at: float, *, saturated: bool) -> None:
        """Take a reading at `at` (seconds): the CPU time used so far, on a machine that is full
        (`saturated`) or not. One that is no newer than the last is none.
        """
        if self._readings and at <= self._readings[-1].at:
            return
        self._readings.append(_Reading(at, cpu, saturated))
        while len(self._readings) > 2 and at - self._readings[1].at >= self.window:
            self._readings.popleft()

    @property
    def cores(self) -> float | None:
        """Mean use in cores over the window; None before there are two readings."""
        return self._rate(self._readings[0]) if len(self._readings) > 1 else None

    @property
    def latest(self) -> float:
        """Use in cores since the reading before the last one."""
        return self._rate(self._readings[-2]) if len(self._readings) > 1 else 0.0

    @property
    def squeezed(self) -> bool:
        """Whether the machine was saturated in the window, so that the task may want more."""
        return any(reading.saturated for reading in self._readings)

    def _rate(self, first: _Reading) -> float:
        last = self._readings[-1]
        passed = last.at - first.at
        return max(0.0, last.cpu - first.cpu) / passed if passed > 0 else 0.0


class LoadMeters:
    """A meter for each task that runs; a restarted task gets a new one.

    One that is away is read from outside. Until two readings came from there, what it used here
    before is what is known of it.
    """

    def __init__(self) -> None:
        self._meters: dict[str, tuple[int, LoadMeter]] = {}
        self._away: dict[str, LoadMeter] = {}
        self._before: dict[str, LoadMeter] = {}
        self._window = 0.0

    def read(self, tasks: Iterable[LocalTask], window: float, at: float, host: float) -> None:
        """Take a reading of each task at `at` (seconds), with the machine at `host` percent."""
        before, self._meters, self._window = self._meters, {}, window
        away = set()
        for task in tasks:
            name = task.config.name
            if task.phase == "away":
                away.add(name)
            if task.process is None:
                continue
            run, meter = before.get(name, (None, LoadMeter(window)))
            if run != task.process.run or meter.window != window:
                meter = LoadMeter(window)
            meter.read(task.members, task.process.pid, at, host)
            self._meters[name] = task.process.run, meter
        here = {name: meter for name, (_, meter) in before.items()}
        self._before = {
            name: meter for name, meter in {**self._before, **here}.items() if name in away
        }
        self._away = {name: meter for name, meter in self._away.items() if name in away}

    def read_away(
        self, name: str, cpu_seconds: float, at: float, saturated: bool, threads: int | None = None
    ) -> None:
        """Take a reading of a task that is away: the CPU time that its run there has used so far.

        `saturated` says whether its VM was; `threads`, if known, how many it has.
        """
        meter = self._away.get(name)
        if meter is None or meter.window != self._window:
            meter = self._away[name] = LoadMeter(self._window)
            if name in self._before:
                meter.threads = self._before[name].threads
        meter.threads = threads or meter.threads
        meter.add(cpu_seconds, at, saturated=saturated)

    def cores(self, name: str) -> float | None:
        """Cores that the task uses; None while that is not known."""
        meter = self._meter(name)
        return meter.cores if meter else None

    def elsewhere(self, placement: Placement, cores: int) -> float:
        """Percent of `cores` that local processes use whose tasks count as moved."""
        return sum(
            100.0 * meter.latest / cores
            for name, (_, meter) in self._meters.items()
            if name in placement.away
        )

    def loads(
        self, tasks: Iterable[LocalTask], placement: Placement, cores: int
    ) -> tuple[TaskLoad, ...]:
        """What the policy is told of the tasks that run, here or on a VM.

        A task that is away is where its run is; `placement` says where the others count as being.
        """
        found: list[TaskLoad] = []
        for task in tasks:
            name = task.config.name
            if task.phase == "running":
                place = placement.of(name)
            elif task.phase == "away" and task.place != LOCAL:
                place = task.place
            else:
                continue
            meter = self._meter(name) or LoadMeter(0.0)
            found.append(
                TaskLoad(
                    name,
                    place,
                    task.config.movable,
                    meter.cores,
                    ceiling=float(min(meter.threads, cores)),
                    lower_bound=meter.squeezed,
                )
            )
        return tuple(found)

    def _meter(self, name: str) -> LoadMeter | None:
        if name in self._meters:
            return self._meters[name][1]
        away = self._away.get(name)
        if away is not None and away.cores is not None:
            return away
        return self._before.get(name, away)
