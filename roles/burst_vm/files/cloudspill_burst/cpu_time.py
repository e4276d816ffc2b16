# SPDX-License-Identifier: GPL-3.0-or-later
"""CPU time of units over their restarts, and where the kernel does not count it by cgroup."""

from __future__ import annotations

import os
from pathlib import Path

_HIERARCHIES = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/systemd"))
_TICKS = os.sysconf("SC_CLK_TCK")


class CpuTime:
    """Adds up what units have used over their restarts.

    systemd's count of a unit begins anew with every start; a sum over processes becomes less when
    one ends for which nobody waited. What was used after the last reading before that is not seen,
    nor what was used before a restart that this object has not lived through.
    """

    def __init__(self) -> None:
        self._last: dict[int, tuple[str, float]] = {}
        self._gone: dict[int, float] = {}

    def seconds(self, run: int, start: str, used: float) -> float:
        """Return the CPU seconds of a run's unit so far.

        Args:
            run: whose unit it is.
            start: tells one start of the unit from another.
            used: the count of now.
        """
        last_start, last = self._last.get(run, (start, 0.0))
        self._last[run] = start, used
        lost = last if start != last_start else max(0.0, last - used)
        self._gone[run] = self._gone.get(run, 0.0) + lost
        return used + self._gone[run]

    def forget(self, run: int) -> None:
        """Count from nothing: the run is to have a new unit."""
        self._last.pop(run, None)
        self._gone.pop(run, None)


def used_by_processes(cgroup: str) -> float:
    """Return the CPU seconds of what runs in a cgroup, and of what that has waited for.

    Args:
        cgroup: its path, as systemd tells it; empty for a unit of which nothing runs.
    """
    return sum(_used(pid) for pid in _processes(cgroup)) if cgroup else 0.0


def _processes(cgroup: str) -> list[str]:
    for hierarchy in _HIERARCHIES:
        try:
            return (hierarchy / cgroup.lstrip("/") / "cgroup.procs").read_text().split()
        except OSError:
            continue
    return []


def _used(pid: str) -> float:
    try:
        fields = Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS  # proc_pid_stat(5): utime to cstime
