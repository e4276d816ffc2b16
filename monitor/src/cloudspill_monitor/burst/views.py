# SPDX-License-Identifier: GPL-3.0-or-later
"""VMs as they are shown, and what they cost."""

from __future__ import annotations

from collections.abc import Iterable

from cloudspill_monitor import billing
from cloudspill_monitor.burst.vm import BurstVm
from cloudspill_monitor.journal import Vm
from cloudspill_monitor.snapshot import VmView


def vm_view(vm: BurstVm, tasks: tuple[str, ...], now: float, wall: float) -> VmView:
    """A VM at `now` (seconds since boot) and `wall`."""
    record = vm.record
    return VmView(
        name=record.vm,
        zone=record.zone or "",
        machine_type=record.machine_type or "",
        spot=record.spot,
        state=record.state,
        connected=vm.connected,
        age=None if record.up_wall is None else max(0.0, wall - record.up_wall),
        lease=vm.lease_left(now),
        lifetime=vm.expires_at - now,
        cost=vm_cost(record, wall),
        tasks=tasks,
    )


def vm_cost(record: Vm, wall: float) -> float:
    """What a VM has cost until `wall`; one that never came up nothing."""
    if record.up_wall is None:
        return 0.0
    until = wall if record.gone_wall is None else record.gone_wall
    return billing.cost(max(0.0, until - record.up_wall), record.price_per_hour)


def total_cost(records: Iterable[Vm], wall: float) -> float:
    """What VMs have cost until `wall`."""
    return sum(vm_cost(record, wall) for record in records)
