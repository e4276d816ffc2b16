# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting, stopping, resetting, and machines that go off by themselves."""

from __future__ import annotations

from typing import Any

import pytest

from cloudspill_sandbox.network.memory import MemoryNetwork
from cloudspill_sandbox.runtime.interface import MachineError, MachineExit
from cloudspill_sandbox.runtime.memory import MemoryRuntime

from .conftest import Client, HostClock


def external(instance: dict[str, Any]) -> str | None:
    address = instance["networkInterfaces"][0]["accessConfigs"][0].get("natIP")
    return None if address is None else str(address)


@pytest.fixture(autouse=True)
async def vm(api: Client, spec: Any) -> dict[str, Any]:
    await api.done("instances.insert", spec())
    return await api.instance()


async def test_stop_and_start_keep_disk_and_internal_address(
    api: Client, runtime: MemoryRuntime, vm: dict[str, Any], clock: HostClock
) -> None:
    runtime.guest_write(vm["id"], "/data", "kept")
    clock.now += 60
    await api.done("instances.stop", instance="vm")
    stopped = await api.instance()
    assert stopped["status"] == "TERMINATED"
    assert not runtime.is_running(vm["id"])
    assert stopped["lastStopTimestamp"] > vm["lastStartTimestamp"]
    clock.now += 60
    await api.done("instances.start", instance="vm")
    started = await api.instance()
    assert started["status"] == "RUNNING"
    assert started["id"] == vm["id"]
    assert started["lastStartTimestamp"] > stopped["lastStopTimestamp"]
    assert started["networkInterfaces"][0]["networkIP"] == "10.138.0.2"
    boot_volume = runtime.running[vm["id"]].boot_volume
    assert runtime.volumes[boot_volume].files["/data"] == "kept"


async def test_an_ephemeral_address_goes_with_the_stop(
    api: Client, network: MemoryNetwork, vm: dict[str, Any]
) -> None:
    await api.done("instances.stop", instance="vm")
    assert external(await api.instance()) is None
    assert network.topology.nics[0].external_ip is None
    await api.done("instances.start", instance="vm")
    assert external(await api.instance()) not in (None, external(vm))
    assert network.topology.nics[0].external_ip == external(await api.instance())


async def test_a_static_address_stays(api: Client, spec: Any) -> None:
    await api.done("addresses.insert", {"name": "front"})
    address = (await api.call("addresses.get", address="front"))["address"]
    interface = [{"accessConfigs": [{"natIP": address}]}]
    await api.done("instances.insert", spec("fixed", networkInterfaces=interface))
    await api.done("instances.stop", instance="fixed")
    await api.done("instances.start", instance="fixed")
    assert external(await api.instance("fixed")) == address
    await api.done("instances.delete", instance="fixed")
    freed = await api.call("addresses.get", address="front")
    assert (freed["status"], freed["address"], freed.get("users")) == ("RESERVED", address, None)


@pytest.mark.parametrize(("method", "again"), [("start", "start"), ("stop", "stop")])
async def test_what_is_so_already_is_well(
    api: Client, runtime: MemoryRuntime, method: str, again: str
) -> None:
    await api.done(f"instances.{method}", instance="vm")
    boots = list(runtime.boots)
    await api.done(f"instances.{again}", instance="vm")
    assert runtime.boots == boots


async def test_reset_cuts_the_power_and_boots(
    api: Client, runtime: MemoryRuntime, vm: dict[str, Any]
) -> None:
    await api.done("instances.reset", instance="vm")
    assert runtime.boots == [vm["id"], vm["id"]]
    assert external(await api.instance()) == external(vm)


async def test_reset_of_a_stopped_instance_is_refused(api: Client) -> None:
    await api.done("instances.stop", instance="vm")
    assert (await api.refused("instances.reset", instance="vm")).reason == "resourceNotReady"


@pytest.mark.parametrize("reason", MachineExit)
async def test_a_machine_that_goes_off_is_terminated(
    api: Client, runtime: MemoryRuntime, vm: dict[str, Any], reason: MachineExit
) -> None:
    runtime.guest_power_off(vm["id"], reason)
    instance = await api.instance()
    assert instance["status"] == "TERMINATED"
    assert external(instance) is None
    await api.done("instances.start", instance="vm")


async def test_the_network_forgets_the_address_of_what_went_off(
    api: Client, runtime: MemoryRuntime, network: MemoryNetwork, vm: dict[str, Any]
) -> None:
    runtime.guest_power_off(vm["id"])
    await api.cloud.topology.settle()
    assert network.topology.nics[0].external_ip is None


async def test_a_machine_that_goes_off_while_it_starts_is_terminated(
    api: Client, runtime: MemoryRuntime, network: MemoryNetwork, spec: Any
) -> None:
    runtime.dies_at_boot = True
    await api.done("instances.insert", spec("short"))
    instance = await api.instance("short")
    assert (instance["status"], external(instance)) == ("TERMINATED", None)
    assert network.topology.nics[-1].external_ip is None


async def test_a_start_that_fails_leaves_the_instance_stopped(
    api: Client, runtime: MemoryRuntime
) -> None:
    await api.done("instances.stop", instance="vm")
    runtime.failures["boot"] = MachineError("no cgroup")
    failure = await api.failed("instances.start", instance="vm")
    assert "no cgroup" in failure["message"]
    instance = await api.instance()
    assert (instance["status"], external(instance)) == ("TERMINATED", None)
    await api.done("instances.start", instance="vm")


async def test_a_stop_that_fails_cuts_the_power(
    api: Client, runtime: MemoryRuntime, vm: dict[str, Any]
) -> None:
    runtime.failures["shut_down"] = MachineError("no answer")
    await api.failed("instances.stop", instance="vm")
    assert (await api.instance())["status"] == "TERMINATED"
    assert not runtime.is_running(vm["id"])


async def test_a_stopped_instance_can_be_deleted(api: Client, runtime: MemoryRuntime) -> None:
    await api.done("instances.stop", instance="vm")
    await api.done("instances.delete", instance="vm")
    assert set(runtime.volumes) == {"debian-12"}
