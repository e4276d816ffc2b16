# SPDX-License-Identifier: GPL-3.0-or-later
"""Making disks, by themselves or with an instance, and attaching them.

https://cloud.google.com/compute/docs/disks/create-root-persistent-disks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import (
    disk_features,
    documents,
    names,
    operation_warnings,
    refusals,
    sources,
)
from cloudspill_sandbox.compute.catalogue.disk_types import DEFAULT, DISK_TYPES
from cloudspill_sandbox.compute.catalogue.machine_types import machine_type
from cloudspill_sandbox.compute.volumes import volume_of
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.errors import already_exists
from cloudspill_sandbox.engine.store import Transaction

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud

_DEVICE_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}"
_READ_ONLY = "READ_ONLY"
_BLOCK_SIZES = ("4096", "16384")
_MOST_ATTACHED, _MOST_ATTACHED_SHARED = 128, 16
"""The boot disk too; shared-core machine types have fewer:
https://cloud.google.com/compute/docs/disks/persistent-disks#pdnumberlimits."""


@dataclass(frozen=True, slots=True)
class NewDisk:
    """A disk that was reserved and whose volume is still to be made.

    Attributes:
        document: the disk, status CREATING.
        source: volume to copy, None for an empty disk.
        warnings: what the operation that makes it warns of.
    """

    document: Document
    source: str | None
    warnings: tuple[Document, ...]

    @property
    def name(self) -> str:
        """Relative name of the disk."""
        return names.relative(self.document["selfLink"])

    @property
    def volume(self) -> str:
        """Id of the volume to make."""
        return volume_of(self.document)

    async def make(self, cloud: Cloud) -> None:
        """Make the volume. Raises VolumeError."""
        await cloud.runtime.create_volume(self.volume, self.source, int(self.document["sizeGb"]))

    async def unmake(self, cloud: Cloud) -> None:
        """Remove the volume."""
        await cloud.runtime.delete_volume(self.volume)


def reserve(
    cloud: Cloud, tx: Transaction, name: str, body: Document, field: str, size_field: str
) -> NewDisk:
    """Check what a new disk is asked to be and write it with status CREATING.

    Args:
        name: relative name of the disk.
        body: Disk-like: `sizeGb`, `type`, `sourceImage` | `sourceSnapshot` | `sourceDisk`,
            `labels`, `description`.
        field: the request field that holds the body, for refusals.
        size_field: what that request calls the size.

    Raises:
        ApiError: 400 for what Google would refuse, 409 when the name is taken.
    """
    if tx.get(name):
        raise already_exists(name)
    type_field = "type" if size_field == "sizeGb" else "diskType"
    disk_type = _disk_type(cloud, name, f"{field}.{type_field}", body.get("type"))
    features = disk_features.checked(field, body)
    origin, facts = _origin(cloud, tx, name, field, body)
    at = f"{field}.{size_field}"
    size = checked_size(at, body.get("sizeGb"), origin)
    size = size or DISK_TYPES[names.last(disk_type)].default_gb
    check_size(at, size, names.last(disk_type), boot=origin is not None)
    document = (
        documents.resource("disk", name, cloud.clock())
        | {
            "sizeGb": str(size),
            "status": "CREATING",
            "type": names.link(disk_type),
            "physicalBlockSizeBytes": _block_size(field, body),
            "enableConfidentialCompute": False,
        }
        | facts
        | features
        | disk_features.of_guest(body, facts)
    )
    document = documents.labelled(
        document, names.check_labels(f"{field}.labels", body.get("labels"))
    )
    tx.put(name, document)
    warnings = tuple(operation_warnings.of_disk(document, origin))
    return NewDisk(document, volume_of(origin) if origin else None, warnings)


def checked_size(field: str, asked: int | str | None, origin: Document | None) -> int:
    """Return the size in GB of what is made from `origin`: as asked, or that of the origin; 0 when
    neither says.

    Raises:
        ApiError: 400, it is smaller than the origin.
    """
    if origin is None:
        return int(asked or 0)
    least = int(origin.get("diskSizeGb") or origin["sizeGb"])
    size = int(asked or least)
    if size < least:
        kind = origin["kind"].removeprefix("compute#")
        raise refusals.invalid_value(
            field,
            size,
            f"Requested disk size cannot be smaller than the {kind} size ({least} GB)",
        )
    return size


