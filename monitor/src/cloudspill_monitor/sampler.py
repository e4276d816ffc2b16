# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine's CPU and memory, less what is not its own load."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import psutil


@dataclass(frozen=True, slots=True)
class HostCpu:
    """CPU seconds of all cores since boot: in use, and in all."""

    busy: float
    total: float


@dataclass(frozen=True, slots=True)
class HostSample:
    """CPU over the last interval and memory now, in percent of the machine.

    `ignored` is the part (percent) that was measured but is not counted in `cpu`.
    """

    cpu: float
    ignored: float
    memory: float
    cores: int


class CpuDelta(Protocol):
    """CPU time that does not count as this machine's load."""

    def delta(self) -> float:
        """CPU seconds used since the last call."""
        ...


def read_host_cpu() -> HostCpu:
    """psutil's counters, in use meaning neither idle nor waiting for I/O.

    Linux counts a guest's time in `user` too (proc(5)), so it is taken out of the total once.
    """
    times = psutil.cpu_times()
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    idle = times.idle + getattr(times, "iowait", 0.0)
    return HostCpu(total - idle, total)


def read_memory() -> float:
    """Memory in use, percent."""
    return float(psutil.virtual_memory().percent)


class Sampler:
    """Samples over the time since the last one; the first reading is only a starting point."""

    def __init__(
        self,
        ignored: tuple[CpuDelta, ...] = (),
        read_cpu: Callable[[], HostCpu] = read_host_cpu,
        read_memory: Callable[[], float] = read_memory,
        cores: int | None = None,
    ) -> None:
        self._ignored = ignored
        self._read_cpu = read_cpu
        self._read_memory = read_memory
        self._cores = cores or os.cpu_count() or 1
        self._last: HostCpu | None = None

    def sample(self) -> HostSample | None:
        """CPU since the last call; None the first time, and when no time has passed."""
        now, last = self._read_cpu(), self._last
        ignored = sum(source.delta() for source in self._ignored)
        self._last = now
        if last is None or now.total <= last.total:
            return None
        passed = now.total - last.total
        # Counters of idle time may step back a little (proc(5)), hence the limits.
        busy = min(100.0, max(0.0, 100.0 * (now.busy - last.busy) / passed))
        not_ours = min(busy, 100.0 * ignored / passed)
        return HostSample(busy - not_ours, not_ours, self._read_memory(), self._cores)
