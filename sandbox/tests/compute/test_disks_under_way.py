# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks on their way to an instance or from it, and what others do with the instance meanwhile.

A request that comes too early is refused as users met it:
https://github.com/googleapis/google-cloud-java/issues/9312.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.faults.interface import NoFaults
from cloudspill_sandbox.runtime.memory import MemoryRuntime

from .conftest import ZONE, Client, MakeCloud, eventually, idle

STEPS = {
    "attachDisk": "instances.attachDisk.plug",
    "detachDisk": "instances.detachDisk.unplug",
}


class Held(NoFaults):
    """Hooks by which the next step of a name waits until it may go on."""

    def __init__(self) -> None:
        self._gates: dict[str, asyncio.Event] = {}

    def hold(self, step: str) -> asyncio.Event:
        """Return what lets the step go on when it is set."""
        self._gates[step] = asyncio.Event()
        return self._gates[step]

    async def before_step(self, step: str, target: str) -> None:
        if gate := self._gates.pop(step, None):
            await gate.wait()


@pytest.fixture
def held() -> Held:
    return Held()


@pytest.fixture
async def api(
    make_cloud: MakeCloud, client_of: Callable[[Cloud], Client], spec: Any, held: Held
) -> Client:
    """A running instance `vm`, and the disks `first` and `second`."""
    client = client_of(await make_cloud(faults=held))
    for name in ("first", "second"):
        await client.done("disks.insert", {"name": name, "sizeGb": "10"})
    await client.done("instances.insert", spec())
    return client


Begun = tuple["asyncio.Task[Any]", asyncio.Event]
Begin = Callable[..., Awaitable[Begun]]


@pytest.fixture
def begin(api: Client, held: Held) -> Begin:
    """Begin an attachDisk or detachDisk of the disk `first`; return it and what lets it go on."""

    async def begun(method: str, **fields: Any) -> Begun:
        body, vm = _attached("first", **fields), {"instance": "vm"}
        if method == "detachDisk":
            await api.done("instances.attachDisk", body, **vm)
        gate = held.hold(STEPS[method])
        task = asyncio.create_task(
            api.call("instances.attachDisk", body, **vm)
            if method == "attachDisk"
            else api.call("instances.detachDisk", **vm, deviceName="first")
        )
        await idle()
        return task, gate

    return begun


def _attached(name: str, **fields: Any) -> dict[str, Any]:
    return {"source": f"zones/{ZONE}/disks/{name}", "deviceName": name, **fields}


async def _devices(api: Client, runtime: MemoryRuntime) -> tuple[list[str], list[str]]:
    """Return the further disks that the instance has by its document, and by its machine."""
    instance = await api.instance()
    machine = runtime.running[instance["id"]]
    noted = [disk["deviceName"] for disk in instance["disks"] if not disk["boot"]]
    return noted, [device for device, _ in machine.data_volumes]


@pytest.mark.parametrize("method", STEPS)
@pytest.mark.parametrize("early", ["stop", "reset", "suspend", "delete", "detachDisk", "update"])
async def test_nobody_works_on_the_instance_as_a_whole_or_on_the_disk(
    api: Client, begin: Begin, method: str, early: str
) -> None:
    changing, gate = await begin(method)
    body: dict[str, Any] | None = None
    parameters = {"instance": "vm"}
    if early == "detachDisk":
        parameters["deviceName"] = "first"
    if early == "update":
        machine_type = {"machineType": f"zones/{ZONE}/machineTypes/g1-small"}
        body = await api.instance() | machine_type
        parameters["mostDisruptiveAllowedAction"] = "RESTART"
    refusal = await api.refused(f"instances.{early}", body, **parameters)
    assert (refusal.status, refusal.reason) == (400, "resourceNotReady")
    resource = f"projects/cloudspill-sandbox/zones/{ZONE}/instances/vm"
    assert refusal.message == f"The resource '{resource}' is not ready"
    gate.set()
    assert "error" not in await changing
    if early == method:
        return
    if body is not None:  # which has all of the instance, disks too
        body = await api.instance() | machine_type
    await api.done(f"instances.{early}", body, **parameters)


