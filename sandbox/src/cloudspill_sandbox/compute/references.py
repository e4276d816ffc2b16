# SPDX-License-Identifier: GPL-3.0-or-later
"""Permissions for what a request refers to, besides what it is called on.

A reference that means nothing asks for nothing: the handler refuses it, in its own words.
https://cloud.google.com/compute/docs/access/iam-permissions, and each method's own page below
https://cloud.google.com/compute/docs/reference/rest/v1.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import (
    beginnings,
    bulk_orders,
    instance_templates,
    interfaces,
    leases,
    names,
    sources,
)
from cloudspill_sandbox.compute.catalogue.public_images import PUBLIC_PROJECTS
from cloudspill_sandbox.compute.catalogue.regions import ZONES
from cloudspill_sandbox.engine.access import Requirement
from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.store import Store

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud

SERVICE = "compute.googleapis.com"
ACT_AS = "iam.serviceAccounts.actAs"
_PROJECT_TYPE = "cloudresourcemanager.googleapis.com/Project"
_TYPES: Mapping[str, str] = {
    "addresses": "Address",
    "diskTypes": "DiskType",
    "disks": "Disk",
    "firewalls": "Firewall",
    "imageFamilyViews": "Image",
    "images": "Image",
    "instanceTemplates": "InstanceTemplate",
    "instances": "Instance",
    "machineTypes": "MachineType",
    "networks": "Network",
    "operations": "Operation",
    "regions": "Region",
    "routes": "Route",
    "snapshots": "Snapshot",
    "subnetworks": "Subnetwork",
    "zones": "Zone",
}
"""https://cloud.google.com/iam/docs/conditions-resource-attributes#resource-type"""


_ANYONE = frozenset(
    {
        "compute.images.get",
        "compute.images.getFromFamily",
        "compute.images.list",
        "compute.images.useReadOnly",
    }
)
"""What everybody may do in projects of public images."""


@dataclass(frozen=True, slots=True)
class Asking:
    """A call whose permissions are asked for.

    Attributes:
        project: relative name of the project that the call names.
    """

    cloud: Cloud
    project: str
    call: Call

    def on(self, permission: str, name: str) -> Requirement:
        """Require a permission on a resource of Compute Engine, by relative name."""
        segments = name.split("/")
        kind = _TYPES.get(segments[-2])
        return Requirement(
            permission,
            name,
            f"{SERVICE}/{kind}" if kind else _PROJECT_TYPE,
            SERVICE,
            (f"projects/{segments[1]}",),
            granted=permission in _ANYONE and segments[1] in PUBLIC_PROJECTS,
        )

    def on_source(self, permission: str, find: _Find, reference: str) -> Iterator[Requirement]:
        """Require a permission on the image, snapshot or disk that a reference means."""
        with contextlib.suppress(ApiError):
            found = find(self.cloud, self.cloud.store, "", reference)
            yield self.on(permission, names.relative(found["selfLink"]))

    def on_named(self, permission: str, reference: str, collection: str) -> Iterator[Requirement]:
        """Require a permission on what a reference means; a bare name is one of the collection."""
        with contextlib.suppress(ApiError):
            yield self.on(permission, names.resolve("", reference, f"{self.project}/{collection}"))

    def acting_as(self, account: Document | None) -> Iterator[Requirement]:
        """Require to be allowed to act as a service account that machines get or have.

        https://cloud.google.com/iam/docs/service-accounts-actas
        """
        if account and (email := account.get("email")):
            if email == "default":
                email = beginnings.default_account(self.cloud)
            name = f"{self.cloud.project}/serviceAccounts/{email}"
            yield Requirement(
                ACT_AS,
                name,
                "iam.googleapis.com/ServiceAccount",
                "iam.googleapis.com",
                (name, self.cloud.project),
            )


_Find = Callable[["Cloud", Store, str, str], Document]
_References = Callable[[Asking, Document], Iterator[Requirement]]


