# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts a keeper together, and runs it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .clock import Clock, boot_identity
from .cloud import Cloud
from .detached import detached
from .folders import Folders
from .guard import Guard
from .keeper import Keeper
from .lease import Terms
from .moves import Moves
from .run_life import RunLife
from .runs import RunStore
from .server import Server
from .units import Units
from .vigil import Vigil

_log = logging.getLogger(__name__)
_METADATA_PAUSE = 5.0


@dataclass(frozen=True)
class Settings:
    """What a VM's keeper is told.

    Attributes:
        controller: the monitor that the VM belongs to.
        lease: seconds that the VM goes on without word from it.
        initial_lease: the same, from the boot until the first word.
        tick: seconds between ticks.
    """

    controller: str
    lease: float
    initial_lease: float
    tick: float = 1.0


class BurstVm:
    """A keeper with all that it needs; made by build_keeper.

    Attributes:
        keeper, guard, server: its parts.
    """

    def __init__(
        self,
        keeper: Keeper,
        vigil: Vigil,
        guard: Guard,
        server: Server,
        cloud: Cloud,
        tick: float,
    ) -> None:
        self.keeper, self.guard, self.server = keeper, guard, server
        self._vigil = vigil
        self._cloud, self._tick = cloud, tick

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Keep until cancelled.

        Args:
            ready: called when the socket is open.
        """
        await self.keeper.recover()
        works = [
            self.guard.hold(self._vigil),
            self._vigil.finish(),
            self._vigil.watch(self._tick),
            self._wait_for_preemption(),
        ]
        running = [asyncio.ensure_future(work) for work in works]
        try:
            await self.server.open()
            ready()
            await asyncio.gather(*running)
        finally:
            for work in running:
                work.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await self.server.close()

    async def _wait_for_preemption(self) -> None:
        told = ""
        while True:
            try:
                await detached(self._cloud.wait_for_preemption)
            except OSError as error:
                if str(error) != told:
                    told = str(error)
                    _log.warning("preemption cannot be noticed now: %s", error)
                await asyncio.sleep(_METADATA_PAUSE)
            else:
                await self._vigil.evacuate()
                return


def build_keeper(
    root: Path,
    volatile: Path,
    units: Units,
    clock: Clock,
    cloud: Cloud,
    settings: Settings,
    owner: tuple[int, int] | None = None,
) -> BurstVm:
    """Put a keeper together. Call it inside a running event loop.

    Args:
        root: where what lasts is kept; made if need be.
        volatile: where its socket is, and what goes with the boot.
        units: what runs the tasks.
        clock: times.
        cloud: the cloud that the VM is in.
        settings: the VM's own.
        owner: user and group of the tasks' files, None for this process's.
    """
    folders = Folders(root, volatile)
    folders.make()
    boot = boot_identity(volatile)
    terms = Terms(settings.lease, settings.initial_lease)
    guard = Guard(root / "lease.json", terms, settings.controller, boot, clock, cloud)
    runs = RunStore(folders.runs)
    life = RunLife(folders, boot, owner, runs, units)
    keeper = Keeper(
        folders=folders,
        boot=boot,
        runs=runs,
        moves=Moves(root / "fence.json"),
        guard=guard,
        units=units,
        life=life,
    )
    vigil = Vigil(keeper, life, runs, units)
    server = Server(folders, boot, keeper, life, guard, clock.boottime, settings.tick)
    return BurstVm(keeper, vigil, guard, server, cloud, settings.tick)
