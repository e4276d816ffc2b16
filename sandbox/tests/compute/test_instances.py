# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances are made, shown and deleted as Google does it, and refused in its words."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.network.memory import MemoryNetwork
from cloudspill_sandbox.runtime.interface import MachineError, VolumeError
from cloudspill_sandbox.runtime.memory import MemoryRuntime

from .conftest import Client

ROOT = "https://www.googleapis.com/compute/v1/projects/cloudspill-sandbox"
ZONAL = f"{ROOT}/zones/us-west1-b"
IMAGE = "projects/debian-cloud/global/images/family/debian-12"
NAME_REGEX = "(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)"


def boot_disk(**params: Any) -> dict[str, Any]:
    return {"boot": True, "initializeParams": {"sourceImage": IMAGE} | params}


async def test_insert_makes_a_running_machine(
    api: Client, spec: Any, runtime: MemoryRuntime, network: MemoryNetwork
) -> None:
    operation = await api.done("instances.insert", spec())
    instance = await api.instance()
    assert operation["targetLink"] == instance["selfLink"] == f"{ZONAL}/instances/vm"
    assert operation["targetId"] == instance["id"]
    assert operation["user"] == "owner@example.org"
    assert operation["zone"] == instance["zone"] == ZONAL
    assert instance["status"] == "RUNNING"
    assert instance["machineType"] == f"{ZONAL}/machineTypes/f1-micro"
    interface = instance["networkInterfaces"][0]
    assert interface["network"] == f"{ROOT}/global/networks/default"
    assert interface["subnetwork"] == f"{ROOT}/regions/us-west1/subnetworks/default"
    assert interface["networkIP"] == "10.138.0.2"
    assert interface["accessConfigs"][0]["natIP"] == "198.19.0.2"
    machine = runtime.running[instance["id"]]
    assert machine.hostname == "vm.us-west1-b.c.cloudspill-sandbox.internal"
    assert (machine.vcpus, machine.memory_mb) == (1.0, 614)
    assert machine.nic.internal_ip == "10.138.0.2"
    assert network.attached["10.138.0.2"] == network.topology.nics[0]
    assert network.topology.nics[0].external_ip == "198.19.0.2"


async def test_boot_disk_is_a_clone_of_the_family_image(
    api: Client, spec: Any, runtime: MemoryRuntime
) -> None:
    await api.done("instances.insert", spec())
    disk = await api.call("disks.get", disk="vm")
    assert disk["status"] == "READY"
    assert disk["users"] == [f"{ZONAL}/instances/vm"]
    assert "/ubuntu-os-cloud/global/images/ubuntu-2204-jammy-" in disk["sourceImage"]
    assert runtime.volumes[f"d{disk['id']}"].lineage == ("debian-12",)


async def test_shared_core_types_may_burst_to_their_ceiling(
    api: Client, spec: Any, runtime: MemoryRuntime
) -> None:
    await api.done("instances.insert", spec(machineType=f"{ZONAL}/machineTypes/e2-micro"))
    (machine,) = runtime.running.values()
    assert (machine.vcpus, machine.memory_mb) == (2.0, 1024)


async def test_delete_takes_machine_addresses_and_auto_delete_disks(
    api: Client, spec: Any, runtime: MemoryRuntime, network: MemoryNetwork
) -> None:
    before = api.documents()
    await api.done("instances.insert", spec())
    await api.done("instances.delete", instance="vm")
    left = api.documents()
    left.pop("projects/cloudspill-sandbox/zones/us-west1-b/operations")
    assert left == before
    assert not runtime.running
    assert set(runtime.volumes) == {"debian-12"}
    assert not network.attached
    assert network.topology.nics == ()


async def test_delete_keeps_a_disk_without_auto_delete(api: Client, spec: Any) -> None:
    await api.done("instances.insert", spec(disks=[boot_disk()]))
    await api.done("instances.delete", instance="vm")
    disk = await api.call("disks.get", disk="vm")
    assert "users" not in disk
    await api.done("instances.insert", spec("again", disks=[{"boot": True, "source": "vm"}]))


async def test_a_released_address_rests_before_it_is_used_again(api: Client, spec: Any) -> None:
    await api.done("instances.insert", spec("first"))
    await api.done("instances.delete", instance="first")
    await api.done("instances.insert", spec("second"))
    assert (await api.instance("second"))["networkInterfaces"][0]["networkIP"] == "10.138.0.3"


