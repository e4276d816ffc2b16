# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks that come to and go from an instance, and go with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.runtime.interface import MachineError
from cloudspill_sandbox.runtime.memory import MemoryRuntime

from .conftest import UBUNTU, ZONE, Client, MakeCloud
from .test_operations import Gate

DATA = f"zones/{ZONE}/disks/data"


@pytest.fixture
async def vm(api: Client, spec: Any) -> str:
    """A stopped instance and a disk beside it."""
    await api.done("instances.insert", spec())
    await api.done("instances.stop", instance="vm")
    await api.done("disks.insert", {"name": "data", "sizeGb": "10"})
    return "vm"


async def test_a_disk_is_attached_once_and_detached(
    api: Client, spec: Any, runtime: MemoryRuntime, vm: str
) -> None:
    body = {"source": DATA, "deviceName": "archive"}
    await api.done("instances.attachDisk", body, instance=vm)
    disk = await api.call("disks.get", disk="data")
    assert [user.rpartition("/")[2] for user in disk["users"]] == [vm]
    for refused in (
        await api.refused("instances.attachDisk", body, instance=vm),
        await api.refused(
            "instances.insert", spec("b", disks=[*spec()["disks"], {"source": DATA}])
        ),
        await api.refused("disks.delete", disk="data"),
    ):
        assert refused.reason == "resourceInUseByAnotherResource"
        assert refused.message.endswith(f"is already being used by '{_path('instances/vm')}'")
    await api.done("instances.start", instance=vm)
    running = runtime.running[(await api.instance())["id"]]
    assert running.data_volumes == (("archive", f"d{disk['id']}"),)
    await api.done("instances.stop", instance=vm)
    await api.done("instances.detachDisk", instance=vm, deviceName="archive")
    assert "users" not in await api.call("disks.get", disk="data")
    await api.done("disks.delete", disk="data")


async def test_a_boot_disk_moves_to_another_instance(api: Client, spec: Any, vm: str) -> None:
    await api.done("instances.start", instance=vm)
    device = (await api.instance())["disks"][0]["deviceName"]
    refusal = await api.refused("instances.detachDisk", instance=vm, deviceName=device)
    assert refusal.reason == "invalidResourceUsage"
    assert "To detach the boot disk, the instance must be in TERMINATED state." in refusal.message
    await api.done("instances.stop", instance=vm)
    await api.done("instances.detachDisk", instance=vm, deviceName=device)
    await api.done("instances.attachDisk", {"source": DATA}, instance=vm)
    assert "no boot disk" in (await api.refused("instances.start", instance=vm)).message
    boot = {"boot": True, "source": f"zones/{ZONE}/disks/vm"}
    await api.done("instances.insert", spec("other", disks=[boot]))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "'source' not specified"),
        ({"source": f"zones/{ZONE}/disks/none"}, "The referenced disk resource cannot be found."),
        ({"source": DATA, "boot": True}, "The instance has a boot disk."),
        ({"source": DATA, "forceAttach": True}, "'resource.forceAttach'"),
        ({"source": DATA, "type": "SCRATCH"}, "'resource.type': 'SCRATCH'"),
        ({"source": DATA, "initializeParams": {"sourceImage": UBUNTU}}, "At most one of source"),
        ({"source": DATA, "deviceName": "a/b"}, "Must be a match of regex"),
        ({"source": DATA, "deviceName": "persistent-disk-0"}, "Device name is already in use."),
    ],
)
async def test_what_cannot_be_attached(api: Client, vm: str, body: Any, words: str) -> None:
    refusal = await api.refused("instances.attachDisk", body, instance=vm)
    assert refusal.status == 400
    assert words in refusal.message


async def test_an_instance_has_sixteen_disks_at_most(api: Client, vm: str) -> None:
    for number in range(15):
        await api.done("disks.insert", {"name": f"d{number}", "sizeGb": "10"})
        source = {"source": f"zones/{ZONE}/disks/d{number}"}
        await api.done("instances.attachDisk", source, instance=vm)
    refusal = await api.refused("instances.attachDisk", {"source": DATA}, instance=vm)
    assert "Maximum number of disks is 16." in refusal.message


@pytest.mark.parametrize(
    ("disk", "words"),
    [
        ({"source": DATA, "initializeParams": {"sourceImage": UBUNTU}}, "At most one of source"),
        ({"mode": "READ_ONLY", "initializeParams": {"sourceImage": UBUNTU}}, "READ_WRITE mode"),
        ({"initializeParams": {"diskName": "data", "sourceImage": UBUNTU}}, "already exists"),
        ({"initializeParams": {"sourceImage": UBUNTU, "diskSizeGb": "9"}}, "image size (10 GB)"),
        ({"initializeParams": {}}, "The boot disk needs a source"),
        (
            {"initializeParams": {"sourceImage": UBUNTU, "sourceSnapshot": "global/snapshots/s"}},
            "Must specify at most one source",
        ),
    ],
)
async def test_boot_disks_that_are_refused(
    api: Client, spec: Any, vm: str, disk: Any, words: str
) -> None:
    assert vm
    refusal = await api.refused("instances.insert", spec("b", disks=[{"boot": True} | disk]))
    assert words in refusal.message


