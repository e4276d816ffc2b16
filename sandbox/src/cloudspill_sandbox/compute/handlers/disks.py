# SPDX-License-Identifier: GPL-3.0-or-later
"""Persistent disks. https://cloud.google.com/compute/docs/reference/rest/v1/disks."""

from __future__ import annotations

from cloudspill_sandbox.compute import disks, names, quotas, refusals
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.handlers import Methods, deleting, labels, reading
from cloudspill_sandbox.compute.handlers.snapshots import create_from_disk
from cloudspill_sandbox.compute.lookup import found, zonal
from cloudspill_sandbox.compute.operations import Step, Work, nothing
from cloudspill_sandbox.compute.volumes import volume_of
from cloudspill_sandbox.engine.call import Call, Document


async def _insert(cloud: Cloud, call: Call) -> Document:
    key = names.check_name("resource.name", call.body.get("name"))
    name = f"{zonal(call, 'disks')}/{key}"
    body = dict(call.body)
    if image := call.query.get("sourceImage"):  # the parameter is older than the field
        body["sourceImage"] = image
    with cloud.transaction() as tx:
        disk = disks.reserve(cloud, tx, name, body, "resource", "sizeGb")
        quotas.check(cloud, tx, call.path["zone"])
        operation = cloud.operations.open(tx, call, "insert", name, warnings=disk.warnings)

    async def make() -> None:
        await disk.make(cloud)

    async def unmake() -> None:
        await disk.unmake(cloud)

    return await cloud.operations.perform(
        operation,
        Work(
            # A clone holds what its source held when it was asked for.
            (Step("disks.insert.copy", make, unmake), Step("disks.insert.volume", nothing)),
            done=lambda tx: disks.write_status(tx, name, "READY"),
            failed=lambda tx: tx.delete(name),
        ),
    )


async def _resize(cloud: Cloud, call: Call) -> Document:
    """Grow a disk; https://cloud.google.com/compute/docs/disks/resize-persistent-disk."""
    name = zonal(call, "disks", "disk")
    if call.body.get("sizeGb") is None:
        raise refusals.missing("sizeGb")
    size = int(call.body["sizeGb"])
    with cloud.transaction() as tx:
        document = found(tx, name)
        if document["status"] != "READY":
            raise refusals.not_ready(name)
        if size <= int(document["sizeGb"]):
            raise refusals.invalid_value(
                "sizeGb",
                size,
                f"New disk size '{size}' GiB must be larger than existing size "
                f"'{document['sizeGb']}' GiB.",
            )
        disks.check_size("sizeGb", size, names.last(document["type"]), boot=True)
        tx.put(name, document | {"sizeGb": str(size)})
        quotas.check(cloud, tx, call.path["zone"])
        tx.put(name, document)  # it has that size when the operation is done
        operation = cloud.operations.open(tx, call, "resizeDisk", name)

    async def grow() -> None:
        await cloud.runtime.resize_volume(volume_of(document), size)

    return await cloud.operations.perform(
        operation,
        Work((Step("disks.resize.volume", grow),), done=lambda tx: disks.resize(tx, name, size)),
    )


async def _create_snapshot(cloud: Cloud, call: Call) -> Document:
    return await create_from_disk(cloud, call, zonal(call, "disks", "disk"), "createSnapshot")


METHODS: Methods = {
    **reading.methods(zonal, "disk", "disks"),
    "createSnapshot": _create_snapshot,
    "delete": deleting.method(zonal, "disk", "disks", "disks.delete.volume"),
    "insert": _insert,
    "resize": _resize,
    "setLabels": labels.set_labels(zonal, "disks"),
}
