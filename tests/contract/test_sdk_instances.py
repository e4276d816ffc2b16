# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be done with an instance, with both of Google's libraries; see sdks.py.

https://cloud.google.com/compute/docs/reference/rest/v1/instances
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import pytest

from .rest import Rest
from .sdks import Refused, Sdk
from .target import Target

BOOT = 180.0
"""Seconds until a guest's agent has published."""

Named = Callable[[str], str]


@pytest.fixture
def vm(api: Sdk, rest: Rest, named: Named) -> str:
    """The name of an instance that runs and has an external address."""
    name = named("vm")
    access = {"network": "global/networks/default", "accessConfigs": [{"name": "nat"}]}
    api("instances.insert", body=rest.instance(name, networkInterfaces=[access]))
    return name


def external(api: Sdk, vm: str) -> str | None:
    (interface,) = api("instances.get", instance=vm)["networkInterfaces"]
    (config,) = interface.get("accessConfigs", [{}])
    address: str | None = config.get("natIP")
    return address


def test_an_ephemeral_address_changes_over_stop_and_start_and_a_static_one_stays(
    api: Sdk, vm: str, named: Named
) -> None:
    # https://cloud.google.com/compute/docs/ip-addresses#reservedaddress
    ephemeral = external(api, vm)
    api("instances.stop", instance=vm)
    assert external(api, vm) is None
    api("instances.start", instance=vm)
    assert external(api, vm) not in (None, ephemeral)
    reserved = named("address")
    api("addresses.insert", body={"name": reserved})
    static = api("addresses.get", address=reserved)["address"]
    there = {"instance": vm, "networkInterface": "nic0"}
    api("instances.deleteAccessConfig", accessConfig="nat", **there)
    api("instances.addAccessConfig", body={"name": "static", "natIP": static}, **there)
    api("instances.updateAccessConfig", body={"name": "fixed"}, **there)
    (interface,) = api("instances.get", instance=vm)["networkInterfaces"]
    assert interface["accessConfigs"][0]["name"] == "fixed"
    held = api("addresses.get", address=reserved)
    assert (held["status"], held["users"][0].rpartition("/")[2]) == ("IN_USE", vm)
    api("instances.stop", instance=vm)
    api("instances.start", instance=vm)
    assert external(api, vm) == static
    api("instances.delete", instance=vm)
    assert api("addresses.get", address=reserved)["status"] == "RESERVED"
    api("addresses.delete", address=reserved)


def test_an_instance_is_suspended_and_resumed(api: Sdk, vm: str) -> None:
    # https://cloud.google.com/compute/docs/instances/suspend-resume-instance
    internal = api("instances.get", instance=vm)["networkInterfaces"][0]["networkIP"]
    api("instances.suspend", instance=vm)
    assert api("instances.get", instance=vm)["status"] == "SUSPENDED"
    api("instances.resume", instance=vm)
    resumed = api("instances.get", instance=vm)
    assert resumed["status"] == "RUNNING"
    assert resumed["networkInterfaces"][0]["networkIP"] == internal
    api("instances.reset", instance=vm)
    api("instances.delete", instance=vm)


def test_what_is_fixed_while_it_runs_is_changed_while_it_is_stopped(api: Sdk, vm: str) -> None:
    # https://cloud.google.com/compute/docs/instances/changing-machine-type-of-stopped-instance
    # Of the first generation, since E2 has no minimum CPU platform:
    # https://cloud.google.com/compute/docs/instances/specify-min-cpu-platform#availablezones
    here = {"instance": vm}
    changes: list[tuple[str, dict[str, Any]]] = [
        (
            "setMachineType",
            {"machineType": api("machineTypes.get", machineType="n1-standard-1")["selfLink"]},
        ),
        ("setScheduling", {"automaticRestart": False}),
        ("setMinCpuPlatform", {"minCpuPlatform": "Intel Skylake"}),
        ("updateShieldedInstanceConfig", {"enableSecureBoot": True}),
        ("setServiceAccount", {"email": "default", "scopes": [CLOUD_PLATFORM]}),
    ]
    for method, body in changes:
        with pytest.raises(Refused) as refusal:
            api(f"instances.{method}", body=body, **here)
        assert refusal.value.status == 400
    api("instances.stop", **here)
    for method, body in changes:
        api(f"instances.{method}", body=body, **here)
    changed = api("instances.get", **here)
    assert changed["machineType"].endswith("/n1-standard-1")
    assert not changed["scheduling"].get("automaticRestart")
    assert changed["serviceAccounts"][0]["scopes"] == [CLOUD_PLATFORM]
    api("instances.start", **here)
    api("instances.delete", **here)


def test_several_properties_are_updated_with_a_restart_that_is_allowed(api: Sdk, vm: str) -> None:
    # https://cloud.google.com/compute/docs/instances/update-instance-properties
    here = {"instance": vm}
    read = api("instances.get", **here)
    api("instances.update", body=read | {"description": "another", "canIpForward": True}, **here)
    changed = api("instances.get", **here)
    assert (changed["description"], changed["canIpForward"]) == ("another", True)
    with pytest.raises(Refused) as refusal:
        api("instances.update", body=read, **here)
    assert refusal.value.status == 412
    size = api("machineTypes.get", machineType="e2-small")["selfLink"]
    with pytest.raises(Refused) as refusal:
        api("instances.update", body=changed | {"machineType": size}, **here)
    assert refusal.value.status == 400
    allowed = {"mostDisruptiveAllowedAction": "RESTART", **here}
    api("instances.update", body=changed | {"machineType": size}, **allowed)
    restarted = api("instances.get", **here)
    assert restarted["machineType"].endswith("/e2-small")
    assert restarted["status"] == "RUNNING"
    api("instances.delete", **here)