def of(asking: Asking) -> Iterator[Requirement]:
    """Return what a call's body and parameters require."""
    references = _BY_METHOD.get(asking.call.method)
    return references(asking, asking.call.body) if references else iter(())


def _instance(asking: Asking, body: Document) -> Iterator[Requirement]:
    """https://cloud.google.com/compute/docs/instances/create-start-instance#permissions"""
    zone = f"zones/{asking.call.path['zone']}"
    name = f"{asking.project}/{zone}/instances/{body.get('name') or ''}"
    if template := asking.call.query.get(instance_templates.PARAMETER):
        use = "compute.instanceTemplates.useReadOnly"
        yield from asking.on_named(use, template, "global/instanceTemplates")
        with contextlib.suppress(ApiError):
            body = instance_templates.applied(asking.cloud, asking.cloud.store, asking.call)
    for index, entry in enumerate(body.get("disks") or ()):
        if entry.get("source"):
            yield from _attached_disk(asking, entry)
            continue
        params = entry.get("initializeParams") or {}
        key = params.get("diskName") or names.last(name) + (f"-{index}" if index else "")
        yield from _new_disk(asking, f"{asking.project}/{zone}/disks/{key}", params)
    for interface in body.get("networkInterfaces") or ():
        yield from _interface(asking, interface)
    if (body.get("metadata") or {}).get("items"):
        yield asking.on("compute.instances.setMetadata", name)
    if (body.get("tags") or {}).get("items"):
        yield asking.on("compute.instances.setTags", name)
    if body.get("labels"):
        yield asking.on("compute.instances.setLabels", name)
    for account in body.get("serviceAccounts") or ():
        if account.get("email"):
            yield asking.on("compute.instances.setServiceAccount", name)
            yield from asking.acting_as(account)


def _bulk(asking: Asking, body: Document) -> Iterator[Requirement]:
    """https://cloud.google.com/compute/docs/instances/multiple/create-in-bulk#permissions"""
    if template := body.get("sourceInstanceTemplate"):
        use = "compute.instanceTemplates.useReadOnly"
        yield from asking.on_named(use, template, "global/instanceTemplates")
    found: dict[Requirement, None] = {}
    with contextlib.suppress(ApiError):
        order = bulk_orders.read(asking.cloud, asking.cloud.store, asking.call)
        for zone, each in order.bodies():
            call = replace(asking.call, path={**asking.call.path, "zone": zone}, query={})
            found |= dict.fromkeys(_instance(replace(asking, call=call), each))
    yield from found


def _new_disk(asking: Asking, name: str, body: Document) -> Iterator[Requirement]:
    yield asking.on("compute.disks.create", name)
    yield from _disk_made(asking, name, body)


def _disk_made(asking: Asking, name: str, body: Document) -> Iterator[Requirement]:
    if body.get("labels"):
        yield asking.on("compute.disks.setLabels", name)
    yield from _sources(asking, body)


def _sources(asking: Asking, body: Document) -> Iterator[Requirement]:
    """What a disk or image is made of is read:
    https://cloud.google.com/compute/docs/images/create-custom#permissions."""
    if image := body.get("sourceImage"):
        yield from asking.on_source("compute.images.useReadOnly", sources.image, image)
    if snapshot := body.get("sourceSnapshot"):
        yield from asking.on_source("compute.snapshots.useReadOnly", sources.snapshot, snapshot)
    if disk := body.get("sourceDisk"):
        find = functools.partial(sources.disk, zone=asking.call.path.get("zone"))
        yield from asking.on_source("compute.disks.useReadOnly", find, disk)


def _attached_disk(asking: Asking, body: Document) -> Iterator[Requirement]:
    permission = "useReadOnly" if body.get("mode") == "READ_ONLY" else "use"
    zone = asking.call.path["zone"]
    yield from asking.on_named(
        f"compute.disks.{permission}", body.get("source") or "", f"zones/{zone}/disks"
    )


