# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances that end at a time: run-time limits, preemptions, the day of a preemptible VM.

When and why is read from the documents alone, so that a sandbox which was down or killed ends at
its next start what is overdue. Google takes up to 30 s longer.
https://cloud.google.com/compute/docs/instances/limit-vm-runtime,
https://cloud.google.com/compute/docs/instances/preemptible#limitations.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import documents, endings, names, preemption, scheduling
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.errors import ApiError
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
        self._ending: set[str] = set()
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
        for collection, instances in cloud.store.collections(names.EVERY_PROJECT, "instances"):
            for key in instances:
                self.changed(f"{collection}/{key}")

    async def end_overdue(self) -> None:
        """Begin to end each instance whose time has come."""
        await asyncio.gather(*(self._begin(name, ending) for name, ending in self._overdue()))

    async def run(self) -> None:
        """End instances as their times come, until cancelled."""
        async with asyncio.TaskGroup() as courses:
            while True:
                self._changed.clear()
                for name, ending in self._overdue():
                    self._ending.add(name)
                    courses.create_task(self._end(name, ending))
                times = (each.at for name, each in self._foreseen.items() if self._is_free(name))
                await self._cloud.clock.reached(min(times, default=math.inf), self._changed)

    def _overdue(self) -> list[tuple[str, Ending]]:
        now = self._cloud.clock()
        foreseen = self._foreseen.items()
        return [each for each in foreseen if each[1].at <= now and self._is_free(each[0])]

    def _is_free(self, name: str) -> bool:
        """Whether nothing is being done to end an instance."""
        return name not in self._ending

    async def _end(self, name: str, ending: Ending) -> None:
        """End an instance; one that stays would go on costing, so it is tried again."""
        if operation := await self._begin(name, ending):
            with contextlib.suppress(ApiError):  # a client may have deleted it meanwhile
                await self._cloud.operations.wait(operation)
        if name in self._foreseen:
            logger.error("%s did not end: next try in %g s", name, _PAUSE)
            await self._cloud.clock.reached(self._cloud.clock() + _PAUSE)
        self._ending.discard(name)
        self._changed.set()

    async def _begin(self, name: str, ending: Ending) -> str | None:
        """Begin one ending; what stands in its way (a full disk) is logged.

        Returns:
            The operation's name, None when there is none.
        """
        logger.info("%s ends: %s", name, ending.message)
        try:
            return await endings.end_by_system(
                self._cloud, name, ending.kind, ending.message, deletes=ending.deletes
            )
        except Exception:
            logger.exception("%s could not be ended", name)
            return None
