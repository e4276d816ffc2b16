# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of instances: whom they strike and when, and how what goes on ends."""

from __future__ import annotations

import dataclasses

from cloudspill_sandbox.engine.clock import Clock
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.faults.administration import FaultAdministration
from cloudspill_sandbox.faults.instances import InstanceFaults
from cloudspill_sandbox.faults.registry import Faults

from .conftest import NOW, Struck, eventually, idle


async def test_a_fault_strikes_one_that_runs_and_one_that_starts_later(
    faults: Faults, instance_faults: InstanceFaults, struck: Struck
) -> None:
    struck.boot("burst-1")
    faults.add({"kind": "crash", "match": "burst-*", "count": 2})
    await eventually(lambda: struck.done == [("crash", "burst-1")])
    struck.boot("web")
    struck.boot("burst-2")
    faults.on_change()
    await eventually(lambda: struck.done == [("crash", "burst-1"), ("crash", "burst-2")])
    struck.boot("burst-3")
    faults.on_change()
    await idle()
    assert len(struck.done) == 2


async def test_of_many_that_run_no_more_are_struck_than_it_counts(
    faults: Faults, instance_faults: InstanceFaults, struck: Struck
) -> None:
    for number in range(5):
        struck.boot(f"vm-{number}")
    faults.add({"kind": "crash", "count": 2})
    await idle()
    assert len(struck.done) == 2
    assert [(fault.state, fault.fired) for fault in faults] == [("spent", 2)]


async def test_each_boot_is_struck_once_and_a_new_boot_again(
    faults: Faults, instance_faults: InstanceFaults, struck: Struck
) -> None:
    struck.boot("vm")
    faults.add({"kind": "crash", "count": "forever"})
    await eventually(lambda: len(struck.done) == 1)
    faults.on_change()
    await idle()
    assert len(struck.done) == 1
    struck.run.clear()
    struck.boot("vm", since=NOW + 5)
    faults.on_change()
    await eventually(lambda: len(struck.done) == 2)


async def test_only_spot_instances_are_preempted(
    faults: Faults, instance_faults: InstanceFaults, struck: Struck
) -> None:
    struck.boot("standard")
    struck.boot("spot", spot=True)
    faults.add({"kind": "preemption", "count": "forever"})
    await idle()
    assert struck.done == [("preempt", "spot")]


async def test_a_fault_with_a_delay_waits_from_the_arming_or_from_the_start(
    faults: Faults, instance_faults: InstanceFaults, struck: Struck, clock: Clock
) -> None:
    struck.boot("early", since=NOW - 1000)
    faults.add({"kind": "crash", "after": 20, "count": "forever"})
    clock.advance(19)
    await idle()
    assert struck.done == []
    struck.boot("late", since=NOW + 19)
    faults.on_change()
    clock.advance(2)
    await eventually(lambda: struck.done == [("crash", "early")])
    clock.advance(18)
    await eventually(lambda: struck.done == [("crash", "early"), ("crash", "late")])


async def test_one_that_goes_off_first_is_not_struck(
    faults: Faults, instance_faults: InstanceFaults, struck: Struck, clock: Clock
) -> None:
    struck.boot("vm")
    faults.add({"kind": "crash", "after": 20})
    await idle()
    struck.run.clear()
    faults.on_change()
    clock.advance(30)
    await idle()
    assert struck.done == []
    assert [fault.state for fault in faults] == ["armed"]


async def test_a_cut_is_mended_when_its_time_is_over(
    faults: Faults, instance_faults: InstanceFaults, struck: Struck, clock: Clock
) -> None:
    struck.boot("vm")
    faults.add({"kind": "network-cut", "for": 60, "from": "all"})
    await eventually(lambda: struck.done == [("cut from api and host", "vm")])
    assert [fault.state for fault in faults] == ["active"]
    clock.advance(60)
    await eventually(lambda: struck.done[1:] == [("mend", "vm")])
    await eventually(lambda: [fault.state for fault in faults] == ["spent"])


async def test_clearing_returns_when_what_goes_on_is_undone(
    faults: Faults, instance_faults: InstanceFaults, struck: Struck
) -> None:
    struck.boot("vm")
    faults.add({"kind": "disk-full"})
    await eventually(lambda: struck.done == [("fill", "vm")])
    await FaultAdministration(faults, instance_faults).clear([])
    assert struck.done == [("fill", "vm"), ("empty", "vm")]


async def test_a_fault_that_is_cleared_while_it_strikes_is_undone_and_stays_away(
    faults: Faults, instance_faults: InstanceFaults, struck: Struck
) -> None:
    struck.boot("vm")

    def cleared(identities: list[str]) -> None:
        struck.when_struck = lambda _: None
        faults.clear(identities)

    struck.when_struck = cleared
    faults.add({"kind": "network-cut"})
    await eventually(lambda: struck.done == [("cut from host", "vm"), ("mend", "vm")])
    assert list(faults) == []