@pytest.mark.parametrize("auto_delete", [True, False])
async def test_a_disk_goes_with_its_instance_when_it_is_said_to(
    api: Client, runtime: MemoryRuntime, vm: str, auto_delete: bool
) -> None:
    await api.done("instances.attachDisk", {"source": DATA, "deviceName": "a"}, instance=vm)
    query = {"instance": vm, "deviceName": "a", "autoDelete": auto_delete}
    await api.done("instances.setDiskAutoDelete", **query)
    refusal = await api.refused("instances.setDiskAutoDelete", **query | {"deviceName": "none"})
    assert "No attached disk found with device name 'none'" in refusal.message
    volume = f"d{(await api.call('disks.get', disk='data'))['id']}"
    await api.done("instances.delete", instance=vm)
    assert (volume in runtime.volumes) is not auto_delete
    left = {disk["name"]: disk.get("users") for disk in (await api.call("disks.list"))["items"]}
    assert left == ({} if auto_delete else {"data": None})


@pytest.fixture
async def on(api: Client, vm: str) -> str:
    """The instance, running."""
    await api.done("instances.start", instance=vm)
    return vm


async def test_a_disk_is_plugged_into_what_runs_and_taken_out(
    api: Client, runtime: MemoryRuntime, on: str
) -> None:
    body = {"source": DATA, "deviceName": "archive"}
    await api.done("instances.attachDisk", body, instance=on)
    machine = (await api.instance())["id"]
    volume = f"d{(await api.call('disks.get', disk='data'))['id']}"
    assert runtime.running[machine].data_volumes == (("archive", volume),)
    await api.done("instances.detachDisk", instance=on, deviceName="archive")
    assert runtime.running[machine].data_volumes == ()
    assert [disk["boot"] for disk in (await api.instance())["disks"]] == [True]
    await api.done("disks.delete", disk="data")


async def test_a_disk_that_is_only_read_may_be_plugged_into_several(
    api: Client, spec: Any, runtime: MemoryRuntime, on: str
) -> None:
    await api.done("instances.insert", spec("other"))
    for name in (on, "other"):
        body = {"source": DATA, "deviceName": "archive", "mode": "READ_ONLY"}
        await api.done("instances.attachDisk", body, instance=name)
        machine = (await api.instance(name))["id"]
        assert runtime.running[machine].read_only == {"archive"}


@pytest.mark.parametrize("others", [(), ("other",)])
async def test_an_instance_reads_no_disk_twice(
    api: Client, spec: Any, on: str, others: tuple[str, ...]
) -> None:
    """An instance may be in its own way, with READ_ONLY too, the default of what attached here:
    https://github.com/google/turbinia/issues/849, https://github.com/hashicorp/terraform/issues/23698.
    """
    shared = {"source": DATA, "mode": "READ_ONLY"}
    for name in others:
        await api.done("instances.insert", spec(name, disks=[*spec()["disks"], shared]))
    await api.done("instances.attachDisk", shared | {"deviceName": "a"}, instance=on)
    again = shared | {"deviceName": "b"}
    twice = spec("new", disks=[*spec()["disks"], shared, again])
    for name, refusal in (
        (on, await api.refused("instances.attachDisk", again, instance=on)),
        ("new", await api.refused("instances.insert", twice)),
    ):
        assert refusal.reason == "resourceInUseByAnotherResource"
        assert refusal.message.endswith(f"already being used by '{_path(f'instances/{name}')}'")
    await api.done("instances.detachDisk", instance=on, deviceName="a")
    users = (await api.call("disks.get", disk="data")).get("users", [])
    assert [user.rpartition("/")[2] for user in users] == list(others)


async def test_a_disk_that_cannot_be_plugged_in_is_free_again(
    api: Client, runtime: MemoryRuntime, on: str
) -> None:
    runtime.failures["plug"] = MachineError("no slot")
    error = await api.failed("instances.attachDisk", {"source": DATA}, instance=on)
    assert "no slot" in error["message"]
    assert len((await api.instance())["disks"]) == 1
    assert "users" not in await api.call("disks.get", disk="data")


async def test_a_disk_that_cannot_be_taken_out_stays(
    api: Client, runtime: MemoryRuntime, on: str
) -> None:
    await api.done("instances.attachDisk", {"source": DATA, "deviceName": "a"}, instance=on)
    runtime.failures["unplug"] = MachineError("stuck")
    await api.failed("instances.detachDisk", instance=on, deviceName="a")
    assert (await api.call("disks.get", disk="data"))["users"]
    await api.done("instances.detachDisk", instance=on, deviceName="a")


async def test_a_suspended_instance_keeps_its_disks(api: Client, on: str) -> None:
    await api.done("instances.suspend", instance=on)
    refusal = await api.refused("instances.attachDisk", {"source": DATA}, instance=on)
    assert refusal.reason == "resourceNotReady"


def _path(resource: str) -> str:
    return f"projects/cloudspill-sandbox/zones/{ZONE}/{resource}"


async def test_a_disk_that_is_changed_while_it_is_detached_is_detached(
    make_cloud: MakeCloud, client_of: Callable[[Cloud], Client], spec: Any
) -> None:
    gate = Gate()
    gate.open.set()
    slow = client_of(await make_cloud(latency=gate))

    async def ended(operation: dict[str, Any]) -> None:
        done = await slow.call("zoneOperations.wait", operation=operation["name"])
        assert "error" not in done

    await ended(await slow.call("instances.insert", spec()))
    await ended(await slow.call("disks.insert", {"name": "data"}))
    where = {"instance": "vm", "deviceName": "archive"}
    attached = {"source": DATA, "deviceName": "archive"}
    await ended(await slow.call("instances.attachDisk", attached, instance="vm"))
    gate.open.clear()
    detaching = await slow.call("instances.detachDisk", **where)
    changing = await slow.call("instances.setDiskAutoDelete", **where, autoDelete=True)
    gate.open.set()
    await ended(detaching)
    await ended(changing)
    assert [each["boot"] for each in (await slow.instance())["disks"]] == [True]
    assert "users" not in await slow.call("disks.get", disk="data")