@pytest.mark.parametrize("method", STEPS)
async def test_the_rest_of_the_instance_is_changed_meanwhile(
    api: Client, runtime: MemoryRuntime, begin: Begin, method: str
) -> None:
    changing, gate = await begin(method)
    vm = {"instance": "vm"}
    await api.done("instances.attachDisk", _attached("second"), **vm)
    fingerprints = await api.instance()
    labels = {"labels": {"a": "b"}, "labelFingerprint": fingerprints["labelFingerprint"]}
    await api.done("instances.setLabels", labels, **vm)
    tags = {"items": ["web"], "fingerprint": fingerprints["tags"]["fingerprint"]}
    await api.done("instances.setTags", tags, **vm)
    metadata = {
        "items": [{"key": "a", "value": "b"}],
        "fingerprint": fingerprints["metadata"]["fingerprint"],
    }
    await api.done("instances.setMetadata", metadata, **vm)
    address = {"networkInterface": "nic0", "accessConfig": "nat"}
    await api.done("instances.deleteAccessConfig", **vm, **address)
    await api.done("instances.detachDisk", **vm, deviceName="second")
    gate.set()
    assert "error" not in await changing
    left = ["first"] if method == "attachDisk" else []
    assert await _devices(api, runtime) == (left, left)


async def test_an_instance_that_is_off_starts_with_the_disk_when_it_has_it(
    api: Client, runtime: MemoryRuntime, begin: Begin
) -> None:
    await api.done("instances.stop", instance="vm")
    attaching, gate = await begin("attachDisk")
    assert (await api.refused("instances.start", instance="vm")).reason == "resourceNotReady"
    gate.set()
    assert "error" not in await attaching
    await api.done("instances.start", instance="vm")
    assert await _devices(api, runtime) == (["first"], ["first"])


@pytest.mark.parametrize("method", STEPS)
async def test_a_machine_that_goes_off_meanwhile_boots_as_the_document_says(
    api: Client, runtime: MemoryRuntime, begin: Begin, method: str
) -> None:
    changing, gate = await begin(method)
    runtime.guest_power_off((await api.instance())["id"])
    assert (await api.refused("instances.start", instance="vm")).reason == "resourceNotReady"
    gate.set()
    assert "error" not in await changing
    await api.done("instances.start", instance="vm")
    left = ["first"] if method == "attachDisk" else []
    assert await _devices(api, runtime) == (left, left)


@pytest.fixture
async def preempted(api: Client, spec: Any, begin: Begin) -> Begin:
    """Begin to change a disk that goes with its instance; delete that instance by a preemption."""
    await api.done("instances.delete", instance="vm")
    spot = {"provisioningModel": "SPOT", "instanceTerminationAction": "DELETE"}
    await api.done("instances.insert", spec(scheduling=spot))

    async def lost(method: str) -> Begun:
        begun = await begin(method, autoDelete=True)
        await api.done("instances.simulateMaintenanceEvent", instance="vm")
        await eventually(lambda: not any(k.endswith("/instances") for k in api.documents()))
        return begun

    return lost


@pytest.mark.parametrize("method", STEPS)
async def test_a_disk_stays_whose_instance_compute_engine_deletes_meanwhile(
    api: Client, preempted: Begin, method: str
) -> None:
    changing, gate = await preempted(method)
    gate.set()
    assert "is gone" in (await changing)["error"]["errors"][0]["message"]
    disk = await api.call("disks.get", disk="first")
    assert (disk["status"], "users" in disk) == ("READY", False)
    await api.done("disks.delete", disk="first")


async def test_an_instance_made_anew_under_the_name_is_not_the_one_that_was_to_get_the_disk(
    api: Client, runtime: MemoryRuntime, spec: Any, held: Held, preempted: Begin
) -> None:
    attaching, gate = await preempted("attachDisk")
    await api.done("instances.insert", spec())
    late = held.hold(STEPS["attachDisk"])
    body = _attached("second", deviceName="first")
    next_one = asyncio.create_task(api.call("instances.attachDisk", body, instance="vm"))
    await idle()
    gate.set()
    assert "is gone" in (await attaching)["error"]["errors"][0]["message"]
    assert (await api.refused("instances.stop", instance="vm")).reason == "resourceNotReady"
    late.set()
    assert "error" not in await next_one
    assert await _devices(api, runtime) == (["first"], ["first"])
    assert (await api.call("disks.get", disk="second"))["users"]
    await api.done("instances.stop", instance="vm")


async def test_an_instance_made_anew_under_the_name_keeps_its_disk_of_that_device_name(
    api: Client, runtime: MemoryRuntime, spec: Any, preempted: Begin
) -> None:
    detaching, gate = await preempted("detachDisk")
    await api.done("instances.insert", spec())
    await api.done("instances.attachDisk", _attached("second", deviceName="first"), instance="vm")
    gate.set()
    assert "is gone" in (await detaching)["error"]["errors"][0]["message"]
    assert await _devices(api, runtime) == (["first"], ["first"])
    assert (await api.call("disks.get", disk="second"))["users"]
