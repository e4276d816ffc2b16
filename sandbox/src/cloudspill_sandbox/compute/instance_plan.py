# SPDX-License-Identifier: GPL-3.0-or-later
"""From an insert's body to an instance document, its disks and leases, in one transaction.

https://cloud.google.com/compute/docs/reference/rest/v1/instances/insert.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import (
    cpu_platforms,
    disk_features,
    disks,
    documents,
    instance_features,
    instance_metadata,
    interfaces,
    machines,
    names,
    quotas,
    refusals,
    scheduling,
    service_accounts,
    tags,
)
from cloudspill_sandbox.compute.catalogue.machine_types import machine_type, why_not
from cloudspill_sandbox.compute.catalogue.regions import CPU_PLATFORM
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.errors import already_exists
from cloudspill_sandbox.engine.store import Transaction

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud

RESTARTING = frozenset(
    {
        "displayDevice",
        "machineType",
        "minCpuPlatform",
        "scheduling",
        "serviceAccounts",
        "shieldedInstanceConfig",
    }
)
"""What an instance has from the moment when it is switched on."""

UPDATABLE = RESTARTING | {
    "canIpForward",
    "deletionProtection",
    "description",
    "labelFingerprint",
    "labels",
    "metadata",
    "tags",
}
"""What can change: https://cloud.google.com/compute/docs/instances/update-instance-properties."""

_HOST_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"


@dataclass(frozen=True, slots=True)
class Plan:
    """A reserved instance.

    Attributes:
        name: its relative name.
        new_disks: disks whose volumes are still to be made.
    """

    name: str
    new_disks: tuple[disks.NewDisk, ...]

    @property
    def warnings(self) -> list[Document]:
        """What the operation that makes it warns of."""
        return [warning for disk in self.new_disks for warning in disk.warnings]


def reserve(cloud: Cloud, tx: Transaction, zone: str, body: Document) -> Plan:
    """Check everything that an instance needs, and write it with status PROVISIONING.

    Raises:
        ApiError: as Google refuses it; the transaction must then be dropped.
    """
    key = names.check_name("resource.name", body.get("name"))
    name = f"{cloud.project}/zones/{zone}/instances/{key}"
    if tx.get(name):
        raise already_exists(name)
    features = instance_features.checked("resource", body)
    base = documents.resource("instance", name, cloud.clock())
    size = checked_machine_type(cloud, zone, "resource.machineType", body.get("machineType"))
    attached, new_disks = _disks(cloud, tx, name, body.get("disks") or [], size)
    schedule = scheduling.checked("resource.scheduling", body.get("scheduling"), cloud.clock())
    scheduling.check_machine_type(schedule, size)
    document = base | {
        "status": "PROVISIONING",
        "machineType": size,
        "tags": tags.checked("resource.tags", body.get("tags")),
        "metadata": instance_metadata.checked("resource.metadata", body.get("metadata")),
        "scheduling": schedule,
        "disks": attached,
        "networkInterfaces": interfaces.plan(
            cloud, tx, name, body.get("networkInterfaces") or [], size
        ),
        "canIpForward": bool(body.get("canIpForward")),
        "deletionProtection": bool(body.get("deletionProtection")),
        "startRestricted": False,
        "cpuPlatform": CPU_PLATFORM,
        "shieldedInstanceConfig": shielded(body.get("shieldedInstanceConfig")),
        "shieldedInstanceIntegrityPolicy": {"updateAutoLearnPolicy": True}
        | (body.get("shieldedInstanceIntegrityPolicy") or {}),
        "reservationAffinity": {"consumeReservationType": "ANY_RESERVATION"},
        "lastStartTimestamp": documents.timestamp(cloud.clock()),
    }
    if accounts := service_accounts.checked(
        cloud, tx, "resource.serviceAccounts", body.get("serviceAccounts")
    ):
        document["serviceAccounts"] = accounts
    document |= features | documents.given(body, "description", "displayDevice")
    document |= cpu_platforms.asked("resource.minCpuPlatform", body, size)
    if hostname := body.get("hostname"):
        document["hostname"] = _checked_hostname(hostname)
    labels = names.check_labels("resource.labels", body.get("labels"))
    document = stamped(documents.labelled(document, labels))
    tx.put(name, document)
    quotas.check(cloud, tx, zone)
    machines.index(tx, document)
    return Plan(name, tuple(new_disks))


def stamped(instance: Document) -> Document:
    """Return an instance with the fingerprint of what `instances.update` may change."""
    content = {field: instance.get(field) for field in sorted(UPDATABLE)}
    return instance | {"fingerprint": documents.fingerprint([instance["id"], content])}


