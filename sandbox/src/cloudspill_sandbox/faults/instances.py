# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of instances: each is done to the running instances that it means.

A fault strikes each boot of an instance at most once. What goes on afterwards (a cut, a full disk)
ends after its time, when the fault is cleared, or when the instance goes off.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Set

from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.faults.fault import Fault, Firing
from cloudspill_sandbox.faults.interface import Instances, RunningInstance, Side
from cloudspill_sandbox.faults.kinds import Scope
from cloudspill_sandbox.faults.registry import Faults

_FAILURES = (ApiError, RuntimeError, LookupError, OSError)

_log = logging.getLogger("cloudspill_sandbox.faults")


class InstanceFaults:
    """Lets the faults of instances strike."""

    def __init__(self, faults: Faults, instances: Instances) -> None:
        self._faults = faults
        self._instances = instances
        self._struck: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._off: dict[str, asyncio.Event] = {}
        self._one_by_one = asyncio.Lock()

    def start(self) -> None:
        """Go on with what an earlier life of the sandbox began, and look from now on."""
        running = {instance.boot for instance in self._instances.running()}
        self._off = {boot: asyncio.Event() for boot in running}
        for fault in self._faults:
            if fault.kind.scope is Scope.INSTANCE:
                for firing in fault.firings:
                    self._struck[fault.id, firing.boot] = asyncio.ensure_future(
                        self._go_on(fault, firing)
                    )
        self._faults.on_change = self._look
        self._look()

    async def stop(self) -> None:
        """Begin and end nothing any more; what goes on is taken up at the next start."""
        self._faults.on_change = lambda: None
        for course in self._struck.values():
            course.cancel()
        await asyncio.gather(*self._struck.values(), return_exceptions=True)

    async def settled(self, identities: Iterable[str]) -> None:
        """Return when nothing goes on any more of these faults, which were cleared."""
        cleared = frozenset(identities)
        gone = [pair for pair in self._struck if pair[0] in cleared]
        await asyncio.gather(*(self._struck.pop(pair) for pair in gone))

    def _look(self) -> None:
        """Begin what is due for those that run, and end what was meant for those that do not."""
        faults = [
            fault
            for fault in self._faults
            if fault.kind.scope is Scope.INSTANCE and fault.state != "spent"
        ]
        if not faults:
            return
        running = {instance.boot: instance for instance in self._instances.running()}
        self._note_off(self._off.keys() - running.keys())
        for boot in running:
            self._off.setdefault(boot, asyncio.Event())
        for fault in faults:
            if fault.armed and fault.kind.name != "boot-failure":
                for instance in running.values():
                    if (fault.id, instance.boot) not in self._struck and _means(fault, instance):
                        self._struck[fault.id, instance.boot] = asyncio.ensure_future(
                            self._strike(fault, instance, self._off[instance.boot])
                        )

    def _note_off(self, boots: Set[str]) -> None:
        """End what was meant for boots that are over, and forget what had ended before."""
        for boot in boots:
            self._off.pop(boot).set()
        if boots:
            courses = self._struck.items()
            self._struck = {
                pair: course
                for pair, course in courses
                if pair[1] in self._off or not course.done()
            }

    async def _strike(self, armed: Fault, instance: RunningInstance, off: asyncio.Event) -> None:
        if armed.order.after:
            due = max(armed.created, instance.since) + armed.order.after
            await self._faults.until(armed.id, due, off)
        async with self._one_by_one:  # the next one may find that the count is used up
            fault = self._faults.get(armed.id)
            if fault is None or not fault.armed or off.is_set():
                return
            problem = ""
            try:
                await self._do(fault, instance.name)
            except _FAILURES as error:
                _log.error("%s could not strike %s: %s", fault.id, instance.name, error)
                problem = str(error)
            firing = self._faults.strike(
                fault,
                "run",
                instance.name,
                boot=instance.boot,
                lasts=fault.kind.lasts and not problem,
                problem=problem,
            )
        await self._outlast(fault, firing, off)

    async def _go_on(self, fault: Fault, firing: Firing) -> None:
        """Take up what an earlier life of the sandbox began."""
        if firing.ended is not None:
            return
        off = self._off.get(firing.boot)
        if off is None:  # it went off meanwhile
            off = asyncio.Event()
            off.set()
        else:
            try:
                await self._do(fault, firing.target)
            except _FAILURES as error:
                _log.error("%s does not go on for %s: %s", fault.id, firing.target, error)
        await self._outlast(fault, firing, off)

    async def _outlast(self, fault: Fault, firing: Firing, off: asyncio.Event) -> None:
        """Undo what goes on when its time is over; nothing for what does not go on."""
        if firing.ended is not None:
            return
        await self._faults.until(fault.id, firing.until, off)
        async with self._one_by_one:
            try:
                await self._undo(fault, firing.target)
            except _FAILURES as error:
                _log.error("%s could not be undone on %s: %s", fault.id, firing.target, error)
                self._faults.change(fault.id, firing.number, problem=str(error))
            self._faults.end(fault.id, firing.number)

    async def _do(self, fault: Fault, instance: str) -> None:
        match fault.kind.name:
            case "preemption":
                await self._instances.preempt(instance)
            case "crash":
                await self._instances.crash(instance)
            case "network-cut":
                cuts = [fault, *self._others(fault, instance)]
                await self._instances.cut(instance, _sides(cuts))
            case "disk-full":
                await self._instances.fill_disk(instance)

    async def _undo(self, fault: Fault, instance: str) -> None:
        others = self._others(fault, instance)
        if fault.kind.name == "network-cut":
            await self._instances.cut(instance, _sides(others))
        elif not others:
            await self._instances.empty_disk(instance)

    def _others(self, fault: Fault, instance: str) -> list[Fault]:
        """Return the other faults of a kind that go on for an instance."""
        return [
            other
            for other in self._faults
            if other.id != fault.id
            and other.kind is fault.kind
            and any(firing.target == instance for firing in other.active)
        ]


def _sides(cuts: Iterable[Fault]) -> frozenset[Side]:
    """Return all that some network-cuts cut an instance from."""
    return frozenset[Side]().union(*(cut.order.sides for cut in cuts))


def _means(fault: Fault, instance: RunningInstance) -> bool:
    if instance.stopping or (fault.kind.name == "preemption" and not instance.spot):
        return False
    segments = instance.name.split("/")
    return fault.hits(frozenset({segments[-1]}), segments[3])
