# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be changed about an instance, and the fingerprints that guard it."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from cloudspill_sandbox.network.memory import MemoryNetwork
from cloudspill_sandbox.runtime.memory import MemoryRuntime

from .conftest import ZONE, Client

STALE = base64.b64encode(b"stale").decode()


@pytest.fixture(autouse=True)
async def vm(api: Client, spec: Any) -> dict[str, Any]:
    await api.done("instances.insert", spec(labels={"env": "test"}, tags={"items": ["b", "a"]}))
    return await api.instance()


async def test_tags_are_replaced_and_the_network_knows(
    api: Client, network: MemoryNetwork, vm: dict[str, Any]
) -> None:
    assert vm["tags"]["items"] == ["a", "b"]
    body = {"items": ["allow-5000"], "fingerprint": vm["tags"]["fingerprint"]}
    await api.done("instances.setTags", body, instance="vm")
    tags = (await api.instance())["tags"]
    assert tags["items"] == ["allow-5000"]
    assert tags["fingerprint"] != vm["tags"]["fingerprint"]
    assert network.topology.nics[0].tags == {"allow-5000"}


async def test_metadata_is_replaced(api: Client, vm: dict[str, Any]) -> None:
    body = {
        "items": [{"key": "startup-script", "value": "#!/bin/sh"}],
        "fingerprint": vm["metadata"]["fingerprint"],
    }
    await api.done("instances.setMetadata", body, instance="vm")
    assert (await api.instance())["metadata"]["items"] == body["items"]


async def test_labels_are_replaced_and_null_wipes_them(api: Client, vm: dict[str, Any]) -> None:
    body: dict[str, Any] = {"labels": {"k": "v"}, "labelFingerprint": vm["labelFingerprint"]}
    await api.done("instances.setLabels", body, instance="vm")
    changed = await api.instance()
    assert changed["labels"] == {"k": "v"}
    body = {"labels": None, "labelFingerprint": changed["labelFingerprint"]}
    await api.done("instances.setLabels", body, instance="vm")
    assert "labels" not in await api.instance()


@pytest.mark.parametrize("fingerprint", [STALE, None])
@pytest.mark.parametrize(
    ("method", "body", "field", "words"),
    [
        ("setTags", {"items": []}, "fingerprint", "tags fingerprint"),
        ("setMetadata", {"items": []}, "fingerprint", "metadata fingerprint"),
        ("setLabels", {"labels": {}}, "labelFingerprint", "Labels fingerprint either invalid"),
    ],
)
async def test_a_stale_fingerprint_is_412(
    api: Client, method: str, body: dict[str, Any], field: str, words: str, fingerprint: str | None
) -> None:
    given = {field: fingerprint} if fingerprint else {}
    refusal = await api.refused(f"instances.{method}", body | given, instance="vm")
    assert (refusal.status, refusal.reason) == (412, "conditionNotMet")
    assert words in refusal.message


async def test_fingerprints_come_back_when_content_does(api: Client, vm: dict[str, Any]) -> None:
    for items in (["x"], ["a", "b"]):
        current = (await api.instance())["tags"]["fingerprint"]
        body = {"items": items, "fingerprint": current}
        await api.done("instances.setTags", body, instance="vm")
    assert (await api.instance())["tags"]["fingerprint"] == vm["tags"]["fingerprint"]


async def test_fingerprints_are_the_same_in_base64_and_base64url(vm: dict[str, Any]) -> None:
    for text in (vm["fingerprint"], vm["labelFingerprint"], vm["tags"]["fingerprint"]):
        assert base64.urlsafe_b64encode(base64.b64decode(text, validate=True)).decode() == text


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("setMachineType", {"machineType": f"zones/{ZONE}/machineTypes/n1-standard-1"}),
        ("setServiceAccount", {"email": "default", "scopes": []}),
        ("setScheduling", {"automaticRestart": False}),
        ("setMinCpuPlatform", {"minCpuPlatform": "Intel Skylake"}),
        ("updateShieldedInstanceConfig", {"enableSecureBoot": True}),
    ],
)
async def test_some_things_change_only_while_stopped(
    api: Client, method: str, body: dict[str, Any]
) -> None:
    refusal = await api.refused(f"instances.{method}", body, instance="vm")
    assert refusal.reason in {"invalidResourceUsage", "UNSUPPORTED_OPERATION"}
    assert "must be stopped" in refusal.message
    await api.done("instances.stop", instance="vm")
    await api.done(f"instances.{method}", body, instance="vm")


