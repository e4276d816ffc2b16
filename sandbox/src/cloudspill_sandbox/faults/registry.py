# SPDX-License-Identifier: GPL-3.0-or-later
"""Every fault of a sandbox: added, struck, cleared, and waited for.

Faults are kept in the store, so that they outlive a restart; `reset` forgets them with the rest.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

from cloudspill_sandbox.engine.clock import Clock
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.faults.fault import Fault, Firing
from cloudspill_sandbox.faults.kinds import Scope
from cloudspill_sandbox.faults.order import parse

_COLLECTION = "sandbox/faults"

_log = logging.getLogger("cloudspill_sandbox.faults")


class Faults:
    """All faults, in the order in which they were added.

    Attributes:
        calls_armed: whether any fault may strike a call.
        methods: discovery ids of what the sandbox implements; an order may name no other.
        on_change: called after any of them changed.

    Args:
        clock: the cloud's time; waits end by it.
        zones: names of all zones; an order may name no other.
    """

    def __init__(self, store: Store, clock: Clock, zones: Iterable[str] = ()) -> None:
        self._store = store
        self._clock = clock
        documents = store.children(_COLLECTION)
        self._faults = {key: Fault.kept(key, document) for key, document in documents.items()}
        numbers = (int(key.rpartition("-")[2]) for key in self._faults)
        self._last_number = max(numbers, default=0)
        self._gone = {key: asyncio.Event() for key in self._faults}
        self._changed = asyncio.Event()
        self._ended = False
        self.calls_armed = self._any_for_calls()
        self.methods: set[str] = set()
        self._zones = frozenset(zones)
        self.on_change: Callable[[], None] = lambda: None

    def __iter__(self) -> Iterator[Fault]:
        """Yield every fault, the oldest first."""
        return iter(tuple(self._faults.values()))

    def get(self, identity: str) -> Fault | None:
        """Return a fault, None when it was cleared."""
        return self._faults.get(identity)

    def add(self, document: Any) -> Fault:
        """Arm a fault that a client words as JSON.

        Raises:
            FaultError: it cannot be; the message lists what can.
        """
        order = parse(document, self.methods, self._zones)
        self._last_number += 1
        fault = Fault(f"{order.kind}-{self._last_number}", order, self._clock())
        self._gone[fault.id] = asyncio.Event()
        self._keep(fault)
        _log.info("%s is armed: %s", fault.id, order.document())
        return fault

    def clear(self, identities: Sequence[str]) -> tuple[Fault, ...]:
        """Forget some faults, or all when none is named; return them.

        Raises:
            LookupError: one is not there; none was forgotten.
        """
        self._require(identities)
        cleared = tuple(self._faults[i] for i in dict.fromkeys(identities or self._faults))
        with self._store.transaction() as tx:
            for fault in cleared:
                tx.delete(f"{_COLLECTION}/{fault.id}")
        for fault in cleared:
            del self._faults[fault.id]
            self._gone.pop(fault.id).set()
            _log.info("%s is cleared", fault.id)
        self._tell()
        return cleared

    def striking(
        self, scope: Scope, names: frozenset[str], zone: str | None, method: str, step: str = ""
    ) -> Iterator[Fault]:
        """Yield the armed faults that mean this, in their order; the caller lets each `strike`."""
        for known in self:
            fault = self._faults.get(known.id)  # the one before may have taken time
            if (
                fault is not None
                and fault.armed
                and fault.kind.scope is scope
                and fnmatchcase(method, fault.order.methods)
                and (fault.order.step is None or fnmatchcase(step, fault.order.step))
                and fault.hits(names, zone)
            ):
                yield fault

    def unreachable(self, method: str, names: frozenset[str], zone: str) -> Fault | None:
        """Return the armed fault by which a method over several zones does not reach this one."""
        striking = self.striking(Scope.CALL, names, zone, method)
        return next((fault for fault in striking if fault.order.kind == "unreachable"), None)

    def strike(
        self,
        fault: Fault,
        cause: str,
        target: str,
        *,
        boot: str = "",
        lasts: bool = False,
        problem: str = "",
    ) -> Firing:
        """Note that a fault strikes now.

        Args:
            cause, target, boot, problem: see Firing.
            lasts: its effect goes on until `change` says that it has ended.
        """
        now = self._clock()
        lasting = fault.order.lasting
        known = self._faults.get(fault.id)
        firing = Firing(
            number=(known or fault).fired + 1,
            time=now,
            cause=cause,
            target=target,
            boot=boot,
            until=now + lasting if lasts and lasting is not None else None,
            ended=None if lasts else now,
            problem=problem,
        )
        _log.warning("%s fired: %s of %s", fault.id, cause, target)
        if known is not None:  # else it was cleared while it struck
            self._keep(known.struck(firing))
        return firing

    def change(self, identity: str, number: int, **fields: Any) -> None:
        """Note what came of a firing; nothing when its fault was cleared."""
        if fault := self._faults.get(identity):
            self._keep(fault.changed(number, **fields))

    async def pause(self, identity: str, seconds: float) -> None:
        """Return after some seconds of the cloud's time, or when the fault is cleared."""
        await self.until(identity, self._clock() + seconds)

    async def until(self, identity: str, moment: float | None, *others: asyncio.Event) -> None:
        """Return at a moment of the cloud's time, when the fault is cleared, or at an event."""
        gone = self._gone.get(identity)
        if gone is not None and not self._ended:
            await self._clock.reached(math.inf if moment is None else moment, gone, *others)

    async def fired(self, identity: str, times: int, within: float) -> Fault:
        """Return a fault when it has struck so many times, or as it is after `within` seconds.

        Raises:
            LookupError: it is not there, or was cleared meanwhile.
        """
        try:
            async with asyncio.timeout(within):
                while self._require([identity]) and self._faults[identity].fired < times:
                    await self._changed.wait()
        except TimeoutError:
            pass
        return self._faults[identity]

    def end(self, identity: str, number: int) -> None:
        """Note that what a firing began goes on no longer."""
        self.change(identity, number, ended=self._clock())

    def end_waits(self) -> None:
        """Delay nothing any more: the sandbox stops."""
        self._ended = True
        for gone in self._gone.values():
            gone.set()

    def _require(self, identities: Sequence[str]) -> bool:
        if strange := [i for i in identities if i not in self._faults]:
            known = ", ".join(self._faults) or "none"
            raise LookupError(f"no fault is called {', '.join(strange)}; there are: {known}")
        return True

    def _keep(self, fault: Fault) -> None:
        self._store.put(f"{_COLLECTION}/{fault.id}", fault.document())
        self._faults[fault.id] = fault
        self._tell()

    def _any_for_calls(self) -> bool:
        return any(fault.armed and fault.kind.scope is Scope.CALL for fault in self)

    def _tell(self) -> None:
        self.calls_armed = self._any_for_calls()
        self._changed.set()
        self._changed = asyncio.Event()
        self.on_change()
