# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of operations and of boots: what compute asks before it does something."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.faults import refusals
from cloudspill_sandbox.faults.fault import Fault
from cloudspill_sandbox.faults.interface import Side
from cloudspill_sandbox.faults.kinds import Scope
from cloudspill_sandbox.faults.registry import Faults

_SERVICE = "compute"
_INSERT, _FIRST_STAGE = "compute.instances.insert", "provision"


class FaultHooks:
    """Implements interface.Hooks with the faults of a sandbox."""

    def __init__(self, faults: Faults, store: Store) -> None:
        self._faults = faults
        self._store = store

    async def before_step(self, step: str, target: str) -> None:
        """Delay or fail the operation; see Hooks."""
        method, _, stage = f"{_SERVICE}.{step}".rpartition(".")
        names, zone = _place(target)
        for fault in self._faults.striking(Scope.OPERATION, names, zone, method, stage):
            self._faults.strike(fault, f"{_SERVICE}.{step}", target)
            if fault.order.kind == "operation-slow":
                await self._faults.pause(fault.id, fault.order.delay or 0.0)
            else:
                raise self._error(fault, target)

    def usable_zones(
        self, method: str, named: frozenset[str], zones: Sequence[str], most: int, *, strike: bool
    ) -> Sequence[str]:
        """Pass over zones that do not answer, or have no room by a fault of theirs; see Hooks."""
        usable: list[str] = []
        unreachable: list[tuple[str, Fault]] = []
        full: list[tuple[str, Fault]] = []
        for zone in zones:
            if fault := self._faults.unreachable(method, named, zone):
                unreachable.append((zone, fault))
            elif fault := self._stocked_out(named, zone):
                full.append((zone, fault))
            else:
                usable.append(zone)
            if len(usable) == most:
                break
        chosen = usable or [zone for zone, _ in full][:most]
        if not strike:
            return chosen or zones[:most]
        for zone, fault in (*unreachable, *(full if usable else ())):
            self._faults.strike(fault, method, f"zones/{zone}")
        if not chosen:
            raise refusals.unavailable()
        return chosen

    def _stocked_out(self, named: frozenset[str], zone: str) -> Fault | None:
        """Return a stock-out of this zone; one of no particular zone is met by a creation."""
        striking = self._faults.striking(Scope.OPERATION, named, zone, _INSERT, _FIRST_STAGE)
        zonal = (fault for fault in striking if fault.order.zone is not None)
        return next((fault for fault in zonal if fault.order.kind == "stock-out"), None)

    def boot_fails(self, instance: str) -> bool:
        """Whether a boot-failure is meant for this instance; see Hooks."""
        names, zone = _place(instance)
        for fault in self._faults.striking(Scope.INSTANCE, names, zone, ""):
            if fault.order.kind == "boot-failure":
                self._faults.strike(fault, "boot", instance)
                return True
        return False

    def instance_changed(self) -> None:
        """Let the faults of instances look who runs."""
        self._faults.on_change()

    def cuts(self) -> Iterator[tuple[str, frozenset[Side]]]:
        """Yield what network-cuts go on; see Hooks."""
        sides: dict[str, frozenset[Side]] = {}
        for fault in self._faults:
            if fault.order.kind == "network-cut":
                for firing in fault.active:
                    others = sides.get(firing.target, frozenset())
                    sides[firing.target] = others | fault.order.sides
        yield from sides.items()

    def _error(self, fault: Fault, target: str) -> ApiError:
        if fault.order.kind == "stock-out":
            document = self._store.get(target) or {}
            return refusals.stock_out(target, document.get("machineType", "").rpartition("/")[2])
        if fault.order.kind == "operation-quota":
            return refusals.operation_quota(target)
        return fault.order.given_error() or refusals.internal()


def _place(name: str) -> tuple[frozenset[str], str | None]:
    """Return the name and the zone of a relative resource name."""
    segments = name.split("/")
    zone = segments[3] if segments[2:3] == ["zones"] else None
    return frozenset({segments[-1]}), zone