@pytest.mark.parametrize("method", ["create_volume", "boot"])
async def test_a_failed_creation_leaves_nothing(
    api: Client, spec: Any, runtime: MemoryRuntime, network: MemoryNetwork, method: str
) -> None:
    before = api.documents()
    error = VolumeError("no space left") if method == "create_volume" else MachineError("no init")
    runtime.failures[method] = error
    failure = await api.failed("instances.insert", spec())
    assert failure == {"code": "INTERNAL_ERROR", "message": f"Internal error: {error}"}
    left = api.documents()
    operations = left.pop("projects/cloudspill-sandbox/zones/us-west1-b/operations")
    assert [operation["httpErrorStatusCode"] for operation in operations.values()] == [500]
    assert left == before
    assert not runtime.running
    assert set(runtime.volumes) == {"debian-12"}
    assert not network.attached
    assert network.topology.nics == ()


async def test_a_failed_creation_never_takes_a_disk_that_was_there(
    api: Client, spec: Any, runtime: MemoryRuntime
) -> None:
    await api.done("disks.insert", {"name": "mine", "sourceImage": IMAGE})
    runtime.failures["boot"] = MachineError("no init")
    await api.failed(
        "instances.insert", spec(disks=[{"boot": True, "source": "mine", "autoDelete": True}])
    )
    disk = await api.call("disks.get", disk="mine")
    assert (disk["status"], disk.get("users")) == ("READY", None)
    assert f"d{disk['id']}" in runtime.volumes


REFUSALS: list[tuple[dict[str, Any], int, str]] = [
    ({"name": None}, 400, "Required field 'resource.name' not specified"),
    (
        {"name": "Web"},
        400,
        f"Invalid value for field 'resource.name': 'Web'. Must be a match of regex '{NAME_REGEX}'",
    ),
    ({"machineType": None}, 400, "Required field 'resource.machineType' not specified"),
    (
        {"machineType": "zones/us-west1-b/machineTypes/n9-huge"},
        400,
        "Invalid value for field 'resource.machineType': 'zones/us-west1-b/machineTypes/n9-huge'. "
        "Machine type with name 'n9-huge' does not exist in zone 'us-west1-b'.",
    ),
    (
        {"machineType": "zones/us-east1-b/machineTypes/f1-micro"},
        400,
        "Machine type specified is in 'zones/us-east1-b', instance is in 'zones/us-west1-b'.",
    ),
    (
        {"machineType": "zones//machineTypes"},
        400,
        "'zones//machineTypes'. The URL is malformed.",
    ),
    (
        {"disks": [boot_disk(sourceImage="global/images/nowhere")]},
        400,
        "Invalid value for field 'resource.disks[0].initializeParams.sourceImage': "
        "'global/images/nowhere'. The referenced image resource cannot be found.",
    ),
    (
        {"disks": [boot_disk(sourceImage="projects/debian-cloud/global/images/family/debian-8")]},
        404,
        "The resource 'projects/debian-cloud/global/images/family/debian-8' was not found",
    ),
    (
        {"disks": [boot_disk(diskSizeGb="5")]},
        400,
        "'5'. Requested disk size cannot be smaller than the image size (10 GB)",
    ),
    ({"disks": [boot_disk(diskType="zones/us-west1-b/diskTypes/tape")]}, 400, "diskType"),
    ({"disks": [boot_disk(sourceSnapshot="global/snapshots/s")]}, 400, "at most one source"),
    ({"disks": []}, 400, "'resource.disks'"),
    ({"disks": [{"boot": True}]}, 400, "The boot disk needs a source"),
    ({"disks": [{"initializeParams": {"sourceImage": IMAGE}}]}, 400, "Boot disk must be the first"),
    ({"disks": [{"boot": True, "source": "zones/us-west1-b/disks/none"}]}, 400, "referenced disk"),
    ({"disks": [boot_disk(), boot_disk(diskName="b")]}, 400, "Only one boot disk"),
    ({"disks": [boot_disk(labels={"Up": "x"})]}, 400, "Label key 'Up' violates"),
    ({"networkInterfaces": []}, 400, "At least one network interface is required."),
    (
        {"networkInterfaces": [{"network": "global/networks/none"}]},
        400,
        "Invalid value for field 'resource.networkInterfaces[0].network': 'global/networks/none'. "
        "The referenced network resource cannot be found.",
    ),
    (
        {"networkInterfaces": [{"subnetwork": "regions/us-west1/subnetworks/none"}]},
        400,
        "The referenced subnetwork resource cannot be found.",
    ),
    (
        {"networkInterfaces": [{"subnetwork": "regions/us-east1/subnetworks/default"}]},
        400,
        "not in region 'us-west1'",
    ),
    ({"networkInterfaces": [{"networkIP": "10.1.2.3"}]}, 400, "networkIP"),
    ({"networkInterfaces": [{"networkIP": "10.138.0.1"}]}, 400, "networkIP"),
    ({"networkInterfaces": [{"networkIP": "nonsense"}]}, 400, "networkIP"),
    (
        {"networkInterfaces": [{"accessConfigs": [{"natIP": "198.19.9.9"}]}]},
        400,
        "The specified external IP address '198.19.9.9' was not found in region 'us-west1'.",
    ),
    ({"tags": {"items": ["Web_1"]}}, 400, f"Must be a match of regex '{NAME_REGEX}'"),
    ({"labels": {"Up": "x"}}, 400, "Label key 'Up' violates format constraints."),
    ({"labels": {"ok": "Up"}}, 400, "Label value 'Up' violates format constraints."),
    ({"labels": {f"k{n}": "" for n in range(65)}}, 400, "exceeds the limit of 64"),
    ({"metadata": {"items": [{"key": "a b", "value": ""}]}}, 400, "resource.metadata.items[0].key"),
    ({"metadata": {"items": [{"key": "k"}, {"key": "k"}]}}, 400, "duplicate keys: k"),
    ({"metadata": {"items": [{"key": "k", "value": "x" * 262145}]}}, 413, "size 262145."),
    ({"serviceAccounts": [{"email": "no@one.example"}]}, 404, "of type 'serviceAccount' was not"),
    ({"serviceAccounts": [{"email": "default", "scopes": ["all"]}]}, 400, "invalid: 'all'"),
    (
        {"scheduling": {"provisioningModel": "SPOT", "automaticRestart": True}},
        400,
        "AutomaticRestart is true",
    ),
    ({"scheduling": {"maxRunDuration": {"seconds": "29"}}}, 400, "between 30 and 10368000"),
    ({"scheduling": {"maxRunDuration": {"seconds": "60"}}}, 400, "instanceTerminationAction"),
    ({"hostname": "short"}, 400, "fully qualified"),
    ({"guestAccelerators": [{"acceleratorCount": 1}]}, 400, "docs/fidelity.md"),
]


