# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks that go with an instance, from the moment when its deletion begins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.volumes import volume_of
from cloudspill_sandbox.faults.interface import NoFaults
from cloudspill_sandbox.runtime.interface import MachineError, VolumeError
from cloudspill_sandbox.runtime.memory import MemoryRuntime

from .conftest import Client, MakeCloud, eventually, idle

SPOT = {"provisioningModel": "SPOT", "instanceTerminationAction": "DELETE"}


class Holding(NoFaults):
    """Holds the steps that are named in it until it is told to let them go."""

    def __init__(self) -> None:
        self.held: set[str] = set()
        self.go_on = asyncio.Event()

    async def before_step(self, step: str, target: str) -> None:
        if step in self.held:
            await self.go_on.wait()


class Resisting(MemoryRuntime):
    """Some volumes cannot be removed."""

    def __init__(self) -> None:
        super().__init__()
        self.resists: set[str] = set()

    async def delete_volume(self, volume: str) -> None:
        if volume in self.resists:
            raise VolumeError("busy")
        await super().delete_volume(volume)


@pytest.fixture
def holding() -> Holding:
    return Holding()


@pytest.fixture
def runtime() -> Resisting:
    return Resisting()


@pytest.fixture
async def api(
    make_cloud: MakeCloud, client_of: Callable[[Cloud], Client], holding: Holding
) -> Client:
    return client_of(await make_cloud(faults=holding))


@pytest.fixture
async def vm(api: Client, spec: Any) -> dict[str, Any]:
    """A Spot instance whose two disks go with it."""
    body = spec(scheduling=SPOT)
    body["disks"].append({"autoDelete": True, "initializeParams": {"diskName": "data"}})
    await api.done("instances.insert", body)
    return await api.instance()


async def _begun(method: Any) -> asyncio.Task[Any]:
    """Begin a call; return what becomes of it when it has come as far as it can for now."""
    task = asyncio.create_task(method)
    await idle()
    return task


async def _disks(api: Client) -> dict[str, str]:
    """Return the status of each disk."""
    return {disk["name"]: disk["status"] for disk in (await api.call("disks.list"))["items"]}


async def _resist(api: Client, runtime: Resisting, disk: str) -> None:
    runtime.resists = {volume_of(await api.call("disks.get", disk=disk))}


@pytest.mark.usefixtures("vm")
@pytest.mark.parametrize("step", ["shutDown", "remove"])
@pytest.mark.parametrize(
    ("method", "body", "parameters"),
    [
        ("disks.createSnapshot", {"name": "s"}, {"disk": "data"}),
        ("disks.resize", {"sizeGb": "1000"}, {"disk": "data"}),
        (
            "instances.setDiskAutoDelete",
            None,
            {"instance": "vm", "deviceName": "persistent-disk-1", "autoDelete": False},
        ),
    ],
)
async def test_a_disk_that_goes_with_its_instance_is_out_of_use_from_the_beginning(
    api: Client, holding: Holding, step: str, method: str, body: Any, parameters: dict[str, Any]
) -> None:
    holding.held = {f"instances.delete.{step}"}
    deleting = await _begun(api.call("instances.delete", instance="vm"))
    refusal = await api.refused(method, body, **parameters)
    assert (refusal.status, refusal.reason) == (400, "resourceNotReady")
    assert refusal.message.endswith("/disks/data' is not ready")
    holding.go_on.set()
    assert "error" not in await deleting
    assert await _disks(api) == {}


@pytest.mark.usefixtures("vm")
async def test_a_disk_that_stays_may_be_told_to_go_after_all(api: Client, holding: Holding) -> None:
    data = {"instance": "vm", "deviceName": "persistent-disk-1"}
    await api.done("instances.setDiskAutoDelete", **data, autoDelete=False)
    holding.held = {"instances.delete.shutDown"}
    deleting = await _begun(api.call("instances.delete", instance="vm"))
    assert await _disks(api) == {"vm": "DELETING", "data": "READY"}
    await api.done("instances.setDiskAutoDelete", **data, autoDelete=True)
    holding.go_on.set()
    assert "error" not in await deleting
    assert await _disks(api) == {}


async def test_a_deletion_that_fails_before_it_removes_anything_leaves_the_disks_as_they_were(
    api: Client, runtime: Resisting, vm: dict[str, Any]
) -> None:
    runtime.failures["shut_down"] = MachineError("stuck")
    await api.failed("instances.delete", instance="vm")
    assert await api.instance() == vm
    assert await _disks(api) == {"vm": "READY", "data": "READY"}
    await api.done("disks.createSnapshot", {"name": "s"}, disk="data")


@pytest.mark.usefixtures("vm")
async def test_an_instance_of_which_a_disk_is_gone_starts_without_it(
    api: Client, runtime: Resisting
) -> None:
    await _resist(api, runtime, "vm")
    error = await api.failed("instances.delete", instance="vm")
    assert "busy" in error["message"]
    assert await _disks(api) == {"vm": "READY"}
    instance = await api.instance()
    assert [disk["deviceName"] for disk in instance["disks"]] == ["persistent-disk-0"]
    await api.done("instances.start", instance="vm")
    assert (await api.instance())["status"] == "RUNNING"


@pytest.mark.usefixtures("vm")
async def test_an_instance_of_which_the_boot_disk_is_gone_keeps_the_others(
    api: Client, runtime: Resisting
) -> None:
    await _resist(api, runtime, "data")
    await api.failed("instances.delete", instance="vm")
    assert await _disks(api) == {"data": "READY"}
    refusal = await api.refused("instances.start", instance="vm")
    assert "The instance has no boot disk" in refusal.message
    runtime.resists = set()
    await api.done("instances.delete", instance="vm")
    assert await _disks(api) == {}
    assert runtime.volumes.keys() == {"debian-12"}


@pytest.mark.usefixtures("vm")
@pytest.mark.parametrize("step", ["freeze", "upload"])
async def test_a_preemption_lets_the_copies_of_a_disk_come_to_their_end(
    api: Client, holding: Holding, step: str
) -> None:
    holding.held = {f"disks.createSnapshot.{step}"}
    copying = await _begun(api.call("disks.createSnapshot", {"name": "s"}, disk="data"))
    await api.done("instances.simulateMaintenanceEvent", instance="vm")
    await idle()
    assert (await api.instance())["status"] == "STOPPING"
    assert (await _disks(api))["data"] == "DELETING"
    holding.go_on.set()
    assert "error" not in await copying
    assert (await api.call("snapshots.get", snapshot="s"))["status"] == "READY"
    await eventually(lambda: not any(name.endswith("/disks") for name in api.documents()))
    assert (await api.refused("instances.get", instance="vm")).status == 404
