# SPDX-License-Identifier: GPL-3.0-or-later
"""The times that the keeper goes by, and which boot of the VM this is."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Where times come from."""

    def boottime(self) -> float:
        """Return seconds since some moment before the boot, suspended ones included."""

    def wall(self) -> float:
        """Return seconds since the epoch."""


class SystemClock:
    """The VM's own clocks."""

    def boottime(self) -> float:
        """Return CLOCK_BOOTTIME."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> float:
        """Return the wall clock, for those outside; nothing here goes by it."""
        return time.time()


def boot_identity(volatile: Path) -> str:
    """Return the identity of this boot: made by the first who asks in it.

    A marker in a folder that no reboot survives, since the kernel's own boot id is that of the
    host where the VM is a container.
    """
    marker = volatile / "boot"
    try:
        with marker.open("x") as file:
            file.write(uuid.uuid4().hex)
    except FileExistsError:
        pass
    known = marker.read_text()
    if not known:  # whoever made it was killed before writing
        marker.unlink()
        return boot_identity(volatile)
    return known
