# SPDX-License-Identifier: GPL-3.0-or-later
"""The implemented methods of Compute Engine v1, by their ids in Google's discovery document."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from cloudspill_sandbox.compute import refusals, request_ids
from cloudspill_sandbox.compute.catalogue.public_images import PUBLIC_PROJECTS
from cloudspill_sandbox.compute.catalogue.regions import REGIONS, ZONES
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.handlers import (
    CloudHandler,
    Methods,
    addresses,
    bulk_insert,
    disks,
    firewalls,
    images,
    instance_templates,
    instances,
    locations,
    machine_types,
    networks,
    operations,
    projects,
    routes,
    snapshots,
    subnetworks,
)
from cloudspill_sandbox.compute.lookup import by_name
from cloudspill_sandbox.engine.call import Call, Document, Handler, Reply, Service
from cloudspill_sandbox.engine.errors import not_found

_RESOURCES: Mapping[str, Methods] = {
    "addresses": addresses.METHODS,
    "diskTypes": machine_types.DISK_TYPE_METHODS,
    "disks": disks.METHODS,
    "firewalls": firewalls.METHODS,
    "globalOperations": operations.GLOBAL_METHODS,
    "imageFamilyViews": images.FAMILY_VIEW_METHODS,
    "images": images.METHODS,
    "instanceTemplates": instance_templates.METHODS,
    "instances": instances.METHODS,
    "machineTypes": machine_types.METHODS,
    "networks": networks.METHODS,
    "projects": projects.METHODS,
    "regionInstances": bulk_insert.METHODS,
    "regionOperations": operations.REGION_METHODS,
    "regions": locations.REGION_METHODS,
    "routes": routes.METHODS,
    "snapshots": snapshots.METHODS,
    "subnetworks": subnetworks.METHODS,
    "zoneOperations": operations.ZONE_METHODS,
    "zones": locations.ZONE_METHODS,
}

PUBLIC_METHODS = frozenset(
    f"compute.{method}"
    for method in ("images.get", "images.getFromFamily", "images.list", "imageFamilyViews.get")
)
"""Methods that anyone may call on a public project such as debian-cloud."""

_UNSUPPORTED_PARAMETERS = ("forceAttach", "serviceProjectNumber", "sourceMachineImage")


def compute_service(cloud: Cloud) -> Service:
    """Return every implemented method of this cloud, ready to be called."""
    return MappingProxyType(
        {
            f"compute.{resource}.{method}": _bound(cloud, handler)
            for resource, methods in _RESOURCES.items()
            for method, handler in methods.items()
        }
    )


def _bound(cloud: Cloud, handler: CloudHandler) -> Handler:
    async def answer(call: Call) -> Document | Reply:
        own = _seen_by(cloud, call)
        call = by_name(own.store, _project(own, call), call)
        _check_place(call)
        _check_body(call)
        refusals.check_supported("query", call.query, *_UNSUPPORTED_PARAMETERS)
        refusals.check_one_of("query", call.query, "views", ["DEFAULT"])
        # A repeated requestId is the same request: it gets the first one's operation.
        if (operation := request_ids.earlier(cloud.store, call)) is not None:
            return await cloud.operations.wait(operation, cloud.latency.patience)
        return await handler(own, call)

    return answer


def _seen_by(cloud: Cloud, call: Call) -> Cloud:
    """Return the cloud as the project sees it that a call names.

    Raises:
        ApiError: 404, there is no such project, whatever the method.
    """
    project = call.path["project"]
    if project in PUBLIC_PROJECTS and call.method in PUBLIC_METHODS:
        return cloud
    if (own := cloud.of(project)) is None:
        raise not_found(f"projects/{project}")
    return own


def _project(own: Cloud, call: Call) -> str:
    """Return the relative name of the project that a call names: by id, by number, a public one."""
    project = call.path["project"]
    return own.project if own.of(project) else f"projects/{project}"


def _check_body(call: Call) -> None:
    """Refuse to make a resource of nothing.

    https://github.com/googleapis/google-api-python-client/issues/608
    """
    if call.method.endswith(".insert") and not call.body:
        raise refusals.missing("resource")


def _check_place(call: Call) -> None:
    """Refuse a zone or region that does not exist: itself with 404, what would lie in it with 400.

    Answers as quoted in https://github.com/GoogleCloudPlatform/gke-terraform-generator/issues/24
    and https://github.com/inspec/inspec-gcp/issues/301.
    """
    for kind, known in (("zone", ZONES), ("region", REGIONS)):
        place = call.path.get(kind)
        if place is None or place in known:
            continue
        if call.method == f"compute.{kind}s.get":
            raise not_found(f"projects/{call.path['project']}/{kind}s/{place}")
        raise refusals.unknown_scope(kind, place)