@pytest.mark.parametrize(("fields", "status", "words"), REFUSALS)
async def test_insert_refuses_and_keeps_nothing(
    api: Client, spec: Any, runtime: MemoryRuntime, fields: dict[str, Any], status: int, words: str
) -> None:
    refusal = await api.refused("instances.insert", spec(**fields))
    assert refusal.status == status
    assert words in refusal.message
    assert set(runtime.volumes) == {"debian-12"}


async def test_insert_refuses_a_name_that_is_taken(api: Client, spec: Any) -> None:
    await api.done("instances.insert", spec())
    refusal = await api.refused("instances.insert", spec())
    name = "projects/cloudspill-sandbox/zones/us-west1-b/instances/vm"
    assert (refusal.status, refusal.reason) == (409, "alreadyExists")
    assert refusal.message == f"The resource '{name}' already exists"


async def test_insert_refuses_a_disk_name_that_is_taken(api: Client, spec: Any) -> None:
    await api.done("disks.insert", {"name": "vm"})
    refusal = await api.refused("instances.insert", spec())
    assert refusal.status == 409
    assert "/disks/vm" in refusal.message


async def test_insert_refuses_a_disk_that_is_in_use(api: Client, spec: Any) -> None:
    await api.done("instances.insert", spec())
    refusal = await api.refused(
        "instances.insert", spec("other", disks=[{"boot": True, "source": "vm"}])
    )
    assert refusal.reason == "resourceInUseByAnotherResource"


async def test_an_address_can_be_asked_for_once(api: Client, spec: Any) -> None:
    fields = {"networkInterfaces": [{"networkIP": "10.138.0.77"}]}
    await api.done("instances.insert", spec("one", **fields))
    assert (await api.instance("one"))["networkInterfaces"][0]["networkIP"] == "10.138.0.77"
    refusal = await api.refused("instances.insert", spec("two", **fields))
    assert "IP '10.138.0.77' is already being used by another resource." in refusal.message


async def test_a_full_subnetwork_refuses(api: Client, spec: Any) -> None:
    await api.done("networks.insert", {"name": "tiny", "autoCreateSubnetworks": False})
    await api.done(
        "subnetworks.insert",
        {"name": "tiny", "network": "global/networks/tiny", "ipCidrRange": "10.0.0.0/29"},
    )
    interface = [{"subnetwork": "regions/us-west1/subnetworks/tiny"}]
    for number in range(4):  # eight addresses, four of them Google's
        await api.done("instances.insert", spec(f"vm-{number}", networkInterfaces=interface))
    refusal = await api.refused("instances.insert", spec("vm-5", networkInterfaces=interface))
    assert refusal.reason == "IP_SPACE_EXHAUSTED"
    assert "10.0.0.0/29" in refusal.message


@pytest.mark.parametrize(
    "method",
    ["instances.get", "instances.delete", "instances.stop", "instances.getSerialPortOutput"],
)
async def test_an_absent_instance_is_404(api: Client, method: str) -> None:
    refusal = await api.refused(method, instance="none")
    assert (refusal.status, refusal.reason) == (404, "notFound")
    assert refusal.message == (
        "The resource 'projects/cloudspill-sandbox/zones/us-west1-b/instances/none' was not found"
    )


