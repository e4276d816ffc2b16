# SPDX-License-Identifier: GPL-3.0-or-later
"""The CPU time of playbooks: the monitor's own doing, which is no load of the machine's."""

from __future__ import annotations

from cloudspill_monitor import procfs


class PlayCpu:
    """CPU seconds of a play's whole family, as a source for the sampler (one play at a time).

    The kernel adds to a process the time of its children that were waited for, and the process
    around a play waits for every orphan of its family: what ended between two looks is not lost.
    """

    def __init__(self) -> None:
        self._process: int | None = None
        self._seen = 0.0
        self._untold = 0.0

    def begin(self, process: int) -> None:
        """A play begins; all of it descends from `process`."""
        self._process = process
        self._seen = 0.0

    def end(self, total: float | None) -> None:
        """The play has ended and used `total` seconds, if that is known."""
        self._process = None
        if total is not None:
            self._see(total)

    def delta(self) -> float:
        """CPU seconds used since the last call."""
        if self._process is not None:
            # Children first: one that ends meanwhile is counted twice at worst, and then not again.
            below = sum(stat.cpu for stat in procfs.descendants(self._process))
            around = procfs.read_stat(self._process)
            if around is not None:
                self._see(below + around.cpu)
        used, self._untold = self._untold, 0.0
        return used

    def _see(self, total: float) -> None:
        if total > self._seen:
            self._untold += total - self._seen
            self._seen = total
