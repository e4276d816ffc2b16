# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots and images: read-only copies of a volume, and who is being copied right now.

A copy holds what its source held when it was asked for; only then does it take its time.
https://cloud.google.com/compute/docs/disks/snapshot-best-practices.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import disks, names, refusals
from cloudspill_sandbox.compute.catalogue.regions import REGIONS
from cloudspill_sandbox.compute.operations import Step, Work
from cloudspill_sandbox.compute.volumes import volume_of
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.store import Transaction

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud

_UNDER_WAY = {
    "disks": {"CREATING", "RESTORING"},
    "snapshots": {"CREATING", "UPLOADING"},
    "images": {"PENDING"},
}
_STORED_SIZES = {"archiveSizeBytes", "creationSizeBytes", "storageBytes"}
_MULTI_REGIONS = ("asia", "eu", "us")
_NEAREST = {"africa": "eu", "asia": "asia", "australia": "asia", "europe": "eu", "me": "eu"}


async def perform(
    cloud: Cloud,
    operation: str,
    name: str,
    source: Document,
    *,
    steps: tuple[str, str],
    uploading: str,
) -> Document:
    """Make the volume of a reserved snapshot or image; answers the operation.

    Args:
        operation: name of the operation.
        name: relative name of the reserved document.
        source: the document whose volume is copied.
        steps: what latency profiles call the two steps: the moment when the content is taken, and
            the time that its upload takes.
        uploading: its status from the moment when the source may change again.
    """
    document = cloud.store.get(name)
    if document is None:
        raise LookupError(f"{name} is gone")
    volume = volume_of(document)

    async def freeze() -> None:
        await cloud.runtime.freeze_volume(volume, volume_of(source))
        with cloud.transaction() as tx:
            disks.write_status(tx, name, uploading)

    async def discard() -> None:
        await cloud.runtime.delete_volume(volume)

    async def upload() -> None:
        size = str(await cloud.runtime.stored_bytes(volume))
        with cloud.transaction() as tx:
            if current := tx.get(name):
                sizes = dict.fromkeys(current.keys() & _STORED_SIZES, size)
                tx.put(name, current | sizes)

    return await cloud.operations.perform(
        operation,
        Work(
            (Step(steps[0], freeze, discard), Step(steps[1], upload)),
            done=lambda tx: disks.write_status(tx, name, "READY"),
            failed=lambda tx: tx.delete(name),
        ),
    )


def check_not_read(cloud: Cloud, source: Document) -> None:
    """Return when nothing is being made from a disk, snapshot or image.

    Raises:
        ApiError: 400 that names what is, in the words of
            https://github.com/hashicorp/packer/issues/6887.
    """
    kind = source["kind"].removeprefix("compute#")
    if copy := next(_made_from(cloud, kind, source["id"]), None):
        raise refusals.in_use(kind, names.relative(source["selfLink"]), copy)


async def not_read(cloud: Cloud, source: Document) -> None:
    """Return when nothing is being made from a disk, snapshot or image any more."""
    kind = source["kind"].removeprefix("compute#")
    while copy := next(_made_from(cloud, kind, source["id"]), None):
        await cloud.watchers.changed([copy])


def _made_from(cloud: Cloud, kind: str, source_id: str) -> Iterator[str]:
    """Yield the relative names of what is being made from a source, in whatever project."""
    field = f"source{kind.capitalize()}Id"
    for collection, statuses in _UNDER_WAY.items():
        for name, found in cloud.store.collections(names.EVERY_PROJECT, collection):
            for key, document in found.items():
                if document["status"] in statuses and document.get(field) == source_id:
                    yield f"{name}/{key}"


def forget_source(cloud: Cloud, tx: Transaction, source: Document) -> None:
    """Remove the link to a snapshot or image that goes from all disks made from it.

    Its id stays in them: https://cloud.google.com/compute/docs/reference/rest/v1/disks.
    """
    kind = source["kind"].removeprefix("compute#")
    if kind == "disk":
        return
    link, number = f"source{kind.capitalize()}", f"source{kind.capitalize()}Id"
    for collection, found in cloud.store.collections(names.EVERY_PROJECT, "disks"):
        for key in [key for key, disk in found.items() if disk.get(number) == source["id"]]:
            if disk := tx.get(f"{collection}/{key}"):
                rest = {field: value for field, value in disk.items() if field != link}
                tx.put(f"{collection}/{key}", rest)


def storage_locations(field: str, body: Document, source: Document) -> list[str]:
    """Return where a copy is said to be stored: as asked, or the multi-region near its source.

    https://cloud.google.com/compute/docs/disks/create-snapshots#storage_locations. The multi-region
    nearest to regions outside Asia, Europe and America is a guess.

    Raises:
        ApiError: 400 for more than one, or one that does not exist.
    """
    asked = body.get("storageLocations") or []
    if len(asked) > 1:
        raise refusals.invalid_value(field, len(asked), "Only one storage location is allowed.")
    for location in asked:
        if location not in _MULTI_REGIONS and location not in REGIONS:
            raise refusals.invalid_value(field, location, "Unknown storage location.")
    if asked:
        return list(asked)
    if "zone" not in source:
        return list(source["storageLocations"])
    return [_NEAREST.get(names.last(source["zone"]).partition("-")[0], "us")]
