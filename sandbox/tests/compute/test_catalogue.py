# SPDX-License-Identifier: GPL-3.0-or-later
"""Zones, regions, machine types, disk types."""

from __future__ import annotations

import ipaddress
import re

import pytest

from cloudspill_sandbox.compute.catalogue.regions import REGIONS, ZONES

from .conftest import Client


def test_automatic_ranges_do_not_overlap_and_lie_in_googles_block() -> None:
    ranges = [ipaddress.IPv4Network(region.auto_range) for region in REGIONS.values()]
    assert len(set(ranges)) == len(ranges) == 43
    for each in ranges:
        assert each.prefixlen == 20
        assert each.subnet_of(ipaddress.IPv4Network("10.128.0.0/9"))


async def test_zones_and_regions_name_each_other(api: Client) -> None:
    zone = await api.call("zones.get", zone="us-central1-f")
    region = await api.call("regions.get", region="us-central1")
    assert zone["region"] == region["selfLink"]
    assert zone["selfLink"] in region["zones"]
    assert len((await api.call("zones.list"))["items"]) == len(ZONES) == 130
    assert len((await api.call("regions.list"))["items"]) == 43


@pytest.mark.parametrize(
    ("name", "cpus", "memory", "shared"),
    [
        ("f1-micro", 1, 614, True),
        ("g1-small", 1, 1740, True),
        ("e2-micro", 2, 1024, True),
        ("e2-medium", 2, 4096, True),
        ("n1-standard-1", 1, 3840, False),
        ("n1-highcpu-2", 2, 1843, False),
        ("n1-highmem-2", 2, 13312, False),
        ("e2-standard-4", 4, 16384, False),
        ("n2-standard-8", 8, 32768, False),
        ("c2-standard-30", 30, 122880, False),
        ("n4-standard-2", 2, 8192, False),
        ("c3-standard-22", 22, 90112, False),
        ("n2-custom-4-8192", 4, 8192, False),
        ("custom-1-3840", 1, 3840, False),
    ],
)
async def test_machine_types(api: Client, name: str, cpus: int, memory: int, shared: bool) -> None:
    found = await api.call("machineTypes.get", machineType=name)
    assert (found["guestCpus"], found["memoryMb"], found["isSharedCpu"]) == (cpus, memory, shared)
    assert found["selfLink"].endswith(f"/zones/us-west1-b/machineTypes/{name}")


@pytest.mark.parametrize("name", ["n1-standard-3", "custom-3-4096", "custom-2-4000", "x"])
async def test_unknown_machine_types_are_404(api: Client, name: str) -> None:
    assert (await api.refused("machineTypes.get", machineType=name)).status == 404


async def test_machine_types_of_every_zone(api: Client) -> None:
    answer = await api.call("machineTypes.aggregatedList", filter="name = f1-micro")
    for scope, found in answer["items"].items():
        (only,) = found["machineTypes"]
        assert f"/{scope}/" in only["selfLink"]
    assert len(answer["items"]) == 130


async def test_disk_types(api: Client) -> None:
    assert (await api.call("diskTypes.get", diskType="pd-ssd"))["validDiskSize"] == "10GB-65536GB"
    assert (await api.refused("diskTypes.get", diskType="tape")).status == 404
    listed = await api.call("diskTypes.list")
    assert "pd-balanced" in {each["name"] for each in listed["items"]}
    everywhere = await api.call("diskTypes.aggregatedList", filter="name = pd-ssd")
    some = everywhere["items"]["zones/us-east1-b"]["diskTypes"][0]
    assert "/zones/us-east1-b/" in some["selfLink"]


@pytest.mark.parametrize(
    ("method", "parameters", "words"),
    [
        ("instances.list", {"zone": "us-west9-z"}, "'zone': 'us-west9-z'. Unknown zone."),
        ("addresses.list", {"region": "moon1"}, "'region': 'moon1'. Unknown region."),
        ("subnetworks.list", {"region": "us-west1-b"}, "'region': 'us-west1-b'. Unknown region."),
    ],
)
async def test_what_would_lie_in_an_unknown_place_is_refused(
    api: Client, method: str, parameters: dict[str, str], words: str
) -> None:
    """An answer as quoted in https://github.com/inspec/inspec-gcp/issues/301."""
    refusal = await api.refused(method, **parameters)
    assert (refusal.status, refusal.reason) == (400, "invalid")
    assert refusal.message == f"Invalid value for field {words}"


@pytest.mark.parametrize(("kind", "name"), [("zone", "us-east1-a"), ("region", "us-east1-b")])
async def test_an_unknown_place_is_not_found(api: Client, kind: str, name: str) -> None:
    """As quoted in https://github.com/GoogleCloudPlatform/gke-terraform-generator/issues/24."""
    refusal = await api.refused(f"{kind}s.get", **{kind: name})
    assert (refusal.status, refusal.reason) == (404, "notFound")
    assert re.fullmatch(
        rf"The resource 'projects/[^/]+/{kind}s/{name}' was not found", refusal.message
    )
