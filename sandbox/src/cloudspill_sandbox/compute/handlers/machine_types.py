# SPDX-License-Identifier: GPL-3.0-or-later
"""Machine types and disk types. https://cloud.google.com/compute/docs/reference/rest/v1/machineTypes."""

from __future__ import annotations

from collections.abc import Iterator

from cloudspill_sandbox.compute import names
from cloudspill_sandbox.compute.catalogue.disk_types import DISK_TYPES, DiskType
from cloudspill_sandbox.compute.catalogue.machine_types import (
    MACHINE_TYPES,
    MachineType,
    machine_type,
)
from cloudspill_sandbox.compute.catalogue.regions import ZONES
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.handlers import Methods
from cloudspill_sandbox.compute.handlers.locations import stable_id
from cloudspill_sandbox.compute.listing import aggregated, page
from cloudspill_sandbox.compute.lookup import zonal
from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.errors import not_found

_SINCE = "1969-12-31T16:00:00.000-08:00"


def _machine_type(cloud: Cloud, zone: str, size: MachineType) -> Document:
    return {
        "kind": "compute#machineType",
        "id": stable_id(size.name),
        "creationTimestamp": _SINCE,
        "name": size.name,
        "description": size.description,
        "guestCpus": size.vcpus,
        "memoryMb": size.memory_mb,
        "imageSpaceGb": 0,
        "maximumPersistentDisks": 16 if size.shared else 128,
        "maximumPersistentDisksSizeGb": "3072" if size.shared else "263168",
        "isSharedCpu": size.shared,
        "architecture": "X86_64",
        "zone": zone,
        "selfLink": names.link(f"{cloud.project}/zones/{zone}/machineTypes/{size.name}"),
    }


def _machine_types(cloud: Cloud, zone: str) -> Iterator[Document]:
    return (_machine_type(cloud, zone, size) for size in MACHINE_TYPES.values())


async def _get_machine_type(cloud: Cloud, call: Call) -> Document:
    size = machine_type(call.path["machineType"])
    if size is None:
        raise not_found(zonal(call, "machineTypes", "machineType"))
    return _machine_type(cloud, call.path["zone"], size)


async def _list_machine_types(cloud: Cloud, call: Call) -> Document:
    sizes = _machine_types(cloud, call.path["zone"])
    return page(call, "machineType", zonal(call, "machineTypes"), sizes)


async def _aggregate_machine_types(cloud: Cloud, call: Call) -> Document:
    everywhere = {f"zones/{zone}": _machine_types(cloud, zone) for zone in ZONES}
    return aggregated(call, "machineType", "machineTypes", tuple(everywhere), everywhere)


def _disk_type(cloud: Cloud, zone: str, disk_type: DiskType) -> Document:
    return {
        "kind": "compute#diskType",
        "id": stable_id(disk_type.name),
        "creationTimestamp": _SINCE,
        "name": disk_type.name,
        "description": disk_type.description,
        "validDiskSize": f"{disk_type.smallest_gb}GB-{disk_type.largest_gb}GB",
        "defaultDiskSizeGb": str(disk_type.default_gb),
        "zone": names.link(f"{cloud.project}/zones/{zone}"),
        "selfLink": names.link(f"{cloud.project}/zones/{zone}/diskTypes/{disk_type.name}"),
    }


def _disk_types(cloud: Cloud, zone: str) -> Iterator[Document]:
    return (_disk_type(cloud, zone, each) for each in DISK_TYPES.values())


async def _get_disk_type(cloud: Cloud, call: Call) -> Document:
    disk_type = DISK_TYPES.get(call.path["diskType"])
    if disk_type is None:
        raise not_found(zonal(call, "diskTypes", "diskType"))
    return _disk_type(cloud, call.path["zone"], disk_type)


async def _list_disk_types(cloud: Cloud, call: Call) -> Document:
    return page(call, "diskType", zonal(call, "diskTypes"), _disk_types(cloud, call.path["zone"]))


async def _aggregate_disk_types(cloud: Cloud, call: Call) -> Document:
    everywhere = {f"zones/{zone}": _disk_types(cloud, zone) for zone in ZONES}
    return aggregated(call, "diskType", "diskTypes", tuple(everywhere), everywhere)


METHODS: Methods = {
    "get": _get_machine_type,
    "list": _list_machine_types,
    "aggregatedList": _aggregate_machine_types,
}
DISK_TYPE_METHODS: Methods = {
    "get": _get_disk_type,
    "list": _list_disk_types,
    "aggregatedList": _aggregate_disk_types,
}