def _block_size(field: str, body: Document) -> str:
    size = str(body.get("physicalBlockSizeBytes") or _BLOCK_SIZES[0])
    if size not in _BLOCK_SIZES:
        raise refusals.invalid_value(
            f"{field}.physicalBlockSizeBytes",
            size,
            f"Supported block sizes are {', '.join(_BLOCK_SIZES)}.",
        )
    return size


def check_size(field: str, size: int, disk_type: str, *, boot: bool = False) -> None:
    """Return when a size in GB fits its type; what has a source may be as small as that.

    Raises:
        ApiError: 400 as Google words it.
    """
    limits = DISK_TYPES[disk_type]
    smallest = 1 if boot else limits.smallest_gb
    if not smallest <= size <= limits.largest_gb:
        raise refusals.invalid_value(
            field,
            size,
            f"Disk size must be between {smallest} GB and {limits.largest_gb} GB for {disk_type}.",
        )


def _disk_type(cloud: Cloud, disk: str, field: str, reference: str | None) -> str:
    zone = disk.split("/")[3]
    collection = f"{cloud.project}/zones/{zone}/diskTypes"
    if not reference:
        return f"{collection}/{DEFAULT}"
    name = names.resolve(field, reference, collection, bare=False)
    if names.last(name) not in DISK_TYPES or names.scope(name) != f"zones/{zone}":
        raise refusals.dangling(field, reference, "disk type")
    return name


def _origin(
    cloud: Cloud, tx: Transaction, name: str, field: str, body: Document
) -> tuple[Document | None, Document]:
    """Return the document a disk is made from and what the disk then says about it."""
    given = [key for key in ("sourceImage", "sourceSnapshot", "sourceDisk") if body.get(key)]
    if len(given) > 1:
        raise refusals.invalid_usage("Must specify at most one source for a disk")
    if not given:
        return None, {}
    key, at = given[0], f"{field}.{given[0]}"
    if key == "sourceImage":
        origin = sources.image(cloud, tx, at, body[key])
    elif key == "sourceSnapshot":
        origin = sources.snapshot(cloud, tx, at, body[key])
    else:
        origin = _in_zone(cloud, tx, at, body[key], name.split("/")[3])
    inherited = documents.given(origin, "licenses", "guestOsFeatures", "architecture")
    return origin, inherited | {key: origin["selfLink"], f"{key}Id": origin["id"]}


def _in_zone(cloud: Cloud, tx: Transaction, field: str, reference: str, zone: str) -> Document:
    disk = sources.disk(cloud, tx, field, reference, zone)
    if names.last(disk["zone"]) != zone:
        raise refusals.invalid_value(field, reference, f"The disk must be in zone '{zone}'.")
    return disk


def existing(cloud: Cloud, tx: Transaction, instance: str, body: Document, field: str) -> Document:
    """Return the disk that an AttachedDisk's `source` means, when this instance may attach it.

    Raises:
        ApiError: 400 when it does not exist, is of another project or zone, or is in use elsewhere
            or here.
    """
    zone = instance.split("/")[3]
    if body.get("initializeParams"):
        raise refusals.invalid_value(
            field, "", "At most one of source and initializeParams may be specified."
        )
    disk = _in_zone(cloud, tx, f"{field}.source", body["source"], zone)
    if names.project(names.relative(disk["selfLink"])) != names.project(instance):
        raise refusals.disk_of_another_project(f"{field}.source", body["source"])
    if body.get("diskSizeGb") and int(body["diskSizeGb"]) != int(disk["sizeGb"]):
        raise refusals.invalid_value(
            f"{field}.diskSizeGb",
            body["diskSizeGb"],
            f"The disk has {disk['sizeGb']} GB. Resize it with disks.resize.",
        )
    name = names.relative(disk["selfLink"])
    users = disk.get("users", ())
    if names.link(instance) in users:  # not twice, though it be to read
        raise refusals.in_use("disk", name, instance)
    shared = body.get("mode") == _READ_ONLY and _only_read(tx, name, disk)
    if users and not shared:
        raise refusals.in_use("disk", name, names.relative(users[0]))
    return disk


def _only_read(tx: Transaction, name: str, disk: Document) -> bool:
    """Whether every instance that has the disk attached has it read-only."""
    attached = (
        entry
        for user in disk.get("users", ())
        for entry in (tx.get(names.relative(user)) or {}).get("disks", ())
        if entry["source"] == names.link(name)
    )
    return all(entry["mode"] == _READ_ONLY for entry in attached)


