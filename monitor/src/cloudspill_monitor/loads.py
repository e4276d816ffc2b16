# SPDX-License-Identifier: GPL-3.0-or-later
"""What each task uses: CPU time over wall time in a sliding window."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from cloudspill_monitor.policy_types import SATURATED
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
        cpu = sum(member.cpu for member in members)
        self.threads = max(1, sum(m.threads for m in members if m.pid != leader))
        self._readings.append(_Reading(at, cpu, host >= SATURATED))
        while len(self._readings) > 2 and at - self._readings[1].at >= self.window:
            self._readings.popleft()

    def clear(self) -> None:
        """Forget everything: the task is another process now."""
        self._readings.clear()

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
