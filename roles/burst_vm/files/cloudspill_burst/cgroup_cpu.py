# SPDX-License-Identifier: GPL-3.0-or-later
"""CPU time of units where the kernel does not count it by cgroup, as in some containers."""

from __future__ import annotations

import os
from pathlib import Path

_HIERARCHIES = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/systemd"))
_TICKS = os.sysconf("SC_CLK_TCK")


class CgroupCpu:
    """Sums up what the processes of a cgroup have used, and those that they waited for.

    What a process used that went unwaited for since the last reading is not seen.
    """

    def __init__(self) -> None:
        self._now: dict[str, float] = {}
        self._gone: dict[str, float] = {}

    def seconds(self, cgroup: str) -> float:
        """Return the CPU seconds of a cgroup so far; they never become fewer.

        Args:
            cgroup: its path, as systemd tells it.
        """
        used = sum(_used(pid) for pid in _processes(cgroup))
        before = self._now.get(cgroup, 0.0)
        self._now[cgroup] = used
        if used < before:  # whoever used it has ended
            self._gone[cgroup] = self._gone.get(cgroup, 0.0) + before - used
        return used + self._gone.get(cgroup, 0.0)


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