def _interface(asking: Asking, body: Document) -> Iterator[Requirement]:
    """https://cloud.google.com/vpc/docs/create-modify-vpc-networks"""
    region = ZONES.get(asking.call.path["zone"])
    if region is None:
        return
    with contextlib.suppress(ApiError):
        found = interfaces.subnetwork_of(asking.cloud, asking.cloud.store, "", region.name, body)
        subnetwork = names.relative(found["selfLink"])
        yield asking.on("compute.subnetworks.use", subnetwork)
        yield from _static(asking, "useInternal", body.get("networkIP"))
        for config in body.get("accessConfigs") or ():
            yield asking.on("compute.subnetworks.useExternalIp", subnetwork)
            yield from _external_address(asking, config)


def _external_address(asking: Asking, config: Document) -> Iterator[Requirement]:
    yield from _static(asking, "use", config.get("natIP"))


def _static(asking: Asking, verb: str, address: str | None) -> Iterator[Requirement]:
    holder = leases.holder(asking.cloud.store, address or "")
    if holder and "/addresses/" in holder:
        yield asking.on(f"compute.addresses.{verb}", holder)


def _access_config(asking: Asking, body: Document) -> Iterator[Requirement]:
    for interface in _instance_of(asking).get("networkInterfaces", ()):
        if interface["name"] == asking.call.query.get("networkInterface"):
            subnetwork = names.relative(interface["subnetwork"])
            yield asking.on("compute.subnetworks.useExternalIp", subnetwork)
    yield from _external_address(asking, body)


def _moved_interface(asking: Asking, body: Document) -> Iterator[Requirement]:
    """https://cloud.google.com/vpc/docs/migrate-vm-network#iam-permissions"""
    if body.get("network") or body.get("subnetwork"):
        yield from _interface(asking, body)


def _metadata(asking: Asking, _: Document) -> Iterator[Requirement]:
    """Metadata are programs that run as the instance's account:
    https://cloud.google.com/compute/docs/metadata/setting-custom-metadata."""
    for account in _instance_of(asking).get("serviceAccounts", ()):
        yield from asking.acting_as(account)


def _updated(asking: Asking, body: Document) -> Iterator[Requirement]:
    """As `_metadata` and `_service_account`, where an update changes either."""
    before = _instance_of(asking)
    held, asked = before.get("metadata") or {}, body.get("metadata") or {}
    if (held.get("items") or []) != (asked.get("items") or []):
        yield from _metadata(asking, body)
    if before.get("serviceAccounts") != body.get("serviceAccounts"):
        for account in body.get("serviceAccounts") or ():
            yield from asking.acting_as(account)


def _common_metadata(asking: Asking, _: Document) -> Iterator[Requirement]:
    """As `_metadata`, of every instance of the project."""
    yield from asking.acting_as({"email": "default"})


def _service_account(asking: Asking, body: Document) -> Iterator[Requirement]:
    yield from asking.acting_as(body)


def _auto_delete(asking: Asking, _: Document) -> Iterator[Requirement]:
    for disk in _instance_of(asking).get("disks", ()):
        if disk["deviceName"] == asking.call.query.get("deviceName"):
            yield asking.on("compute.disks.update", names.relative(disk["source"]))


def _instance_of(asking: Asking) -> Document:
    """Return the instance that a method is called on, empty when there is none."""
    path = asking.call.path
    key = path.get("instance") or path.get("resource")
    return asking.cloud.store.get(f"{asking.project}/zones/{path['zone']}/instances/{key}") or {}


def _disk(asking: Asking, body: Document) -> Iterator[Requirement]:
    name = f"{asking.project}/zones/{asking.call.path['zone']}/disks/{body.get('name') or ''}"
    given = asking.call.query.get("sourceImage")
    yield from _disk_made(asking, name, body | {"sourceImage": given} if given else body)


