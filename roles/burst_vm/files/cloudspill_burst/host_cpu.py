# SPDX-License-Identifier: GPL-3.0-or-later
"""How busy this VM is."""

from __future__ import annotations

from pathlib import Path

_IDLE = (3, 4)  # idle, iowait: proc_stat(5)


class HostCpu:
    """CPU use between one reading and the next.

    Args:
        file: the kernel's counts.
    """

    def __init__(self, file: Path = Path("/proc/stat")) -> None:
        self._file = file
        self._busy, self._all = self._counts()

    def percent(self) -> float:
        """Return the share of all cores in use since the last call, 0 to 100."""
        busy, total = self._counts()
        spent, passed = busy - self._busy, total - self._all
        self._busy, self._all = busy, total
        return round(100.0 * spent / passed, 1) if passed > 0 else 0.0

    def _counts(self) -> tuple[int, int]:
        with self._file.open() as file:
            # Time of guests is counted in user time already.
            counts = [int(count) for count in file.readline().split()[1:9]]
        total = sum(counts)
        return total - sum(counts[index] for index in _IDLE), total