def test_a_protected_instance_is_not_deleted(api: Sdk, vm: str) -> None:
    # https://cloud.google.com/compute/docs/instances/preventing-accidental-vm-deletion
    api("instances.setDeletionProtection", resource=vm, deletionProtection=True)
    with pytest.raises(Refused, match="protected against deletion"):
        api("instances.delete", instance=vm)
    api("instances.setDeletionProtection", resource=vm, deletionProtection=False)
    api("instances.delete", instance=vm)


def test_a_disk_is_attached_to_what_runs_used_and_detached(api: Sdk, vm: str, named: Named) -> None:
    # https://cloud.google.com/compute/docs/disks/add-persistent-disk
    disk = named("data")
    api("disks.insert", body={"name": disk, "sizeGb": "10"})
    source = api("disks.get", disk=disk)["selfLink"]
    api("instances.attachDisk", instance=vm, body={"source": source, "deviceName": "data"})
    with pytest.raises(Refused, match=f"disks/{disk}' is already being used by .*/{vm}'"):
        api("disks.delete", disk=disk)
    api("instances.setDiskAutoDelete", instance=vm, deviceName="data", autoDelete=True)
    api("instances.detachDisk", instance=vm, deviceName="data")
    boot = api("instances.get", instance=vm)["disks"][0]["deviceName"]
    with pytest.raises(Refused, match="must be in TERMINATED state"):
        api("instances.detachDisk", instance=vm, deviceName=boot)
    api("disks.delete", disk=disk)
    api("instances.delete", instance=vm)


def test_labels_tags_and_metadata_are_guarded_by_fingerprints(api: Sdk, vm: str) -> None:
    before = api("instances.get", instance=vm)
    changes = {
        "setLabels": {"labels": {"a": "b"}, "labelFingerprint": before["labelFingerprint"]},
        "setTags": {"items": ["web"], "fingerprint": before["tags"]["fingerprint"]},
        "setMetadata": {
            "items": [{"key": "enable-guest-attributes", "value": "TRUE"}],
            "fingerprint": before["metadata"]["fingerprint"],
        },
    }
    for method, body in changes.items():
        api(f"instances.{method}", instance=vm, body=body)
    after = api("instances.get", instance=vm)
    assert (after["labels"], after["tags"]["items"]) == ({"a": "b"}, ["web"])
    stale = {"items": ["db"], "fingerprint": before["tags"]["fingerprint"]}
    with pytest.raises(Refused) as refusal:
        api("instances.setTags", instance=vm, body=stale)
    assert refusal.value.status == 412
    api("instances.delete", instance=vm)


def test_an_instance_s_console_is_read_and_its_list_filtered(
    api: Sdk, vm: str, target: Target
) -> None:
    output = api("instances.getSerialPortOutput", instance=vm)
    rest = api("instances.getSerialPortOutput", instance=vm, start=output["next"])
    assert int(rest["start"]) == int(output["next"])
    only = f'(name = "{vm}") (status = RUNNING)'
    assert [each["name"] for each in api("instances.list", filter=only)] == [vm]
    found = api("instances.aggregatedList", filter=only)
    assert [i["name"] for i in found[f"zones/{target.zone}"]["instances"]] == [vm]
    others = {scope: part["warning"]["code"] for scope, part in found.items() if "warning" in part}
    assert set(others.values()) == {"NO_RESULTS_ON_PAGE"}
    api("instances.delete", instance=vm)


def test_addresses_are_promoted_and_internal_ones_reserved(
    api: Sdk, vm: str, rest: Rest, named: Named
) -> None:
    # https://cloud.google.com/compute/docs/ip-addresses/configure-static-internal-ip-address
    promoted, internal, user = named("promoted"), named("internal"), named("user")
    api("addresses.insert", body={"name": promoted, "address": external(api, vm)})
    assert api("addresses.get", address=promoted)["status"] == "IN_USE"
    api("instances.delete", instance=vm)
    api("addresses.delete", address=promoted)
    api("addresses.insert", body={"name": internal, "addressType": "INTERNAL"})
    address = api("addresses.get", address=internal)["address"]
    interface = {"network": "global/networks/default", "networkIP": address}
    api("instances.insert", body=rest.instance(user, networkInterfaces=[interface]))
    assert api("addresses.get", address=internal)["status"] == "IN_USE"
    api("instances.delete", instance=user)
    api("addresses.delete", address=internal)


def test_what_a_guest_published_is_read(api: Sdk, rest: Rest, named: Named) -> None:
    # https://cloud.google.com/compute/docs/metadata/manage-guest-attributes; Google's agent
    # publishes the host keys at boot.
    name = named("vm")
    enabled = {"items": [{"key": "enable-guest-attributes", "value": "TRUE"}]}
    rest.done("POST", f"zones/{rest.zone}/instances", rest.instance(name, metadata=enabled))

    def published() -> dict[str, str]:
        with contextlib.suppress(Refused):  # a 404 until it has booted
            read = api("instances.getGuestAttributes", instance=name, queryPath="hostkeys/")
            return {item["key"]: item["value"] for item in read["queryValue"]["items"]}
        return {}

    deadline = time.monotonic() + BOOT
    while "ssh-ed25519" not in published():
        assert time.monotonic() < deadline
        time.sleep(1)
    api("instances.delete", instance=name)


def test_maintenance_of_the_host_is_announced(api: Sdk, vm: str) -> None:
    # https://cloud.google.com/compute/docs/instances/simulating-host-maintenance: a minute ahead
    operation = api.begin("instances.simulateMaintenanceEvent", instance=vm)
    assert operation["status"] in {"PENDING", "RUNNING"}
    api("instances.delete", instance=vm)


CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