def check_count(field: str, count: int, size: str) -> None:
    """Return when instances of a machine type, by its link or name, may have so many disks.

    Raises:
        ApiError: 400.
    """
    known = machine_type(names.last(size))
    most = _MOST_ATTACHED_SHARED if known and known.shared else _MOST_ATTACHED
    if count > most:
        raise refusals.invalid_value(field, count, f"Maximum number of disks is {most}.")


def check_device_names(field: str, attached: list[Document]) -> None:
    """Return when device names have the right form and each is there once.

    Raises:
        ApiError: 400.
    """
    seen: set[str] = set()
    for at, entry in enumerate(attached):
        device = entry["deviceName"]
        if not documents.full_match(_DEVICE_NAME, device):
            raise refusals.no_match(f"{field}[{at}].deviceName", device, _DEVICE_NAME)
        if device in seen:
            raise refusals.invalid_value(
                f"{field}[{at}].deviceName", device, "Device name is already in use."
            )
        seen.add(device)


def attached(instance: Document, device: str) -> Document:
    """Return the AttachedDisk of an instance with a device name.

    Raises:
        ApiError: 400, there is none.
    """
    for entry in instance["disks"]:
        if entry["deviceName"] == device:
            return dict(entry)
    raise refusals.invalid_value(
        "deviceName", device, f"No attached disk found with device name '{device}'"
    )


def check_attachment(field: str, body: Document, *, boot: bool) -> None:
    """Return when a disk may be attached as an AttachedDisk asks.

    Raises:
        ApiError: 400 for a scratch disk, or a boot disk that could not be written to.
    """
    refusals.check_supported(field, body, "diskEncryptionKey", "forceAttach")
    refusals.check_one_of(field, body, "type", "PERSISTENT")
    if boot and body.get("mode") == _READ_ONLY:
        raise refusals.invalid_value(
            f"{field}.mode", _READ_ONLY, "A boot disk must be attached in READ_WRITE mode."
        )


def attachment(
    disk: Document, body: Document, index: int, *, boot: bool, auto_delete: bool
) -> Document:
    """Return the AttachedDisk document of a disk in an instance."""
    device = body.get("deviceName") or f"persistent-disk-{index}"
    return (
        {
            "kind": "compute#attachedDisk",
            "type": "PERSISTENT",
            "mode": body.get("mode") or "READ_WRITE",
            "source": disk["selfLink"],
            "deviceName": device,
            "index": index,
            "boot": boot,
            "autoDelete": auto_delete,
            "interface": body.get("interface") or "SCSI",
            "diskSizeGb": disk["sizeGb"],
        }
        | documents.given(disk, "licenses", "architecture")
        | disk_features.of_guest(body, disk)
    )


def use(cloud: Cloud, tx: Transaction, disk: str, instance: str) -> None:
    """Write that an instance uses a disk; relative names."""
    if document := tx.get(disk):
        users = [*document.get("users", ()), names.link(instance)]
        attached = documents.timestamp(cloud.clock())
        tx.put(disk, document | {"users": users, "lastAttachTimestamp": attached})


def let_go(cloud: Cloud, tx: Transaction, disk: str, instance: str) -> None:
    """Write that an instance no longer uses a disk; relative names."""
    if document := tx.get(disk):
        users = [user for user in document.get("users", ()) if user != names.link(instance)]
        rest = {key: value for key, value in document.items() if key != "users"}
        detached = documents.timestamp(cloud.clock())
        found = {"users": users} if users else {}
        tx.put(disk, rest | found | {"lastDetachTimestamp": detached})


def resize(tx: Transaction, name: str, size: int) -> None:
    """Write a disk's new size in GB, there and where it is attached; never a smaller one."""
    disk = tx.get(name)
    if disk is None or int(disk["sizeGb"]) > size:
        return
    tx.put(name, disk | {"sizeGb": str(size)})
    for user in disk.get("users", ()):
        if instance := tx.get(names.relative(user)):
            entries = [
                entry | {"diskSizeGb": str(size)} if entry["source"] == disk["selfLink"] else entry
                for entry in instance["disks"]
            ]
            tx.put(names.relative(user), instance | {"disks": entries})


def write_status(tx: Transaction, name: str, status: str) -> None:
    """Write another status of a disk, snapshot or image that is still there."""
    if document := tx.get(name):
        tx.put(name, document | {"status": status})