async def test_deletion_protection_is_honoured_until_it_is_lifted(api: Client, spec: Any) -> None:
    await api.done("instances.insert", spec(deletionProtection=True))
    refusal = await api.refused("instances.delete", instance="vm")
    assert (refusal.status, refusal.reason) == (400, "invalidResourceUsage")
    assert "Resource cannot be deleted if it's protected against deletion." in refusal.message
    await api.done("instances.setDeletionProtection", resource="vm", deletionProtection=False)
    await api.done("instances.delete", instance="vm")


async def test_other_projects_do_not_exist(api: Client) -> None:
    with pytest.raises(ApiError) as caught:
        await api.call("instances.list", project="elsewhere")
    assert caught.value.status == 404
    assert caught.value.message == "The resource 'projects/elsewhere' was not found"


async def test_the_project_number_is_the_project(api: Client, spec: Any) -> None:
    await api.done("instances.insert", spec(), project="415104041262")
    assert (await api.instance())["selfLink"].startswith(ROOT)


async def test_a_hundred_at_once(api: Client, spec: Any, runtime: MemoryRuntime) -> None:
    names = [f"vm-{number}" for number in range(100)]
    began = time.perf_counter()
    await asyncio.gather(*(api.done("instances.insert", spec(name)) for name in names))
    assert time.perf_counter() - began < 10
    assert len(runtime.running) == 100
    listed = await api.call("instances.list")
    addresses = {each["networkInterfaces"][0]["networkIP"] for each in listed["items"]}
    assert len(addresses) == 100


@pytest.fixture
async def sharers(api: Client, spec: Any) -> tuple[str, str]:
    """Two instances that read one disk, which both would take along."""
    await api.done("disks.insert", {"name": "shared"})
    shared = {"source": "zones/us-west1-b/disks/shared", "mode": "READ_ONLY", "autoDelete": True}
    for name in ("a", "b"):
        body = spec(name)
        await api.done("instances.insert", body | {"disks": [*body["disks"], shared]})
    return "a", "b"


async def test_what_is_attached_read_only_is_not_written_by_the_machine(
    api: Client, runtime: MemoryRuntime, sharers: tuple[str, str]
) -> None:
    for name in sharers:
        machine = runtime.running[(await api.instance(name))["id"]]
        assert machine.read_only == {"persistent-disk-1"}
        assert machine.written_volumes == (machine.boot_volume,)


async def test_a_shared_disk_goes_with_its_last_user(
    api: Client, runtime: MemoryRuntime, sharers: tuple[str, str]
) -> None:
    await api.done("instances.delete", instance="a")
    left = await api.instance("b")
    disk = await api.call("disks.get", disk="shared")
    assert disk["users"] == [left["selfLink"]]
    assert f"d{disk['id']}" in runtime.volumes
    await api.done("instances.delete", instance="b")
    assert (await api.refused("disks.get", disk="shared")).status == 404
    assert set(runtime.volumes) == {"debian-12"}


async def test_a_shared_disk_goes_when_all_its_users_go_at_once(
    api: Client, runtime: MemoryRuntime, sharers: tuple[str, str]
) -> None:
    await asyncio.gather(*(api.done("instances.delete", instance=name) for name in sharers))
    assert (await api.refused("disks.get", disk="shared")).status == 404
    assert set(runtime.volumes) == {"debian-12"}


async def test_taking_back_goes_on_where_one_part_of_it_fails(
    api: Client, spec: Any, runtime: MemoryRuntime
) -> None:
    body = spec()
    more = [{"autoDelete": True, "initializeParams": {"diskSizeGb": "10"}} for _ in range(2)]
    runtime.failures["boot"] = MachineError("no memory")
    runtime.failures["delete_volume"] = VolumeError("busy")
    await api.failed("instances.insert", body | {"disks": [*body["disks"], *more]})
    assert len(set(runtime.volumes) - {"debian-12"}) == 1, "the one that resisted"


async def test_a_deletion_that_failed_can_be_tried_again(
    api: Client, spec: Any, runtime: MemoryRuntime
) -> None:
    body = spec()
    more = {"autoDelete": True, "initializeParams": {"diskSizeGb": "10"}}
    await api.done("instances.insert", body | {"disks": [*body["disks"], more]})
    runtime.failures["delete_volume"] = VolumeError("busy")
    await api.failed("instances.delete", instance="vm")
    assert (await api.instance())["status"] == "TERMINATED"
    await api.done("instances.delete", instance="vm")
    assert set(runtime.volumes) == {"debian-12"}