async def test_a_changed_machine_type_is_booted(
    api: Client, runtime: MemoryRuntime, vm: dict[str, Any]
) -> None:
    await api.done("instances.stop", instance="vm")
    body = {"machineType": f"zones/{ZONE}/machineTypes/n1-standard-2"}
    await api.done("instances.setMachineType", body, instance="vm")
    await api.done("instances.start", instance="vm")
    machine = runtime.running[vm["id"]]
    assert (machine.vcpus, machine.memory_mb) == (2.0, 7680)


async def test_what_a_machine_is_made_of_is_changed_and_the_rest_stays(api: Client) -> None:
    await api.done("instances.stop", instance="vm")
    secure = {"enableSecureBoot": True}
    await api.done("instances.updateShieldedInstanceConfig", secure, instance="vm")
    platform = {"minCpuPlatform": "Intel Skylake"}
    await api.done("instances.setMinCpuPlatform", platform, instance="vm")
    vm = await api.instance()
    assert vm["shieldedInstanceConfig"] == {
        "enableSecureBoot": True,
        "enableVtpm": True,
        "enableIntegrityMonitoring": True,
    }
    assert vm["minCpuPlatform"] == "Intel Skylake"
    await api.done("instances.setMinCpuPlatform", {}, instance="vm")
    assert "minCpuPlatform" not in await api.instance()


async def test_a_value_of_metadata_that_is_too_large_is_refused(
    api: Client, vm: dict[str, Any]
) -> None:
    """https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-ssh-errors, and for
    the reason https://github.com/kubermatic/machine-controller of another field."""
    most = {"key": "most", "value": "x" * 262144}
    fingerprint = vm["metadata"]["fingerprint"]
    body = {"fingerprint": fingerprint, "items": [most, {"key": "k", "value": "x" * 262145}]}
    refusal = await api.refused("instances.setMetadata", body, instance="vm")
    assert (refusal.status, refusal.reason) == (413, "fieldSizeTooLarge")
    assert refusal.message == (
        "Value for field 'metadata.items[1].value' is too large: maximum size 262144 character(s); "
        "actual size 262145."
    )
    body = {"fingerprint": fingerprint, "items": [most]}
    await api.done("instances.setMetadata", body, instance="vm")


async def test_a_service_account_can_be_attached_and_taken(api: Client) -> None:
    await api.done("instances.stop", instance="vm")
    body = {"email": "default", "scopes": ["https://www.googleapis.com/auth/compute"]}
    await api.done("instances.setServiceAccount", body, instance="vm")
    (account,) = (await api.instance())["serviceAccounts"]
    assert account["email"] == "415104041262-compute@developer.gserviceaccount.com"
    await api.done("instances.setServiceAccount", {}, instance="vm")
    assert "serviceAccounts" not in await api.instance()


@pytest.mark.parametrize(
    "scope",
    [
        "useraccounts-ro",
        "cloud-platform",
        "devstorage.read_write",
        "https://www.googleapis.com/auth/",
        "https://www.googleapis.com/auth/compute logging",
    ],
)
async def test_what_has_not_the_form_of_a_scope_is_refused(api: Client, scope: str) -> None:
    """In the words of https://github.com/GoogleCloudPlatform/cloud-build-local/pull/49; their form:
    https://developers.google.com/identity/protocols/oauth2/scopes."""
    await api.done("instances.stop", instance="vm")
    scopes = ["https://www.googleapis.com/auth/devstorage.read_only", scope]
    body = {"email": "default", "scopes": scopes}
    refusal = await api.refused("instances.setServiceAccount", body, instance="vm")
    assert refusal.status == 400
    assert refusal.message == (f"One or more of the service account scopes are invalid: '{scope}'")


async def test_auto_delete_can_be_switched(api: Client, vm: dict[str, Any]) -> None:
    device = vm["disks"][0]["deviceName"]
    query = {"instance": "vm", "deviceName": device, "autoDelete": False}
    await api.done("instances.setDiskAutoDelete", **query)
    await api.done("instances.delete", instance="vm")
    assert (await api.call("disks.get", disk="vm"))["status"] == "READY"


