# SPDX-License-Identifier: GPL-3.0-or-later
"""What calls of Compute Engine need besides the permission that the method is named after.

https://cloud.google.com/compute/docs/instances/create-start-instance#permissions and the pages of
the other methods; `identity/test_methods_by_role.py` has every method.
"""

from __future__ import annotations

from typing import Any

import pytest

from cloudspill_sandbox.compute.permissions import compute_access
from cloudspill_sandbox.engine.call import Call, Principal
from cloudspill_sandbox.engine.errors import ApiError

from .conftest import UBUNTU, ZONE, Client

PROJECT = "projects/cloudspill-sandbox"
ZONAL = f"{PROJECT}/zones/{ZONE}"
ME = Principal("me@example.org")
Asked = dict[str, list[str]]


def asked(api: Client, method: str, body: Any = None, **parameters: Any) -> Asked:
    """Return what a call needs that nobody has already, names by permission."""
    described = api.api.methods[f"compute.{method}"]
    known = {"project": "cloudspill-sandbox", "zone": ZONE, "region": "us-west1"} | parameters
    path = {name: known[name] for name in described.path_parameters}
    query = {name: value for name, value in parameters.items() if name not in path}
    call = Call(described.id, path, query, body or {}, ME)
    found: Asked = {}
    for requirement in compute_access(api.cloud).requirements(call):
        if not requirement.granted:
            names = found.setdefault(requirement.permission.removeprefix("compute."), [])
            names.append(requirement.resource.removeprefix(f"{PROJECT}/"))
    return found


def instance(name: str = "vm", **more: Any) -> dict[str, Any]:
    boot = {"boot": True, "initializeParams": {"sourceImage": UBUNTU}}
    body = {"name": name, "disks": [boot], "networkInterfaces": [{}]}
    return {**body, "machineType": f"zones/{ZONE}/machineTypes/e2-micro", **more}


def test_an_instance_needs_its_disk_and_its_subnetwork(api: Client) -> None:
    """The image is a public one: everybody may use it."""
    assert asked(api, "instances.insert", instance()) == {
        "instances.create": [f"zones/{ZONE}/instances/vm"],
        "disks.create": [f"zones/{ZONE}/disks/vm"],
        "subnetworks.use": ["regions/us-west1/subnetworks/default"],
    }


def test_what_an_instance_is_given_needs_what_sets_it_later(api: Client) -> None:
    default = "415104041262-compute@developer.gserviceaccount.com"
    body = instance(
        labels={"a": "b"},
        tags={"items": ["web"]},
        metadata={"items": [{"key": "k", "value": "v"}]},
        serviceAccounts=[{"email": "default", "scopes": []}],
        networkInterfaces=[{"network": "global/networks/default", "accessConfigs": [{}]}],
    )
    needed = asked(api, "instances.insert", body)
    here = [f"zones/{ZONE}/instances/vm"]
    for verb in ("setLabels", "setTags", "setMetadata", "setServiceAccount"):
        assert needed[f"instances.{verb}"] == here
    assert needed["iam.serviceAccounts.actAs"] == [f"serviceAccounts/{default}"]
    assert needed["subnetworks.useExternalIp"] == ["regions/us-west1/subnetworks/default"]


def test_of_instances_in_a_region_that_is_none_nothing_more_is_asked(api: Client) -> None:
    """The call is refused for that, once it may be made."""
    body = {"count": "2", "namePattern": "vm-#", "instanceProperties": instance()}
    needed = asked(api, "regionInstances.bulkInsert", body, region="nowhere")
    assert list(needed) == ["instances.create"]


def test_a_disk_that_is_there_is_used(api: Client) -> None:
    writing = {"source": "zones/us-west1-b/disks/data"}
    link = f"https://www.googleapis.com/compute/v1/{ZONAL}/disks/shared"
    disks = [*instance()["disks"], writing, {"source": link, "mode": "READ_ONLY"}]
    needed = asked(api, "instances.insert", instance(disks=disks))
    assert needed["disks.use"] == [f"zones/{ZONE}/disks/data"]
    assert needed["disks.useReadOnly"] == [f"zones/{ZONE}/disks/shared"]
    attached = asked(api, "instances.attachDisk", {"source": link}, instance="vm")
    assert attached["disks.use"] == [f"zones/{ZONE}/disks/shared"]


