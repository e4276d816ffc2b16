# SPDX-License-Identifier: GPL-3.0-or-later
"""Instance templates that are made of an instance.

https://cloud.google.com/compute/docs/instance-templates/create-instance-templates#based-on-existing-instance,
as Google's sample create_template_from_instance makes one
(GoogleCloudPlatform/python-docs-samples, compute/client_library).
"""

from __future__ import annotations

from typing import Any

import pytest

from cloudspill_sandbox.compute.permissions import compute_access
from cloudspill_sandbox.engine.call import Call

from .conftest import UBUNTU, ZONE, Client

SOURCE = f"zones/{ZONE}/instances/vm"
ROCKY = "projects/rocky-linux-cloud/global/images/family/rocky-linux-8"


@pytest.fixture(autouse=True)
async def vm(api: Client, spec: Any) -> dict[str, Any]:
    """A running instance with two disks, a tag, a label, metadata and an external address."""
    boot = {
        "boot": True,
        "autoDelete": True,
        "deviceName": "disk-1",
        "initializeParams": {"sourceImage": UBUNTU, "diskSizeGb": "20"},
    }
    data = {"deviceName": "data", "initializeParams": {"diskSizeGb": "30"}}
    body = spec(
        "vm",
        disks=[boot, data],
        tags={"items": ["web"]},
        labels={"team": "a"},
        metadata={"items": [{"key": "greeting", "value": "hello"}]},
        networkInterfaces=[{"accessConfigs": [{"name": "nat"}]}],
    )
    await api.done("instances.insert", body)
    return await api.instance("vm")


async def made(api: Client, *configs: dict[str, Any]) -> dict[str, Any]:
    """Make a template of the instance and return it."""
    params = {"sourceInstanceParams": {"diskConfigs": list(configs)}} if configs else {}
    await api.done("instanceTemplates.insert", {"name": "t", "sourceInstance": SOURCE} | params)
    return dict(await api.call("instanceTemplates.get", instanceTemplate="t"))


async def test_it_has_what_the_instance_has_but_its_addresses(
    api: Client, vm: dict[str, Any]
) -> None:
    data = {"deviceName": "data", "instantiateFrom": "BLANK"}
    template = await made(api, data)
    held = template["properties"]
    assert template["sourceInstance"] == SOURCE
    assert held["machineType"] == vm["machineType"].rpartition("/")[2]
    assert (held["labels"], held["tags"]) == ({"team": "a"}, {"items": ["web"]})
    assert held["metadata"]["items"] == vm["metadata"]["items"]
    (interface,) = held["networkInterfaces"]
    assert interface["network"] == vm["networkInterfaces"][0]["network"]
    assert "networkIP" not in interface
    assert "natIP" not in interface["accessConfigs"][0]
    boot, blank = held["disks"]
    newest = await api.call(
        "images.getFromFamily", project="ubuntu-os-cloud", family="ubuntu-2204-lts"
    )
    assert boot["initializeParams"]["sourceImage"] == newest["selfLink"]
    assert (boot["diskSizeGb"], boot["autoDelete"]) == ("20", True)
    assert "sourceImage" not in blank["initializeParams"]


async def test_an_instance_is_made_of_it(api: Client, vm: dict[str, Any]) -> None:
    await made(api, {"deviceName": "data", "instantiateFrom": "DO_NOT_INCLUDE"})
    await api.done("instances.insert", {"name": "copy"}, sourceInstanceTemplate="t")
    copy = await api.instance("copy")
    assert (copy["machineType"], copy["labels"]) == (vm["machineType"], vm["labels"])
    assert len(copy["disks"]) == 1
    address = copy["networkInterfaces"][0]["accessConfigs"][0]["natIP"]
    assert address != vm["networkInterfaces"][0]["accessConfigs"][0]["natIP"]


async def test_a_disk_is_made_as_its_config_says(api: Client) -> None:
    boot = {
        "deviceName": "disk-1",
        "instantiateFrom": "CUSTOM_IMAGE",
        "customImage": ROCKY,
        "autoDelete": False,
    }
    held = (await made(api, boot, {"deviceName": "data", "instantiateFrom": "DO_NOT_INCLUDE"}))[
        "properties"
    ]
    (disk,) = held["disks"]
    assert disk["initializeParams"]["sourceImage"] == ROCKY
    assert (disk["autoDelete"], disk["boot"]) == (False, True)


async def test_the_boot_disk_comes_first_though_it_was_attached_last(
    api: Client, vm: dict[str, Any]
) -> None:
    """https://cloud.google.com/compute/docs/disks/detach-reattach-boot-disk"""
    boot = vm["disks"][0]
    await api.done("instances.stop", instance="vm")
    await api.done("instances.detachDisk", instance="vm", deviceName="disk-1")
    again = {"source": boot["source"], "boot": True, "deviceName": "disk-1"}
    await api.done("instances.attachDisk", again, instance="vm")
    template = await made(api, {"deviceName": "data", "instantiateFrom": "BLANK"})
    disks = template["properties"]["disks"]
    assert [(disk["deviceName"], disk["index"]) for disk in disks] == [("disk-1", 0), ("data", 1)]
    await api.done("instances.insert", {"name": "copy"}, sourceInstanceTemplate="t")


async def test_a_family_is_named_for_the_image_of_the_instance(api: Client) -> None:
    boot = {"deviceName": "disk-1", "instantiateFrom": "SOURCE_IMAGE_FAMILY"}
    template = await made(api, boot, {"deviceName": "data", "instantiateFrom": "BLANK"})
    image = template["properties"]["disks"][0]["initializeParams"]["sourceImage"]
    assert image.endswith(UBUNTU)


async def test_its_maker_must_see_the_instance(api: Client) -> None:
    body = {"name": "t", "sourceInstance": SOURCE}
    path = {"project": api.cloud.settings.project}
    call = Call("compute.instanceTemplates.insert", path, {}, body, api.principal)
    required = compute_access(api.cloud).requirements(call)
    assert [(each.permission, each.resource.rpartition("/")[2]) for each in required] == [
        ("compute.instanceTemplates.create", "t"),
        ("compute.instances.get", "vm"),
    ]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"sourceInstance": f"zones/{ZONE}/instances/other"}, "instances/other' was not found"),
        ({"sourceInstance": "vm"}, "instances/vm' was not found"),
        ({"sourceInstance": SOURCE}, "instantiateFrom': 'DEFAULT'"),
        (
            {
                "sourceInstance": SOURCE,
                "sourceInstanceParams": {"diskConfigs": [{"deviceName": "none"}]},
            },
            "diskConfigs[0].deviceName': 'none'",
        ),
        (
            {"sourceInstance": SOURCE, "properties": {"machineType": "e2-small"}},
            "at most one of properties and sourceInstance",
        ),
    ],
)
async def test_what_cannot_be_is_refused(api: Client, body: dict[str, Any], words: str) -> None:
    refusal = await api.refused("instanceTemplates.insert", {"name": "t"} | body)
    assert words in refusal.message
