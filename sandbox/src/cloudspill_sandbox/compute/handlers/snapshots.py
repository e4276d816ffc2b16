# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots. https://cloud.google.com/compute/docs/reference/rest/v1/snapshots."""

from __future__ import annotations

from cloudspill_sandbox.compute import copies, documents, names, refusals, sources
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.handlers import Methods, deleting, labels, reading
from cloudspill_sandbox.compute.lookup import found, worldwide
from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.errors import already_exists

_UNSUPPORTED = (
    "params",
    "snapshotEncryptionKey",
    "sourceDiskEncryptionKey",
    "sourceDiskForRecoveryCheckpoint",
    "sourceInstantSnapshot",
    "sourceInstantSnapshotEncryptionKey",
)

_STEPS = {
    "createSnapshot": ("disks.createSnapshot.freeze", "disks.createSnapshot.upload"),
    "insert": ("snapshots.insert.freeze", "snapshots.insert.upload"),
}


async def _insert(cloud: Cloud, call: Call) -> Document:
    refusals.check_supported("resource", call.body, *_UNSUPPORTED)
    reference = call.body.get("sourceDisk")
    if not reference:
        raise refusals.missing("resource.sourceDisk")
    with cloud.transaction() as tx:
        disk = sources.disk(cloud, tx, "resource.sourceDisk", reference, None)
    return await create_from_disk(cloud, call, names.relative(disk["selfLink"]), "insert")


async def create_from_disk(cloud: Cloud, call: Call, disk: str, kind: str) -> Document:
    """Make the snapshot that a request body describes from a disk; answers the operation.

    Args:
        disk: relative name of the disk, which may be in use.
        kind: `createSnapshot`, whose target is the disk, or `insert`, whose target is the snapshot.

    Raises:
        ApiError: 404 without the disk, 409 when the name is taken, 400 otherwise.
    """
    key = names.check_name("resource.name", call.body.get("name"))
    refusals.check_supported("resource", call.body, *_UNSUPPORTED)
    name = f"{cloud.project}/global/snapshots/{key}"
    with cloud.transaction() as tx:
        source = found(tx, disk)
        if tx.get(name):
            raise already_exists(name)
        if source["status"] != "READY":
            raise refusals.not_ready(disk)
        document = _document(cloud, name, call.body, source)
        tx.put(name, document)
        target = disk if kind == "createSnapshot" else name
        operation = cloud.operations.open(tx, call, kind, target)
    return await copies.perform(
        cloud,
        operation,
        name,
        source,
        steps=_STEPS[kind],
        uploading="UPLOADING",
    )


def _document(cloud: Cloud, name: str, body: Document, source: Document) -> Document:
    document = (
        documents.resource("snapshot", name, cloud.clock())
        | {
            "status": "CREATING",
            "diskSizeGb": source["sizeGb"],
            "sourceDisk": source["selfLink"],
            "sourceDiskId": source["id"],
            "storageBytes": "0",
            "storageBytesStatus": "UP_TO_DATE",
            "downloadBytes": "0",
            "storageLocations": copies.storage_locations("resource.storageLocations", body, source),
            "snapshotType": "STANDARD",
            "creationSizeBytes": "0",
            "autoCreated": False,
            "enableConfidentialCompute": False,
        }
        | documents.given(source, "licenses", "guestOsFeatures", "architecture")
        | documents.given(body, "description", "snapshotType", "locationHint")
    )
    if chain := body.get("chainName"):
        document["chainName"] = names.check_name("resource.chainName", chain)
    checked = names.check_labels("resource.labels", body.get("labels"))
    return documents.labelled(document, checked)


METHODS: Methods = {
    **reading.methods(worldwide, "snapshot", "snapshots"),
    "aggregatedList": reading.aggregated_list("snapshot", "snapshots", ["global"]),  # in beta alone
    "delete": deleting.method(worldwide, "snapshot", "snapshots", "snapshots.delete.volume"),
    "insert": _insert,
    "setLabels": labels.set_labels(worldwide, "snapshots"),
}