def checked_machine_type(cloud: Cloud, zone: str, field: str, reference: str | None) -> str:
    """Return the link of the machine type that a reference means.

    Raises:
        ApiError: 400 when it is missing, in another zone, or not in the catalogue.
    """
    if not reference:
        raise refusals.missing(field)
    name = names.resolve(field, reference, f"{cloud.project}/zones/{zone}/machineTypes", bare=False)
    if names.scope(name) != f"zones/{zone}":
        raise refusals.invalid_value(
            field,
            reference,
            f"Machine type specified is in '{names.scope(name)}', instance is in 'zones/{zone}'.",
        )
    if machine_type(names.last(name)) is None:
        unknown = f"Machine type with name '{names.last(name)}' does not exist in zone '{zone}'."
        raise refusals.invalid_value(field, reference, why_not(names.last(name)) or unknown)
    return names.link(name)


def _disks(
    cloud: Cloud, tx: Transaction, instance: str, body: list[Document], size: str
) -> tuple[list[Document], list[disks.NewDisk]]:
    """Return the AttachedDisk documents, boot disk first, and the disks to make."""
    if not body:
        raise refusals.invalid_value("resource.disks", "", "At least one disk is required.")
    disks.check_count("resource.disks", len(body), size)
    if not body[0].get("boot"):
        raise refusals.invalid_value(
            "resource.disks[0].boot",
            json.dumps(bool(body[0].get("boot"))),
            "Boot disk must be the first disk attached to the instance.",
        )
    attached: list[Document] = []
    made: list[disks.NewDisk] = []
    for index, entry in enumerate(body):
        field = f"resource.disks[{index}]"
        if index and entry.get("boot"):
            raise refusals.invalid_value(f"{field}.boot", "true", "Only one boot disk is allowed.")
        disks.check_attachment(field, entry, boot=index == 0)
        if entry.get("source"):
            disk = disks.existing(cloud, tx, instance, entry, field)
        else:
            new = _new_disk(cloud, tx, instance, index, entry, field, size)
            made.append(new)
            disk = new.document
        disk_features.check_machine_type(disk, size)
        attached.append(
            disks.attachment(
                disk,
                entry,
                index,
                boot=index == 0,
                auto_delete=bool(entry.get("autoDelete")),
            )
        )
        disks.use(cloud, tx, names.relative(disk["selfLink"]), instance)
    disks.check_device_names("resource.disks", attached)
    return attached, made


def _new_disk(
    cloud: Cloud,
    tx: Transaction,
    instance: str,
    index: int,
    entry: Document,
    field: str,
    size: str,
) -> disks.NewDisk:
    params = entry.get("initializeParams") or {}
    at = f"{field}.initializeParams"
    if index == 0 and not params.get("sourceImage") and not params.get("sourceSnapshot"):
        raise refusals.invalid_value(
            field, "", "The boot disk needs a source, initializeParams.sourceImage or a snapshot."
        )
    key = names.last(instance) + (f"-{index}" if index else "")
    if asked := params.get("diskName"):
        key = names.check_name(f"{at}.diskName", asked)
    zone = instance.split("/")[3]
    body = params | {
        "sizeGb": params.get("diskSizeGb") or entry.get("diskSizeGb"),
        "type": params.get("diskType")
        or f"zones/{zone}/diskTypes/{disk_features.default_type(size)}",
    }
    name = f"{cloud.project}/zones/{zone}/disks/{key}"
    return disks.reserve(cloud, tx, name, body, at, "diskSizeGb")


def shielded(body: Document | None) -> Document:
    """Return a ShieldedInstanceConfig with Google's defaults."""
    default = {"enableSecureBoot": False, "enableVtpm": True, "enableIntegrityMonitoring": True}
    return default | {key: value for key, value in (body or {}).items() if value is not None}


def _checked_hostname(hostname: str) -> str:
    """https://cloud.google.com/compute/docs/instances/custom-hostname-vm#limitations.

    Unlike resources' names a label may begin with a digit: Google's own samples in
    GoogleCloudPlatform/python-docs-samples, compute/client_library, have `instance.672.hostname`.
    """
    labels = hostname.split(".")
    if len(labels) < 2 or not all(documents.full_match(_HOST_LABEL, label) for label in labels):
        raise refusals.invalid_value(
            "resource.hostname", hostname, "Must be a fully qualified RFC 1035 name."
        )
    return hostname
