# SPDX-License-Identifier: GPL-3.0-or-later
"""What each task uses: CPU time over wall time in a sliding window."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from cloudspill_monitor.placement import Placement
from cloudspill_monitor.policy_types import SATURATED, TaskLoad
from cloudspill_monitor.procfs import ProcessStat
from cloudspill_monitor.workload import LocalTask


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
        cpu = sum(member.cpu for member in members)
        self.threads = max(1, sum(m.threads for m in members if m.pid != leader))
        self._readings.append(_Reading(at, cpu, host >= SATURATED))
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
    """A meter for each local task that runs; a restarted task gets a new one."""

    def __init__(self) -> None:
        self._meters: dict[str, tuple[int, LoadMeter]] = {}

    def read(self, tasks: Iterable[LocalTask], window: float, at: float, host: float) -> None:
        """Take a reading of each task at `at` (seconds), with the machine at `host` percent."""
        before, self._meters = self._meters, {}
        for task in tasks:
            if task.process is None:
                continue
            run, meter = before.get(task.config.name, (None, LoadMeter(window)))
            if run != task.process.run or meter.window != window:
                meter = LoadMeter(window)
            meter.read(task.members, task.process.pid, at, host)
            self._meters[task.config.name] = task.process.run, meter

    def cores(self, name: str) -> float | None:
        """Cores that the task uses; None while that is not known."""
        known = self._meters.get(name)
        return known[1].cores if known else None

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
        """What the policy is told of the tasks that run."""
        return tuple(
            TaskLoad(
                task.config.name,
                placement.of(task.config.name),
                task.config.movable,
                meter.cores,
                ceiling=float(min(meter.threads, cores)),
                lower_bound=meter.squeezed,
            )
            for task in tasks
            if task.phase == "running"
            for _, meter in [self._meters.get(task.config.name, (0, LoadMeter(0.0)))]
        )
