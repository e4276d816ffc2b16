# SPDX-License-Identifier: GPL-3.0-or-later
"""The keeper of a LocalVm: `local_keeper FOLDER LEASE INITIAL TICK`, seconds each."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import sys
import time
from pathlib import Path

from cloudspill_burst.assembly import Settings, build_keeper
from cloudspill_burst.clock import SystemClock

from tests.unit.burst_keeper.process_units import ProcessUnits

EFFECTS = {"os.rename", "os.remove", "os.rmdir", "subprocess.Popen"}
CONTROLLER = "c0ffee00"


class FolderCloud:
    """Implements Cloud with files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def publish_lease(self, value: str) -> None:
        fresh = self._folder / "lease.json.new"
        fresh.write_text(value)
        fresh.replace(self._folder / "lease.json")

    def delete_self(self) -> None:
        if (self._folder / "deny-delete").exists():
            raise PermissionError("compute.instances.delete is denied")
        (self._folder / "deleted").touch()

    def wait_for_preemption(self) -> None:
        while not (self._folder / "preempt").exists():
            time.sleep(0.02)


async def keep(folder: Path, lease: float, initial: float, tick: float) -> None:
    """Keep until SIGTERM."""
    vm = build_keeper(
        folder / "disk",
        folder / "volatile",
        ProcessUnits(folder / "volatile" / "units"),
        SystemClock(),
        FolderCloud(folder),
        Settings(CONTROLLER, lease, initial, tick),
    )
    keeping = asyncio.ensure_future(vm.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, keeping.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await keeping


def die_at(folder: Path) -> None:
    """Be killed just before the so-and-so-many-th effect, once FOLDER/kill-at says which.

    Effects are what a next keeper can see: names of files replaced or removed, and programs
    started; those of the lease, which go by time, are not counted.
    """
    effects = itertools.count(1)

    def before(event: str, arguments: tuple[object, ...]) -> None:
        if event not in EFFECTS or "lease.json" in str(arguments[0]):
            return
        with contextlib.suppress(FileNotFoundError):
            if next(effects) == int((folder / "kill-at").read_text()):
                os.kill(os.getpid(), signal.SIGKILL)

    if (folder / "kill-at").exists():
        sys.addaudithook(before)


if __name__ == "__main__":
    die_at(Path(sys.argv[1]))
    asyncio.run(keep(Path(sys.argv[1]), *map(float, sys.argv[2:])))
