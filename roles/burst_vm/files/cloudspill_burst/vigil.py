# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens on this VM without being asked: runs end, the cloud takes the VM, the lease ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from pathlib import Path

from .keeper import Keeper
from .protocol import Refusal
from .run_life import RunLife
from .runs import RunStore
from .units import Units

_log = logging.getLogger(__name__)
_PREEMPTION_GRACE = 10.0
"""Seconds of a notice of 30 that tasks have; the rest is for the way home."""
_GLANCE = 0.1
"""Seconds between looks at whether the main processes are still there."""


class Vigil:
    """Watches the runs.

    Args:
        keeper: carries out what follows.
        life: knows the units as they were seen last.
        runs: the records.
        units: what runs the tasks.
    """

    def __init__(self, keeper: Keeper, life: RunLife, runs: RunStore, units: Units) -> None:
        self._keeper, self._life, self._runs, self._units = keeper, life, runs, units

    async def watch(self, tick: float) -> None:
        """Notice at once when a run ends, and once a tick how all are. Never returns."""
        loop = asyncio.get_running_loop()
        looked = loop.time()
        while True:
            await asyncio.sleep(min(_GLANCE, tick))
            pids = [seen.pid for seen in self._life.seen.values() if seen.pid]
            all_there = all(Path(f"/proc/{pid}").exists() for pid in pids)
            if all_there and loop.time() - looked < tick:
                continue
            looked = loop.time()
            await _noted(self._life.observe())
            for run in self._runs.live():
                if run.phase in ("starting", "running") and self._life.has_ended(run):
                    await _noted(self._keeper.settle(run.run))

    async def finish(self) -> None:
        """Finish the stops and archives that a dead keeper left unfinished."""
        ends = [_noted(self._keeper.end(number)) for number in self._keeper.unfinished()]
        await asyncio.gather(*ends)

    async def evacuate(self) -> None:
        """The cloud takes this VM away: stop all, so that home can fetch the checkpoints."""
        _log.warning("this VM is being preempted: stopping the tasks")
        self._keeper.preempted = True
        self._life.changed()
        await self.stop_all(_PREEMPTION_GRACE)

    async def stop_all(self, grace: float) -> None:
        """Stop all that runs; whatever is left after a grace is killed."""
        ends = [_noted(self._keeper.end(run.run, grace)) for run in self._runs.live()]
        await asyncio.gather(*ends)

    async def kill_all(self) -> None:
        """Kill all that runs, also what is just being started; return when nothing is left."""
        while running := [run for run, seen in (await self._units.observe()).items() if seen.pid]:
            await asyncio.gather(*(self._units.kill(run) for run in running))
            await asyncio.sleep(0.02)
        await self.stop_all(0.0)


async def _noted(work: Awaitable[object]) -> None:
    """Do what nobody waits for the outcome of."""
    try:
        await work
    except (Refusal, OSError) as error:
        _log.error("%s", error)
