# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances that end at a time: run-time limits, preemptions, the day of a preemptible VM.

When and why is read from the documents alone, so that a sandbox which was down or killed ends at
its next start what is overdue. Google takes up to 30 s longer.
https://cloud.google.com/compute/docs/instances/limit-vm-runtime,
https://cloud.google.com/compute/docs/instances/preemptible#limitations.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import documents, endings, preemption, scheduling
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.store import Store

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud

logger = logging.getLogger(__name__)

_DAY = 24 * 3600.0
_PAUSE = 5.0


@dataclass(frozen=True, slots=True)
class Ending:
    """When and why a running instance is to end.

    Attributes:
        at: seconds since the epoch.
        kind: type of the operation that ends it.
        message: what that operation says.
        deletes: whether the instance is deleted, not stopped.
    """

    at: float
    kind: str
    message: str
    deletes: bool


def ending_of(store: Store, instance: Document) -> Ending | None:
    """Return the first ending of an instance, None when none is foreseen."""
    if instance["status"] != "RUNNING":
        return None
    foreseen = []
    deletes = scheduling.deletes(instance)
    if (limit := scheduling.termination(instance)) is not None:
        kind = endings.DEFERRED_DELETE if deletes else endings.DEFERRED_STOP
        done = "deleted" if deletes else "stopped"
        message = f"Instance was {done} by Compute Engine: its run time is over."
        foreseen.append(Ending(limit, kind, message, deletes))
    preemptions = [preemption.power_button(store, instance)]
    if scheduling.is_legacy_preemptible(instance):
        preemptions.append(documents.seconds(instance["lastStartTimestamp"]) + _DAY)
    foreseen += [
        Ending(at, endings.PREEMPTED, "Instance was preempted.", deletes)
        for at in preemptions
        if at is not None
    ]
    return min(foreseen, key=lambda ending: ending.at, default=None)


class Lifetimes:
    """Ends instances when their time has come."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._foreseen: dict[str, Ending] = {}
        self._changed = asyncio.Event()

    def changed(self, name: str) -> None:
        """Read an instance anew that was written or removed; relative name."""
        instance = self._cloud.store.get(name)
        ending = ending_of(self._cloud.store, instance) if instance else None
        if ending == self._foreseen.get(name):
            return
        if ending is None:
            del self._foreseen[name]
        else:
            self._foreseen[name] = ending
        self._changed.set()

    def everything_changed(self) -> None:
        """Read every instance: the sandbox starts."""
        cloud = self._cloud
        for collection, instances in cloud.store.collections(cloud.project, "instances"):
            for key in instances:
                self.changed(f"{collection}/{key}")

    async def end_overdue(self) -> None:
        """Begin to end each instance whose time has come."""
        now = self._cloud.clock()
        overdue = [each for each in self._foreseen.items() if each[1].at <= now]
        await asyncio.gather(*(self._end(name, ending) for name, ending in overdue))

    async def run(self) -> None:
        """End instances as their times come, until cancelled."""
        while True:
            self._changed.clear()
            await self.end_overdue()
            await self._next(ending.at for ending in self._foreseen.values())

    async def _next(self, times: Iterable[float]) -> None:
        """Return at the earliest of some times, or when another may be the earliest."""
        waits = {
            asyncio.ensure_future(self._changed.wait()),
            asyncio.ensure_future(self._cloud.clock.reached(min(times, default=math.inf))),
        }
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _end(self, name: str, ending: Ending) -> None:
        """Begin one ending; what stands in its way (a full disk, a sandbox that stops) is logged.

        Then it is tried again: an instance that stays would go on costing.
        """
        logger.info("%s ends: %s", name, ending.message)
        try:
            await endings.end_by_system(
                self._cloud, name, ending.kind, ending.message, deletes=ending.deletes
            )
        except Exception:
            logger.exception("%s did not end: next try in %g s", name, _PAUSE)
            self._foreseen[name] = replace(ending, at=self._cloud.clock() + _PAUSE)