async def test_what_goes_on_ends_when_its_instance_goes_off(
    faults: Faults, instance_faults: InstanceFaults, struck: Struck
) -> None:
    struck.boot("vm")
    faults.add({"kind": "network-cut"})
    await eventually(lambda: struck.done == [("cut from host", "vm")])
    struck.run.clear()
    faults.on_change()
    await eventually(lambda: [fault.state for fault in faults] == ["spent"])


async def test_a_restart_takes_up_what_goes_on_and_ends_it_in_time(
    store: Store, clock: Clock, struck: Struck
) -> None:
    struck.boot("vm")
    first = Faults(store, clock)
    life = InstanceFaults(first, struck)
    life.start()
    first.add({"kind": "network-cut", "for": 60})
    await eventually(lambda: struck.done == [("cut from host", "vm")])
    await life.stop()
    assert struck.done == [("cut from host", "vm")]
    second = Faults(store, clock)
    life = InstanceFaults(second, struck)
    life.start()
    await eventually(lambda: struck.done == [("cut from host", "vm")] * 2)
    assert [fault.fired for fault in second] == [1]
    clock.advance(60)
    await eventually(lambda: struck.done[2:] == [("mend", "vm")])
    await life.stop()


async def test_what_cannot_be_done_is_said_and_not_tried_again(
    faults: Faults, instance_faults: InstanceFaults, struck: Struck
) -> None:
    struck.boot("vm")
    struck.refusal = ApiError(400, "resourceNotReady", "The resource is not ready")
    faults.add({"kind": "crash"})
    await eventually(lambda: [fault.fired for fault in faults] == [1])
    await idle()
    (fault,) = faults
    assert fault.view()["firings"][0]["problem"] == "The resource is not ready"
    assert fault.state == "spent"


async def test_of_two_cuts_each_ends_in_its_own_time(
    faults: Faults, instance_faults: InstanceFaults, struck: Struck, clock: Clock
) -> None:
    struck.boot("vm")
    faults.add({"kind": "network-cut", "for": 10})
    await eventually(lambda: struck.done == [("cut from host", "vm")])
    faults.add({"kind": "network-cut", "for": 60, "from": "api"})
    await eventually(lambda: struck.done[1:] == [("cut from api and host", "vm")])
    clock.advance(10)
    await eventually(lambda: struck.done[2:] == [("cut from api", "vm")])
    clock.advance(50)
    await eventually(lambda: struck.done[3:] == [("mend", "vm")])


async def test_a_disk_is_full_until_the_last_fault_that_fills_it_ends(
    faults: Faults, instance_faults: InstanceFaults, struck: Struck, clock: Clock
) -> None:
    struck.boot("vm")
    faults.add({"kind": "disk-full", "for": 10})
    faults.add({"kind": "disk-full", "for": 60})
    await eventually(lambda: len(struck.done) == 2)
    clock.advance(10)
    await eventually(lambda: [fault.state for fault in faults] == ["spent", "active"])
    assert ("empty", "vm") not in struck.done
    clock.advance(50)
    await eventually(lambda: struck.done[2:] == [("empty", "vm")])


async def test_an_instance_that_goes_off_at_once_is_not_struck_and_its_fault_can_be_cleared(
    faults: Faults, instance_faults: InstanceFaults, struck: Struck
) -> None:
    struck.boot("vm")
    faults.add({"kind": "crash"})
    struck.run.clear()
    faults.on_change()
    await idle()
    await FaultAdministration(faults, instance_faults).clear([])
    assert struck.done == []


async def test_what_goes_on_lasts_while_its_instance_shuts_down_and_nothing_new_strikes(
    faults: Faults, instance_faults: InstanceFaults, struck: Struck
) -> None:
    instance = struck.boot("vm")
    faults.add({"kind": "network-cut"})
    await eventually(lambda: struck.done == [("cut from host", "vm")])
    struck.run = [dataclasses.replace(instance, stopping=True)]
    faults.add({"kind": "crash"})
    await idle()
    assert struck.done == [("cut from host", "vm")]
    struck.run.clear()
    faults.on_change()
    await eventually(lambda: struck.done[1:] == [("mend", "vm")])


async def test_what_is_over_is_not_looked_at_any_more(
    faults: Faults, instance_faults: InstanceFaults, struck: Struck
) -> None:
    faults.add({"kind": "crash", "count": "forever"})
    for number in range(20):
        struck.run.clear()
        struck.boot("vm", since=NOW + number)
        faults.on_change()
        await eventually(lambda: len(struck.done) == number + 1)  # noqa: B023 - awaited here
    assert len(instance_faults._struck) <= 2