@pytest.fixture
async def furnished(api: Client) -> Client:
    """An instance, a snapshot and an image of its disk, a static address."""
    account = {"email": "default", "scopes": []}
    await api.done("instances.insert", instance(serviceAccounts=[account]))
    await api.done("disks.createSnapshot", {"name": "snap"}, disk="vm")
    source = {"name": "golden", "family": "mine", "sourceSnapshot": "global/snapshots/snap"}
    await api.done("images.insert", source)
    await api.done("addresses.insert", {"name": "fixed"})
    return api


async def test_what_a_disk_is_made_of_is_read(furnished: Client) -> None:
    family = {"sourceImage": "global/images/family/mine"}
    clone = {"boot": True, "initializeParams": family | {"labels": {"a": "b"}, "diskName": "d"}}
    needed = asked(furnished, "instances.insert", instance("new", disks=[clone]))
    assert needed["images.useReadOnly"] == ["global/images/golden"]
    assert needed["disks.create"] == needed["disks.setLabels"] == [f"zones/{ZONE}/disks/d"]
    disk = {"name": "d", "sourceSnapshot": f"{PROJECT}/global/snapshots/snap"}
    assert asked(furnished, "disks.insert", disk)["snapshots.useReadOnly"] == [
        "global/snapshots/snap"
    ]
    copy = asked(furnished, "disks.insert", {"name": "d", "sourceDisk": "vm"})
    assert copy["disks.useReadOnly"] == [f"zones/{ZONE}/disks/vm"]
    older = asked(furnished, "disks.insert", {"name": "d"}, sourceImage="global/images/golden")
    assert older["images.useReadOnly"] == ["global/images/golden"]
    image = {"name": "i", "sourceDisk": f"zones/{ZONE}/disks/vm", "labels": {"a": "b"}}
    assert asked(furnished, "images.insert", image) == {
        "images.create": ["global/images/i"],
        "images.setLabels": ["global/images/i"],
        "disks.useReadOnly": [f"zones/{ZONE}/disks/vm"],
    }


async def test_a_snapshot_needs_both_the_disk_and_the_snapshot(furnished: Client) -> None:
    body = {"name": "s2", "labels": {"a": "b"}}
    expected = {
        "disks.createSnapshot": [f"zones/{ZONE}/disks/vm"],
        "snapshots.create": ["global/snapshots/s2"],
        "snapshots.setLabels": ["global/snapshots/s2"],
    }
    assert asked(furnished, "disks.createSnapshot", body, disk="vm") == expected
    named = body | {"sourceDisk": f"zones/{ZONE}/disks/vm"}
    assert asked(furnished, "snapshots.insert", named) == expected


def test_a_labelled_address_needs_the_right_to_label(api: Client) -> None:
    labelled = asked(api, "addresses.insert", {"name": "a", "labels": {"k": "v"}})
    name = ["regions/us-west1/addresses/a"]
    assert labelled == {"addresses.create": name, "addresses.setLabels": name}


async def test_an_update_needs_the_accounts_that_it_gives_programs_or_power(
    furnished: Client,
) -> None:
    vm = await furnished.instance()
    own = {"instances.update": ["zones/us-west1-b/instances/vm"]}
    assert asked(furnished, "instances.update", vm, instance="vm") == own
    other = {"email": "other@cloudspill-sandbox.iam.gserviceaccount.com", "scopes": []}
    changes: list[dict[str, Any]] = [
        {"metadata": {"items": [{"key": "startup-script", "value": "id"}]}},
        {"serviceAccounts": [other]},
    ]
    for change in changes:
        found = asked(furnished, "instances.update", vm | change, instance="vm")
        assert found.keys() == {"instances.update", "iam.serviceAccounts.actAs"}


async def test_moving_an_interface_needs_the_subnetwork_that_it_moves_to(
    furnished: Client,
) -> None:
    """https://cloud.google.com/vpc/docs/migrate-vm-network#iam-permissions"""
    there = {"instance": "vm", "networkInterface": "nic0"}
    method = "instances.updateNetworkInterface"
    own = {method: ["zones/us-west1-b/instances/vm"]}
    assert asked(furnished, method, {}, **there) == own
    used = {"subnetworks.use": ["regions/us-west1/subnetworks/default"]}
    body = {"network": "global/networks/default"}
    assert asked(furnished, method, body, **there) == own | used


