# SPDX-License-Identifier: GPL-3.0-or-later
"""Zones and regions. https://cloud.google.com/compute/docs/reference/rest/v1/zones."""

from __future__ import annotations

import hashlib

from cloudspill_sandbox.compute import names, quotas
from cloudspill_sandbox.compute.catalogue.regions import CPU_PLATFORM, REGIONS, ZONES, Region
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.handlers import Methods
from cloudspill_sandbox.compute.listing import page
from cloudspill_sandbox.engine.call import Call, Document

_SINCE = "1969-12-31T16:00:00.000-08:00"


def stable_id(name: str) -> str:
    """Return a numeric id for something of the catalogue: the same in every life."""
    return str(int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) + 1000)


def _zone(cloud: Cloud, name: str, region: Region) -> Document:
    return {
        "kind": "compute#zone",
        "id": stable_id(name),
        "creationTimestamp": _SINCE,
        "name": name,
        "description": name,
        "status": "UP",
        "region": names.link(f"{cloud.project}/regions/{region.name}"),
        "selfLink": names.link(f"{cloud.project}/zones/{name}"),
        "availableCpuPlatforms": [CPU_PLATFORM],
        "supportsPzs": False,
    }


def _region(cloud: Cloud, region: Region) -> Document:
    return {
        "kind": "compute#region",
        "id": stable_id(region.name),
        "creationTimestamp": _SINCE,
        "name": region.name,
        "description": region.name,
        "status": "UP",
        "zones": [names.link(f"{cloud.project}/zones/{zone}") for zone in region.zones],
        "quotas": quotas.of_region(cloud, region.name),
        "selfLink": names.link(f"{cloud.project}/regions/{region.name}"),
        "supportsPzs": False,
    }


async def _get_zone(cloud: Cloud, call: Call) -> Document:
    name = call.path["zone"]
    return _zone(cloud, name, ZONES[name])


async def _list_zones(cloud: Cloud, call: Call) -> Document:
    zones = (_zone(cloud, name, region) for name, region in ZONES.items())
    return page(call, "zone", f"{cloud.project}/zones", zones)


async def _get_region(cloud: Cloud, call: Call) -> Document:
    return _region(cloud, REGIONS[call.path["region"]])


async def _list_regions(cloud: Cloud, call: Call) -> Document:
    regions = (_region(cloud, region) for region in REGIONS.values())
    return page(call, "region", f"{cloud.project}/regions", regions)


ZONE_METHODS: Methods = {"get": _get_zone, "list": _list_zones}
REGION_METHODS: Methods = {"get": _get_region, "list": _list_regions}
