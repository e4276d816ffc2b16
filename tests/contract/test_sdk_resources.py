# SPDX-License-Identifier: GPL-3.0-or-later
"""Every resource of Compute Engine from its making to its end, with both of Google's libraries.

Methods are those of https://cloud.google.com/compute/docs/reference/rest/v1; see sdks.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .sdks import CloudCompute, Refused, Sdk
from .target import Target

Named = Callable[[str], str]
DEBIAN = "projects/debian-cloud/global/images/family/debian-12"


def names(items: list[dict[str, Any]]) -> list[str]:
    return [item["name"] for item in items]


def labelled(api: Sdk, resource: str, key: str, name: str, **scope: str) -> None:
    """Give a resource labels, and see that a stale fingerprint is refused."""
    before = api(f"{resource}.get", **{key: name})
    body = {"labels": {"team": "a"}, "labelFingerprint": before["labelFingerprint"]}
    api(f"{resource}.setLabels", resource=name, body=body, **scope)
    assert api(f"{resource}.get", **{key: name})["labels"] == {"team": "a"}
    with pytest.raises(Refused) as refusal:
        api(f"{resource}.setLabels", resource=name, body=body | {"labels": {}}, **scope)
    assert refusal.value.status == 412


def test_an_address_is_reserved_listed_labelled_and_released(
    api: Sdk, target: Target, named: Named
) -> None:
    name = named("address")
    api("addresses.insert", body={"name": name})
    address = api("addresses.get", address=name)
    assert (address["status"], address["addressType"]) == ("RESERVED", "EXTERNAL")
    labelled(api, "addresses", "address", name)
    assert name in names(api("addresses.list"))
    part = api("addresses.aggregatedList")[f"regions/{target.region}"]
    assert name in names(part["addresses"])
    api("addresses.delete", address=name)
    with pytest.raises(Refused, match=rf"/addresses/{name}' was not found"):
        api("addresses.get", address=name)


def test_a_disk_is_made_resized_copied_and_deleted(api: Sdk, target: Target, named: Named) -> None:
    disk, snapshot, image = named("disk"), named("snapshot"), named("image")
    api("disks.insert", body={"name": disk, "sizeGb": "10"})
    api("disks.resize", disk=disk, body={"sizeGb": "12"})
    labelled(api, "disks", "disk", disk)
    assert disk in names(api("disks.list"))
    assert disk in names(api("disks.aggregatedList")[f"zones/{target.zone}"]["disks"])
    api("disks.createSnapshot", disk=disk, body={"name": snapshot})
    labelled(api, "snapshots", "snapshot", snapshot)
    assert str(api("snapshots.get", snapshot=snapshot)["diskSizeGb"]) == "12"
    assert snapshot in names(api("snapshots.list"))
    body = {"name": image, "family": image, "sourceSnapshot": f"global/snapshots/{snapshot}"}
    api("images.insert", body=body)
    labelled(api, "images", "image", image)
    assert api("images.getFromFamily", family=image)["name"] == image
    view = api("imageFamilyViews.get", family=image)
    assert view["image"]["name"] == image
    assert image in names(api("images.list"))
    api("images.patch", image=image, body={"description": "golden"})
    api("images.deprecate", image=image, body={"state": "OBSOLETE"})
    with pytest.raises(Refused):
        api("images.getFromFamily", family=image)
    api("images.delete", image=image)
    api("snapshots.delete", snapshot=snapshot)
    again = named("again")
    source = f"projects/{target.project}/zones/{target.zone}/disks/{disk}"
    api("snapshots.insert", body={"name": again, "sourceDisk": source})
    api("snapshots.delete", snapshot=again)
    api("disks.delete", disk=disk)


def test_a_firewall_rule_is_made_patched_replaced_and_deleted(api: Sdk, named: Named) -> None:
    name = named("rule")
    rule = {"name": name, "allowed": [{"IPProtocol": "tcp", "ports": ["80"]}]}
    api("firewalls.insert", body=rule)
    api("firewalls.patch", firewall=name, body={"priority": 900})
    assert name in names(api("firewalls.list"))
    patched = api("firewalls.get", firewall=name)
    assert (patched["priority"], patched["allowed"]) == (900, rule["allowed"])
    api("firewalls.update", firewall=name, body=rule | {"sourceRanges": ["192.0.2.0/24"]})
    replaced = api("firewalls.get", firewall=name)
    assert (replaced["priority"], replaced["sourceRanges"]) == (1000, ["192.0.2.0/24"])
    api("firewalls.delete", firewall=name)


def test_a_network_has_subnetworks_and_routes(api: Sdk, target: Target, named: Named) -> None:
    network, subnetwork = named("network"), named("subnet")
    api("networks.insert", body={"name": network, "autoCreateSubnetworks": False})
    api("networks.patch", network=network, body={"routingConfig": {"routingMode": "GLOBAL"}})
    assert network in names(api("networks.list"))
    link = api("networks.get", network=network)["selfLink"]
    body = {"name": subnetwork, "network": link, "ipCidrRange": "10.7.0.0/24"}
    api("subnetworks.insert", body=body)
    api(
        "subnetworks.setPrivateIpGoogleAccess",
        subnetwork=subnetwork,
        body={"privateIpGoogleAccess": True},
    )
    before = api("subnetworks.get", subnetwork=subnetwork)
    assert before["privateIpGoogleAccess"] is True
    closed = {"fingerprint": before["fingerprint"], "privateIpGoogleAccess": False}
    api("subnetworks.patch", subnetwork=subnetwork, body=closed)
    wider = {"ipCidrRange": "10.7.0.0/23"}
    api("subnetworks.expandIpCidrRange", subnetwork=subnetwork, body=wider)
    assert api("subnetworks.get", subnetwork=subnetwork)["ipCidrRange"] == "10.7.0.0/23"
    assert subnetwork in names(api("subnetworks.list"))
    everywhere = api("subnetworks.aggregatedList")[f"regions/{target.region}"]
    assert subnetwork in names(everywhere["subnetworks"])
    routes = [route for route in api("routes.list") if route["network"] == link]
    assert {route["destRange"] for route in routes} == {"0.0.0.0/0", "10.7.0.0/23"}
    assert api("routes.get", route=routes[0]["name"])["selfLink"] == routes[0]["selfLink"]
    with pytest.raises(Refused, match=f"networks/{network}' is already being used by"):
        api("networks.delete", network=network)
    api("subnetworks.delete", subnetwork=subnetwork)
    api("networks.delete", network=network)


def test_an_auto_mode_network_becomes_a_custom_one(api: Sdk, sandbox_only: Target) -> None:
    # Google Cloud takes minutes for the subnetworks of every region.
    api("networks.insert", body={"name": "auto", "autoCreateSubnetworks": True})
    api("networks.switchToCustomMode", network="auto")
    network = api("networks.get", network="auto")
    assert not network.get("autoCreateSubnetworks")
    for link in network["subnetworks"]:
        *_, region, _, name = link.split("/")
        api("subnetworks.delete", region=region, subnetwork=name)
    api("networks.delete", network="auto")


def test_an_instance_is_made_of_a_template(api: Sdk, named: Named) -> None:
    template, vm = named("template"), named("vm")
    disk = {"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": DEBIAN}}
    properties = {
        "machineType": "e2-micro",
        "disks": [disk],
        "networkInterfaces": [{"network": "global/networks/default"}],
        "labels": {"team": "a"},
    }
    api("instanceTemplates.insert", body={"name": template, "properties": properties})
    held = api("instanceTemplates.get", instanceTemplate=template)["properties"]
    assert (held["machineType"], held["labels"]) == ("e2-micro", {"team": "a"})
    assert template in names(api("instanceTemplates.list"))
    everywhere = api("instanceTemplates.aggregatedList")["global"]["instanceTemplates"]
    assert template in names(everywhere)
    source = f"global/instanceTemplates/{template}"
    api("instances.insert", sourceInstanceTemplate=source, body={"name": vm})
    made = api("instances.get", instance=vm)
    assert made["machineType"].endswith("/machineTypes/e2-micro")
    assert (made["status"], made["labels"]) == ("RUNNING", {"team": "a"})
    api("instances.delete", instance=vm)
    api("instanceTemplates.delete", instanceTemplate=template)


def test_the_catalogue_is_read(api: Sdk, target: Target) -> None:
    assert api("diskTypes.get", diskType="pd-standard")["name"] == "pd-standard"
    assert "pd-ssd" in names(api("diskTypes.list"))
    zone = f"zones/{target.zone}"
    assert "pd-ssd" in names(api("diskTypes.aggregatedList")[zone]["diskTypes"])
    assert api("machineTypes.get", machineType="e2-micro")["guestCpus"] == 2
    only = "name = e2-micro"
    kinds = api("machineTypes.aggregatedList", filter=only)[zone]["machineTypes"]
    assert names(kinds) == ["e2-micro"]
    assert target.region in names(api("regions.list"))
    assert api("regions.get")["status"] == "UP"
    assert target.zone in names(api("zones.list"))
    assert api("projects.get")["name"] == target.project


def test_operations_are_got_waited_for_listed_and_deleted(api: Sdk, named: Named) -> None:
    disk, address, rule = named("disk"), named("address"), named("rule")
    allowed = [{"IPProtocol": "icmp"}]
    done = {
        "zone": api("disks.insert", body={"name": disk, "sizeGb": "10"}),
        "region": api("addresses.insert", body={"name": address}),
        "global": api("firewalls.insert", body={"name": rule, "allowed": allowed}),
    }
    for scope, operation in done.items():
        collection, name = f"{scope}Operations", operation["name"]
        assert api(f"{collection}.get", operation=name)["operationType"] == "insert"
        assert api(f"{collection}.wait", operation=name)["status"] == "DONE"
        (listed,) = api(f"{collection}.list", filter=f'name = "{name}"')
        assert listed["progress"] == 100
        if isinstance(api, CloudCompute):
            continue  # it wants JSON of a deletion, which answers nothing by Google's reference
        api(f"{collection}.delete", operation=name)
        with pytest.raises(Refused) as refusal:
            api(f"{collection}.get", operation=name)
        assert refusal.value.status == 404
    assert api("globalOperations.aggregatedList")
    api("disks.delete", disk=disk)
    api("addresses.delete", address=address)
    api("firewalls.delete", firewall=rule)


def test_the_project_s_metadata_are_set(api: Sdk) -> None:
    before = api("projects.get")["commonInstanceMetadata"]
    items = before.get("items", [])
    body = {"fingerprint": before["fingerprint"], "items": [*items, {"key": "ct", "value": "x"}]}
    api("projects.setCommonInstanceMetadata", body=body)
    after = api("projects.get")["commonInstanceMetadata"]
    assert {"key": "ct", "value": "x"} in after["items"]
    body = {"fingerprint": after["fingerprint"], "items": items}
    api("projects.setCommonInstanceMetadata", body=body)