async def test_a_static_address_is_used(furnished: Client) -> None:
    address = (await furnished.call("addresses.get", address="fixed"))["address"]
    config = {"natIP": address}
    expected = ["regions/us-west1/addresses/fixed"]
    body = instance("new", networkInterfaces=[{"accessConfigs": [config]}])
    assert asked(furnished, "instances.insert", body)["addresses.use"] == expected
    there = {"instance": "vm", "networkInterface": "nic0"}
    added = asked(furnished, "instances.addAccessConfig", config, **there)
    assert added["addresses.use"] == expected
    assert added["subnetworks.useExternalIp"] == ["regions/us-west1/subnetworks/default"]


async def test_metadata_and_accounts_need_the_right_to_act_as_the_account(
    furnished: Client,
) -> None:
    default = "serviceAccounts/415104041262-compute@developer.gserviceaccount.com"
    acting = "iam.serviceAccounts.actAs"
    assert asked(furnished, "instances.setMetadata", instance="vm")[acting] == [default]
    other = {"email": "other@cloudspill-sandbox.iam.gserviceaccount.com"}
    given = asked(furnished, "instances.setServiceAccount", other, instance="vm")
    assert given[acting] == [f"serviceAccounts/{other['email']}"]
    assert acting not in asked(furnished, "instances.setServiceAccount", instance="vm")
    assert acting not in asked(furnished, "instances.setTags", {}, instance="vm")


def test_a_reference_that_means_nothing_asks_for_nothing(api: Client) -> None:
    """The handler refuses it, in its own words."""
    wrong = {"boot": True, "initializeParams": {"sourceImage": "global/images/none"}}
    interface = {"subnetwork": "regions/us-west1/subnetworks/none"}
    body = instance(disks=[wrong], networkInterfaces=[interface])
    assert sorted(asked(api, "instances.insert", body)) == ["disks.create", "instances.create"]


@pytest.mark.parametrize("project", ["cloudspill-sandbox", "415104041262"])
def test_a_project_s_number_is_as_good_as_its_id(api: Client, project: str) -> None:
    listed = asked(api, "instances.list", project=project)
    assert listed == {"instances.list": [PROJECT]}
    found = asked(api, "firewalls.get", project=project, firewall="f")
    assert found == {"firewalls.get": ["global/firewalls/f"]}


def test_public_images_are_everybody_s_to_read_and_nobody_s_to_change(api: Client) -> None:
    public = {"project": "debian-cloud", "family": "debian-12", "image": "i"}
    assert asked(api, "images.getFromFamily", **public) == {}
    assert asked(api, "images.list", project="debian-cloud") == {}
    assert asked(api, "images.delete", **public) == {
        "images.delete": ["projects/debian-cloud/global/images/i"]
    }


def test_a_project_that_does_not_exist_is_not_found(api: Client) -> None:
    with pytest.raises(ApiError, match="The resource 'projects/none' was not found") as caught:
        asked(api, "instances.list", project="none")
    assert caught.value.status == 404


def test_a_refusal_names_everything_that_is_missing(api: Client) -> None:
    rules = compute_access(api.cloud)
    path = {"project": "cloudspill-sandbox", "zone": ZONE}
    body = instance(serviceAccounts=[{"email": "default"}])
    missing = rules.requirements(Call("compute.instances.insert", path, {}, body, ME))
    error = rules.denied(ME, [each for each in missing if not each.granted])
    assert error.message == (
        f"Required 'compute.instances.create' permission for '{ZONAL}/instances/vm'"
    )
    items = error.body()["error"]["errors"]
    assert [item["reason"] for item in items[:2]] == ["forbidden", "forbidden"]
    assert items[1]["message"] == (
        f"Required 'compute.disks.create' permission for '{ZONAL}/disks/vm'"
    )
    assert items[-1] == {
        "message": "The user does not have access to service account "
        "'415104041262-compute@developer.gserviceaccount.com'. User: 'me@example.org'. Ask a "
        "project owner to grant you the iam.serviceAccountUser role on the service account",
        "domain": "global",
        "reason": "SERVICE_ACCOUNT_ACCESS_DENIED",
    }


def test_an_internal_address_has_permissions_of_its_own(api: Client) -> None:
    """https://cloud.google.com/compute/docs/ip-addresses/configure-static-internal-ip-address"""
    region = "regions/us-west1"
    assert asked(api, "addresses.insert", {"name": "db", "addressType": "INTERNAL"}) == {
        "addresses.createInternal": [f"{region}/addresses/db"],
        "subnetworks.use": [f"{region}/subnetworks/default"],
    }
