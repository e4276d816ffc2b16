# SPDX-License-Identifier: GPL-3.0-or-later
"""Persistent disks. https://cloud.google.com/compute/docs/reference/rest/v1/disks."""

from __future__ import annotations

from cloudspill_sandbox.compute import disks, labels, names, refusals
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.handlers import Methods, deleting, reading
from cloudspill_sandbox.compute.handlers.snapshots import create_from_disk
from cloudspill_sandbox.compute.lookup import found, zonal
from cloudspill_sandbox.compute.operations import Step, Work
from cloudspill_sandbox.engine.call import Call, Document


async def _insert(cloud: Cloud, call: Call) -> Document:
    key = names.check_name("resource.name", call.body.get("name"))
    name = f"{zonal(call, 'disks')}/{key}"
    body = dict(call.body)
    if image := call.query.get("sourceImage"):  # the parameter is older than the field
        body["sourceImage"] = image
    with cloud.transaction() as tx:
        disk = disks.reserve(cloud, tx, name, body, "resource", "sizeGb")
        operation = cloud.operations.open(tx, call, "insert", name)

    async def make() -> None:
        await disk.make(cloud)

    async def unmake() -> None:
        await disk.unmake(cloud)

    return await cloud.operations.perform(
        operation,
        Work(
            (Step("disks.insert.volume", make, unmake),),
            done=lambda tx: disks.write_status(tx, name, "READY"),
            failed=lambda tx: tx.delete(name),
        ),
    )


async def _delete(cloud: Cloud, call: Call) -> Document:
    name = zonal(call, "disks", "disk")
    if users := found(cloud.store, name).get("users"):
        raise refusals.in_use("disk", name, names.relative(users[0]))
    return await deleting.delete(cloud, call, name, "disks.delete.volume")


async def _resize(cloud: Cloud, call: Call) -> Document:
    """Grow a disk; https://cloud.google.com/compute/docs/disks/resize-persistent-disk."""
    name = zonal(call, "disks", "disk")
    size = int(call.body.get("sizeGb") or 0)
    with cloud.transaction() as tx:
        document = found(tx, name)
        if size < int(document["sizeGb"]):
            raise refusals.invalid_value(
                "sizeGb",
                size,
                f"New disk size '{size}' GiB must be larger than existing size "
                f"'{document['sizeGb']}' GiB.",
            )
        disks.check_size("sizeGb", size, names.last(document["type"]), boot=True)
        tx.put(name, document | {"sizeGb": str(size)})
        operation = cloud.operations.open(tx, call, "resizeDisk", name)
        cloud.operations.close(tx, operation)
    return found(cloud.store, operation)


async def _create_snapshot(cloud: Cloud, call: Call) -> Document:
    return await create_from_disk(cloud, call, zonal(call, "disks", "disk"), "createSnapshot")


async def _set_labels(cloud: Cloud, call: Call) -> Document:
    return await labels.replace(cloud, call, zonal(call, "disks", "resource"))


METHODS: Methods = {
    **reading.methods(zonal, "disk", "disks"),
    "createSnapshot": _create_snapshot,
    "delete": _delete,
    "insert": _insert,
    "resize": _resize,
    "setLabels": _set_labels,
}
