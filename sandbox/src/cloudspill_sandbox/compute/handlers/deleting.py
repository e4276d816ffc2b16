# SPDX-License-Identifier: GPL-3.0-or-later
"""delete of a disk, snapshot or image: a document with a volume behind it."""

from __future__ import annotations

from cloudspill_sandbox.compute import copies, disks, names, refusals
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.handlers import CloudHandler
from cloudspill_sandbox.compute.lookup import Locate, found
from cloudspill_sandbox.compute.operations import Step, Work
from cloudspill_sandbox.compute.volumes import volume_of
from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.store import Transaction


def method(locate: Locate, kind: str, collection: str, step: str) -> CloudHandler:
    """Return the delete of a resource.

    Args:
        locate: finds its name: zonal or worldwide.
        kind: what one is called, also the path parameter that names it, `disk`.
        collection: what many are called, `disks`.
        step: what latency profiles call the removal of the volume.
    """

    async def answer(cloud: Cloud, call: Call) -> Document:
        return await _delete(cloud, call, locate(call, collection, kind), step)

    return answer


async def _delete(cloud: Cloud, call: Call, name: str, step: str) -> Document:
    """Remove a resource and its volume; it is READY again when that fails.

    Args:
        name: relative name.
        step: what latency profiles call the removal of the volume.

    Raises:
        ApiError: there is none, it is not READY, an instance has it, or it is being copied.
    """
    with cloud.transaction() as tx:
        document = found(tx, name)
        if document["status"] != "READY":
            raise refusals.not_ready(name)
        if users := document.get("users"):
            raise refusals.in_use("disk", name, names.relative(users[0]))
        copies.check_not_read(cloud, document)
        disks.write_status(tx, name, "DELETING")
        operation = cloud.operations.open(tx, call, "delete", name)

    async def discard() -> None:
        await cloud.runtime.delete_volume(volume_of(document))

    def done(tx: Transaction) -> None:
        copies.forget_source(cloud, tx, document)
        tx.delete(name)

    return await cloud.operations.perform(
        operation,
        Work(
            (Step(step, discard),),
            done=done,
            failed=lambda tx: disks.write_status(tx, name, "READY"),
        ),
    )