async def test_an_unknown_device_is_refused(api: Client) -> None:
    query = {"instance": "vm", "deviceName": "none", "autoDelete": False}
    refusal = await api.refused("instances.setDiskAutoDelete", **query)
    assert "No attached disk found with device name" in refusal.message


async def test_external_addresses_come_and_go(api: Client, network: MemoryNetwork) -> None:
    there = {"instance": "vm", "networkInterface": "nic0"}
    await api.done("instances.deleteAccessConfig", accessConfig="nat", **there)
    assert [nic.external_ip for nic in network.topology.nics] == [None]
    missing = await api.refused("instances.deleteAccessConfig", accessConfig="nat", **there)
    assert "'nat' does not exist" in missing.message
    await api.done("instances.addAccessConfig", {"name": "again"}, **there)
    assert network.topology.nics[0].external_ip == "198.19.0.3"
    second = await api.refused("instances.addAccessConfig", {"name": "two"}, **there)
    assert "At most one access config" in second.message


async def test_disks_are_attached_to_what_is_stopped_and_started(
    api: Client, runtime: MemoryRuntime, vm: dict[str, Any]
) -> None:
    await api.done("disks.insert", {"name": "data", "sizeGb": "20"})
    body = {"source": f"zones/{ZONE}/disks/data", "deviceName": "data"}
    await api.done("instances.stop", instance="vm")
    await api.done("instances.attachDisk", body, instance="vm")
    await api.done("instances.start", instance="vm")
    disk = await api.call("disks.get", disk="data")
    assert runtime.running[vm["id"]].data_volumes == (("data", f"d{disk['id']}"),)
    assert (
        await api.refused("disks.delete", disk="data")
    ).reason == "resourceInUseByAnotherResource"
    await api.done("instances.stop", instance="vm")
    await api.done("instances.detachDisk", instance="vm", deviceName="data")
    await api.done("disks.delete", disk="data")


async def test_serial_output_goes_on_from_next(
    api: Client, runtime: MemoryRuntime, vm: dict[str, Any]
) -> None:
    first = await api.call("instances.getSerialPortOutput", instance="vm")
    assert first["contents"] == "vm login: \n"
    runtime.guest_print(vm["id"], "cloudspill: FAILED\n")
    more = await api.call("instances.getSerialPortOutput", instance="vm", start=first["next"])
    assert more["contents"] == "cloudspill: FAILED\n"
    assert more["start"] == first["next"]
    tail = await api.call("instances.getSerialPortOutput", instance="vm", start="-7")
    assert tail["contents"] == "FAILED\n"
    assert tail["next"] == more["next"]
    silent = await api.call("instances.getSerialPortOutput", instance="vm", port=2)
    assert silent["contents"] == ""


async def test_serial_output_comes_by_the_megabyte(
    api: Client, runtime: MemoryRuntime, vm: dict[str, Any]
) -> None:
    runtime.guest_print(vm["id"], "x" * 3_000_000)
    collected, start = "", "0"
    while True:
        answer = await api.call("instances.getSerialPortOutput", instance="vm", start=start)
        if not answer["contents"]:
            break
        assert len(answer["contents"]) <= 1 << 20
        collected, start = collected + answer["contents"], answer["next"]
    assert collected == "vm login: \n" + "x" * 3_000_000


async def test_a_negative_start_counts_from_the_end(
    api: Client, runtime: MemoryRuntime, vm: dict[str, Any]
) -> None:
    runtime.guest_print(vm["id"], "x" * 3_000_000 + "the end")
    end = len("vm login: \n") + 3_000_007
    last = await api.call("instances.getSerialPortOutput", instance="vm", start="-7")
    assert (last["contents"], last["start"], last["next"]) == ("the end", str(end - 7), str(end))
    most = await api.call("instances.getSerialPortOutput", instance="vm", start="-99999999")
    assert most["contents"].endswith("the end"), "no more than a megabyte, and the last one"
    assert (len(most["contents"]), most["start"]) == (1 << 20, str(end - (1 << 20)))
    runtime.guest_print(vm["id"], "!")
    more = await api.call("instances.getSerialPortOutput", instance="vm", start=most["next"])
    assert more["contents"] == "!"
