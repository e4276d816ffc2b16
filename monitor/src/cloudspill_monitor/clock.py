# SPDX-License-Identifier: GPL-3.0-or-later
"""Time as the monitor sees it.

``CLOCK_BOOTTIME`` is used throughout: it never steps, and unlike ``CLOCK_MONOTONIC`` it goes on
while the machine is suspended, so that a suspend shows as the gap that it is.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from; tests pass one that they move by hand."""

    def boottime(self) -> float:
        """Seconds since boot, suspended time included."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch: for people only, never for a decision."""
        ...


class SystemClock:
    """The clock of this machine."""

    def boottime(self) -> float:
        """Seconds since boot, suspended time included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> float:
        """Seconds since the epoch."""
        return time.time()


def boot_id() -> str:
    """The kernel's identifier of this boot: process ids and boot times mean nothing across two."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
