# SPDX-License-Identifier: GPL-3.0-or-later
"""Instance templates, and instances that are made of them.

https://cloud.google.com/compute/docs/instances/create-vm-from-instance-template
"""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import UBUNTU, ZONE, Client


def properties(**more: Any) -> dict[str, Any]:
    disk = {"sourceImage": UBUNTU, "diskType": "pd-standard", "diskSizeGb": "20"}
    return {
        "machineType": "e2-micro",
        "disks": [{"boot": True, "autoDelete": True, "initializeParams": disk}],
        "networkInterfaces": [{"network": "global/networks/default"}],
        "labels": {"team": "a", "tier": "web"},
        "metadata": {"items": [{"key": "greeting", "value": "hello"}]},
        "tags": {"items": ["web"]},
    } | more


@pytest.fixture(autouse=True)
async def template(api: Client) -> dict[str, Any]:
    body = {"name": "web", "description": "small", "properties": properties()}
    await api.done("instanceTemplates.insert", body)
    return dict(await api.call("instanceTemplates.get", instanceTemplate="web"))


async def insert(api: Client, source: str, **body: Any) -> None:
    await api.done("instances.insert", {"name": "vm"} | body, sourceInstanceTemplate=source)


async def test_a_template_is_read_as_it_was_given(api: Client, template: dict[str, Any]) -> None:
    held = template["properties"]
    assert (template["kind"], template["description"]) == ("compute#instanceTemplate", "small")
    assert (held["machineType"], held["labels"]["tier"]) == ("e2-micro", "web")
    assert held["tags"] == {"items": ["web"]}
    (disk,) = held["disks"]
    assert disk["initializeParams"]["diskType"] == "pd-standard"
    assert disk["initializeParams"]["sourceImage"] == UBUNTU
    (interface,) = held["networkInterfaces"]
    assert interface["network"].endswith("/global/networks/default")
    listed = await api.call("instanceTemplates.list")
    assert [each["name"] for each in listed["items"]] == ["web"]
    everywhere = await api.call("instanceTemplates.aggregatedList")
    assert [t["name"] for t in everywhere["items"]["global"]["instanceTemplates"]] == ["web"]


@pytest.mark.parametrize("source", ["global/instanceTemplates/web", "web"])
async def test_an_instance_is_what_its_template_says(api: Client, source: str) -> None:
    await insert(api, source)
    vm = await api.instance()
    assert vm["machineType"].endswith(f"/zones/{ZONE}/machineTypes/e2-micro")
    assert (vm["labels"], vm["tags"]["items"]) == ({"team": "a", "tier": "web"}, ["web"])
    assert vm["metadata"]["items"] == [{"key": "greeting", "value": "hello"}]
    disk = await api.call("disks.get", disk="vm")
    assert (disk["sizeGb"], disk["type"].rpartition("/")[2]) == ("20", "pd-standard")


async def test_what_the_request_gives_overrides_the_template(api: Client) -> None:
    other = {"items": ["db"]}
    kind = f"zones/{ZONE}/machineTypes/e2-small"
    await insert(api, "web", machineType=kind, labels={"tier": "db"}, tags=other)
    vm = await api.instance()
    assert vm["machineType"].endswith("/e2-small")
    assert vm["labels"] == {"team": "a", "tier": "db"}, "maps are merged"
    assert vm["tags"]["items"] == ["db"], "lists are replaced"


async def test_an_instance_outlives_its_template(api: Client) -> None:
    await insert(api, "web")
    await api.done("instanceTemplates.delete", instanceTemplate="web")
    assert (await api.instance())["status"] == "RUNNING"
    gone = await api.refused("instanceTemplates.get", instanceTemplate="web")
    assert gone.status == 404
    refusal = await api.refused("instances.insert", {"name": "x"}, sourceInstanceTemplate="web")
    assert (refusal.status, refusal.reason) == (400, "invalid")
    assert "The referenced instanceTemplate resource cannot be found" in refusal.message


async def test_a_template_s_name_is_taken_once(api: Client) -> None:
    body = {"name": "web", "properties": properties()}
    assert (await api.refused("instanceTemplates.insert", body)).status == 409


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"machineType": f"zones/{ZONE}/machineTypes/e2-micro"}, "properties.machineType"),
        ({"machineType": None}, "properties.machineType"),
        ({"disks": []}, "properties.disks"),
        ({"disks": [{"initializeParams": {}}]}, "properties.disks[0].boot"),
        ({"networkInterfaces": []}, "properties.networkInterfaces"),
        ({"networkInterfaces": [{"network": "nowhere"}]}, "networkInterfaces[0].network"),
        ({"labels": {"Team": "a"}}, "properties.labels"),
        ({"scheduling": {"preemptible": True, "automaticRestart": True}}, "scheduling"),
        ({"guestAccelerators": [{"acceleratorCount": 1}]}, "properties.guestAccelerators"),
    ],
)
async def test_what_no_instance_could_be_made_of_is_refused(
    api: Client, given: dict[str, Any], field: str
) -> None:
    body = {"name": "odd", "properties": properties(**given)}
    refusal = await api.refused("instanceTemplates.insert", body)
    assert refusal.status == 400
    assert field in refusal.message


async def test_a_template_needs_properties(api: Client) -> None:
    missing = await api.refused("instanceTemplates.insert", {"name": "odd"})
    assert missing.message == "Required field 'resource.properties' not specified"