def _disk_snapshot(asking: Asking, body: Document) -> Iterator[Requirement]:
    name = f"{asking.project}/global/snapshots/{body.get('name') or ''}"
    yield asking.on("compute.snapshots.create", name)
    if body.get("labels"):
        yield asking.on("compute.snapshots.setLabels", name)


def _snapshot(asking: Asking, body: Document) -> Iterator[Requirement]:
    if body.get("labels"):
        name = f"{asking.project}/global/snapshots/{body.get('name') or ''}"
        yield asking.on("compute.snapshots.setLabels", name)
    if disk := body.get("sourceDisk"):
        yield from asking.on_source("compute.disks.createSnapshot", sources.disk, disk)


def _image(asking: Asking, body: Document) -> Iterator[Requirement]:
    if body.get("labels"):
        name = f"{asking.project}/global/images/{body.get('name') or ''}"
        yield asking.on("compute.images.setLabels", name)
    yield from _sources(asking, body)


def _template(asking: Asking, body: Document) -> Iterator[Requirement]:
    """https://cloud.google.com/compute/docs/instance-templates/create-instance-templates"""
    if source := body.get("sourceInstance"):
        yield from asking.on_named("compute.instances.get", source, "zones/-/instances")


def _address(asking: Asking, body: Document) -> Iterator[Requirement]:
    if body.get("labels"):
        region = asking.call.path["region"]
        name = f"{asking.project}/regions/{region}/addresses/{body.get('name') or ''}"
        yield asking.on("compute.addresses.setLabels", name)
    if body.get("addressType") == "INTERNAL":
        with contextlib.suppress(ApiError):
            region = asking.call.path["region"]
            found = interfaces.subnetwork_of(asking.cloud, asking.cloud.store, "", region, body)
            yield asking.on("compute.subnetworks.use", names.relative(found["selfLink"]))


def _new_in_network(asking: Asking, body: Document) -> Iterator[Requirement]:
    """Firewall rules and subnetworks change their network:
    https://cloud.google.com/firewall/docs/using-firewalls."""
    network = body.get("network") or "global/networks/default"
    yield from asking.on_named("compute.networks.updatePolicy", network, "global/networks")


def _firewall(asking: Asking, _: Document) -> Iterator[Requirement]:
    name = f"{asking.project}/global/firewalls/{asking.call.path['firewall']}"
    yield from _network_of(asking, name)


def _subnetwork(asking: Asking, _: Document) -> Iterator[Requirement]:
    path = asking.call.path
    name = f"{asking.project}/regions/{path['region']}/subnetworks/{path['subnetwork']}"
    yield from _network_of(asking, name)


def _network_of(asking: Asking, name: str) -> Iterator[Requirement]:
    if found := asking.cloud.store.get(name):
        yield asking.on("compute.networks.updatePolicy", names.relative(found["network"]))


_BY_METHOD: Mapping[str, _References] = {
    "compute.addresses.insert": _address,
    "compute.disks.createSnapshot": _disk_snapshot,
    "compute.disks.insert": _disk,
    "compute.firewalls.delete": _firewall,
    "compute.firewalls.insert": _new_in_network,
    "compute.firewalls.patch": _firewall,
    "compute.firewalls.update": _firewall,
    "compute.images.insert": _image,
    "compute.instanceTemplates.insert": _template,
    "compute.instances.addAccessConfig": _access_config,
    "compute.instances.attachDisk": _attached_disk,
    "compute.instances.bulkInsert": _bulk,
    "compute.instances.insert": _instance,
    "compute.instances.setDiskAutoDelete": _auto_delete,
    "compute.instances.setMetadata": _metadata,
    "compute.instances.setServiceAccount": _service_account,
    "compute.instances.update": _updated,
    "compute.instances.updateNetworkInterface": _moved_interface,
    "compute.regionInstances.bulkInsert": _bulk,
    "compute.projects.setCommonInstanceMetadata": _common_metadata,
    "compute.snapshots.insert": _snapshot,
    "compute.subnetworks.delete": _subnetwork,
    "compute.subnetworks.insert": _new_in_network,
}
