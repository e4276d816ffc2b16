# SPDX-License-Identifier: GPL-3.0-or-later
"""The properties of an instance template that is made of an instance.

https://cloud.google.com/compute/docs/instance-templates/create-instance-templates#based-on-existing-instance
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import documents, names, refusals, sources
from cloudspill_sandbox.compute.lookup import found
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.store import Transaction

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud

SOURCE, PARAMS = "sourceInstance", "sourceInstanceParams"
_KEPT = ("canIpForward", "description", "labels", "metadata", "minCpuPlatform", "scheduling")
_DISK = ("autoDelete", "boot", "deviceName", "diskSizeGb", "interface", "mode", "type")
_INTERFACE = ("name", "network", "subnetwork")


def of_instance(cloud: Cloud, tx: Transaction, body: Document) -> Document:
    """Return the InstanceProperties that an instance has, its addresses left out.

    Args:
        body: of an instanceTemplates.insert, with `sourceInstance`.

    Raises:
        ApiError: 404, there is no such instance; 400 for what its disks cannot be made of.
    """
    reference = body[SOURCE]
    # A bare name has no zone, and so means nothing.
    name = names.resolve(f"resource.{SOURCE}", reference, f"{cloud.project}/zones/-/instances")
    instance = found(tx, name)
    properties = documents.given(instance, *_KEPT, "serviceAccounts", "tags")
    configs = (body.get(PARAMS) or {}).get("diskConfigs") or []
    return properties | {
        "machineType": names.last(instance["machineType"]),
        "disks": list(_disks(cloud, tx, instance, configs)),
        "networkInterfaces": [_interface(each) for each in instance["networkInterfaces"]],
    }


def _disks(
    cloud: Cloud, tx: Transaction, instance: Document, configs: list[Document]
) -> Iterator[Document]:
    # A boot disk that was detached and attached again is the last one of the instance.
    boot_first = sorted(instance["disks"], key=lambda disk: not disk["boot"])
    attached = {disk["deviceName"]: disk for disk in boot_first}
    wanted = {}
    for at, config in enumerate(configs):
        field, device = f"resource.{PARAMS}.diskConfigs[{at}]", config.get("deviceName")
        if device not in attached:
            sentence = "The source instance has no disk with this device name."
            raise refusals.invalid_value(f"{field}.deviceName", device or "", sentence)
        wanted[device] = field, config
    for device, disk in attached.items():
        field, config = wanted.get(device, (f"resource.{SOURCE}", {}))
        how = config.get("instantiateFrom") or "DEFAULT"
        if how == "DO_NOT_INCLUDE" and not disk["boot"]:
            continue
        entry = documents.given(disk, *_DISK) | documents.given(config, "autoDelete")
        yield entry | _origin(cloud, tx, field, disk, how, config.get("customImage"))


def _origin(
    cloud: Cloud, tx: Transaction, field: str, disk: Document, how: str, image: str | None
) -> Document:
    """Return `source` or `initializeParams` of a template's disk."""
    read_only = disk["mode"] == "READ_ONLY"
    if how == "ATTACH_READ_ONLY" and not read_only:
        raise _impossible(field, how)
    if read_only and how in {"ATTACH_READ_ONLY", "DEFAULT"}:
        return {"source": names.last(disk["source"])}
    made = found(tx, names.relative(disk["source"]))
    params = {"diskSizeGb": made["sizeGb"], "diskType": names.last(made["type"])}
    if how == "BLANK" and not disk["boot"]:
        return {"initializeParams": params}
    if how == "CUSTOM_IMAGE" and image:
        return {"initializeParams": params | {"sourceImage": image}}
    if how not in {"DEFAULT", "SOURCE_IMAGE", "SOURCE_IMAGE_FAMILY"} or "sourceImage" not in made:
        raise _impossible(field, how)
    origin = made["sourceImage"]
    if how == "SOURCE_IMAGE_FAMILY":
        family = sources.image(cloud, tx, field, origin).get("family")
        if family is None:
            raise _impossible(field, how)
        origin = f"{origin.rpartition('/')[0]}/family/{family}"
    return {"initializeParams": params | {"sourceImage": origin}}


def _impossible(field: str, how: str) -> ApiError:
    sentence = "The disk cannot be instantiated in this way."
    return refusals.invalid_value(f"{field}.instantiateFrom", how, sentence)


def _interface(interface: Document) -> Document:
    kept = documents.given(interface, *_INTERFACE)
    if configs := interface.get("accessConfigs"):
        open_ones = [{k: v for k, v in config.items() if k != "natIP"} for config in configs]
        kept["accessConfigs"] = open_ones
    return kept
