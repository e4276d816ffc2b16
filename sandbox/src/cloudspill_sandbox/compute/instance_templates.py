# SPDX-License-Identifier: GPL-3.0-or-later
"""Instance templates: what they hold, and the body of the instance that is made of one.

https://cloud.google.com/compute/docs/instance-templates. Templates name machine and disk types
without a zone, for they are good for every zone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import (
    disk_features,
    disks,
    documents,
    instance_features,
    instance_metadata,
    interfaces,
    names,
    refusals,
    scheduling,
    tags,
)
from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.merge_patch import merged
from cloudspill_sandbox.engine.store import Store, Transaction

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud

PARAMETER = "sourceInstanceTemplate"
_KEPT = (
    "canIpForward",
    "description",
    "minCpuPlatform",
    "serviceAccounts",
    "shieldedInstanceConfig",
)
_REFERENCES = {"sourceImage": "global/images", "sourceSnapshot": "global/snapshots"}


def checked(cloud: Cloud, store: Store | Transaction, field: str, body: Document) -> Document:
    """Return InstanceProperties, of a new template or of instances that are made in bulk.

    Args:
        field: their name in the request, for the refusal.

    Raises:
        ApiError: 400 for what no instance could be made of, whatever its zone.
    """
    features = instance_features.checked(field, body)
    machine_type = body.get("machineType")
    if not machine_type:
        raise refusals.missing(f"{field}.machineType")
    if "/" in machine_type:
        raise refusals.no_match(f"{field}.machineType", machine_type, names.NAME)
    properties = (
        features
        | documents.given(body, *_KEPT)
        | {
            "machineType": machine_type,
            "disks": _disks(cloud, f"{field}.disks", body.get("disks") or [], machine_type),
            "networkInterfaces": _interfaces(
                cloud, store, f"{field}.networkInterfaces", body.get("networkInterfaces") or []
            ),
            "metadata": instance_metadata.checked(f"{field}.metadata", body.get("metadata")),
            "scheduling": scheduling.checked(
                f"{field}.scheduling", body.get("scheduling"), cloud.clock()
            ),
        }
    )
    if labels := names.check_labels(f"{field}.labels", body.get("labels")):
        properties["labels"] = labels
    if found := tags.checked(f"{field}.tags", body.get("tags")).get("items"):
        properties["tags"] = {"items": found}
    return properties


def _disks(cloud: Cloud, field: str, body: list[Document], size: str) -> list[Document]:
    if not body:
        raise refusals.invalid_value(field, "", "At least one disk is required.")
    disks.check_count(field, len(body), size)
    return [_disk(cloud, f"{field}[{index}]", index, entry) for index, entry in enumerate(body)]


def _disk(cloud: Cloud, field: str, index: int, body: Document) -> Document:
    boot = bool(body.get("boot"))
    if boot != (index == 0):
        raise refusals.invalid_value(
            f"{field}.boot", str(boot).lower(), "The first disk, and no other, is the boot disk."
        )
    disks.check_attachment(field, body, boot=boot)
    disk_features.checked(f"{field}.initializeParams", body.get("initializeParams") or {})
    disk = {
        "kind": "compute#attachedDisk",
        "type": "PERSISTENT",
        "mode": "READ_WRITE",
        "index": index,
        "autoDelete": False,
    } | {key: value for key, value in body.items() if value is not None}
    disk["boot"] = boot
    if params := body.get("initializeParams"):
        if "/" in (kind := params.get("diskType") or ""):
            # https://github.com/ansible-collections/google.cloud/pull/516
            sentence = f"DiskType '{kind}' must be a valid resource name (not an url)."
            raise refusals.invalid_value(f"{field}.initializeParams.diskType", kind, sentence)
        # References stay as they were written: they mean the image of the day they are used.
        for key, collection in _REFERENCES.items():
            if reference := params.get(key):
                at = f"{field}.initializeParams.{key}"
                names.resolve(at, reference, f"{cloud.project}/{collection}")
    return disk


def _interfaces(
    cloud: Cloud, store: Store | Transaction, field: str, body: list[Document]
) -> list[Document]:
    if not body:
        raise refusals.invalid_value(field, "", "At least one network interface is required.")
    return [_interface(cloud, store, f"{field}[{at}]", at, each) for at, each in enumerate(body)]


def _interface(
    cloud: Cloud, store: Store | Transaction, field: str, at: int, body: Document
) -> Document:
    interfaces.check_features(field, body)
    # Names of interfaces are the server's, whatever a client says.
    interface = body | {"kind": "compute#networkInterface", "name": f"nic{at}"}
    if not (body.get("network") or body.get("subnetwork")):
        interface["network"] = "global/networks/default"
    if reference := interface.get("network"):
        collection = f"{cloud.project}/global/networks"
        name = names.resolve(f"{field}.network", reference, collection, bare=False)
        if store.get(name) is None:
            raise refusals.dangling(f"{field}.network", reference, "network")
        interface["network"] = names.link(name)
    if reference := interface.get("subnetwork"):
        collection = f"{cloud.project}/regions/-/subnetworks"
        names.resolve(f"{field}.subnetwork", reference, collection, bare=False)
    return interface


def applied(cloud: Cloud, store: Store | Transaction, call: Call) -> Document:
    """Return the body of an instances.insert: the template's, changed by the request's own.

    https://cloud.google.com/compute/docs/instances/create-vm-from-instance-template#creating_a_vm_instance_from_an_instance_template_with_overrides

    Raises:
        ApiError: 400, there is no such template.
    """
    reference = call.query.get(PARAMETER)
    if not reference:
        return call.body
    held = properties(cloud, store, PARAMETER, reference)
    body: Document = merged(in_zone(held, call.path["zone"]), call.body)
    return body


def properties(cloud: Cloud, store: Store | Transaction, field: str, reference: str) -> Document:
    """Return what a template holds, its references good for every project.

    Raises:
        ApiError: 400, there is none of this name.
    """
    name = names.resolve(field, reference, f"{cloud.project}/global/instanceTemplates")
    template = store.get(name)
    if template is None:
        raise refusals.dangling(field, reference, "instanceTemplate")
    return _absolute(template["properties"], f"projects/{names.project(name)}")


def _absolute(properties: Document, project: str) -> Document:
    """Return InstanceProperties that mean in any project what they mean in the template's."""

    def of_template(reference: str, collection: str) -> str:
        path = names.without_host(reference)
        if path.startswith("projects/"):
            return reference
        return f"{project}/{path}" if "/" in path else f"{project}/{collection}/{path}"

    def qualified(body: Document, references: Mapping[str, str]) -> Document:
        return body | {
            key: of_template(body[key], collection)
            for key, collection in references.items()
            if body.get(key)
        }

    return properties | {
        "disks": [
            disk | {"initializeParams": qualified(params, _REFERENCES)}
            if (params := disk.get("initializeParams"))
            else disk
            for disk in properties["disks"]
        ],
        "networkInterfaces": [
            qualified(each, {"subnetwork": "regions"}) for each in properties["networkInterfaces"]
        ],
    }


def in_zone(properties: Document, zone: str) -> Document:
    """Return the body of an instances.insert out of InstanceProperties, but for the name."""
    scope = f"zones/{zone}"
    attached = []
    for disk in properties["disks"]:
        params = disk.get("initializeParams")
        if params and params.get("diskType"):
            params = params | {"diskType": f"{scope}/diskTypes/{params['diskType']}"}
        attached.append(disk | ({"initializeParams": params} if params else {}))
    machine_type = f"{scope}/machineTypes/{properties['machineType']}"
    return properties | {"machineType": machine_type, "disks": attached}
