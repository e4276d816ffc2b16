# SPDX-License-Identifier: GPL-3.0-or-later
"""What the last life of the sandbox left: half-done operations, instances that were running."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Container, Iterator
from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import (
    bulk_groups,
    copies,
    endings,
    interfaces,
    machines,
    names,
    removal,
    topology,
    under_way,
)
from cloudspill_sandbox.compute.disk_changes import DiskChange
from cloudspill_sandbox.compute.volumes import volume_of
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.store import Transaction
from cloudspill_sandbox.network.interface import NetworkError
from cloudspill_sandbox.runtime.interface import ExitCallback, MachineError, VolumeError

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud

logger = logging.getLogger(__name__)

_AT_ONCE = 4
_LEAVE_ON = {"start", "reset", "update", "suspend", "resume", endings.AUTOMATIC_RESTART}
"""Types of operations that an instance does not go off by, or only meanwhile."""

_UNFINISHED = {
    "disks": {"CREATING", "RESTORING", "DELETING"},
    "snapshots": {"CREATING", "UPLOADING", "DELETING"},
    "images": {"PENDING", "DELETING"},
}


async def take_up_running(cloud: Cloud, machine_exited: ExitCallback) -> None:
    """Start the runtime on the machines of the last life that still run and should; end others.

    Their interfaces outlive the sandbox with them.
    """
    expected = []
    half_made = bulk_groups.half_made(cloud.store)
    for name, instance in list(_documents(cloud, "instances")):
        if instance["status"] == "RUNNING" and instance["id"] not in half_made:
            with contextlib.suppress(NetworkError, LookupError):  # boot_running meets it again
                expected.append(await machines.Machine(cloud, name).expected())
    await cloud.runtime.start(machine_exited, expected)


async def settle_operations(cloud: Cloud) -> None:
    """End every operation that was under way, and leave each resource whole or gone.

    A creation is taken back and fails; a deletion or stop is finished; what only had to reach the
    network reaches it with the whole topology, which every start applies. A disk that was being
    attached or detached is so afterwards, or its operation fails and it is as it was before.
    """
    pending = {
        name: operation
        for name, operation in _documents(cloud, "operations")
        if operation["status"] != "DONE"
    }
    inserts = {
        names.relative(operation["targetLink"])
        for operation in pending.values()
        if operation["operationType"] == "insert"
    }
    deletes = {
        names.relative(operation["targetLink"])
        for operation in pending.values()
        if endings.is_deletion(cloud.store, operation)
    }
    half_made = bulk_groups.half_made(cloud.store)
    went_off = set()
    for name, instance in list(_documents(cloud, "instances")):
        if name in deletes or instance["id"] in half_made:
            with cloud.transaction() as tx:
                if instance["id"] in half_made:
                    bulk_groups.claim(tx, name, half_made)
                removal.detach_shared(cloud, tx, name)
                going = removal.mark(tx, name)
            await _remove(cloud, name, going)
        elif name in inserts:
            await _remove(cloud, name, removal.half_made(cloud.store, instance))
        elif instance["status"] not in {"RUNNING", "SUSPENDED", "TERMINATED"}:
            went_off.add(name)
            with cloud.transaction() as tx:
                machines.terminated(cloud, tx, name)
    await _remove_unfinished(cloud)
    await _settle_disks(cloud, pending)
    with cloud.transaction() as tx:
        for name, operation in pending.items():
            _end(cloud, tx, name, operation, went_off)
        for _, instance in _documents(cloud, "instances"):
            under_way.end_all(tx, tx.get(names.relative(instance["selfLink"])) or instance)
        bulk_groups.forget_all(cloud.store, tx)


def _end(
    cloud: Cloud, tx: Transaction, name: str, operation: Document, went_off: Container[str]
) -> None:
    """End an operation that was under way, whose target is whole, off or gone by now."""
    if operation["operationType"] == "updateNetworkInterface":
        interfaces.release_strays(cloud.store, tx, names.relative(operation["targetLink"]))
    if bulk_groups.METADATA in operation:
        tx.put(name, bulk_groups.taken_back(operation))
    if state := _interrupted(operation, went_off):
        cloud.operations.fail(tx, name, _interruption(operation, state))
    else:
        cloud.operations.close(tx, name)


async def _remove_unfinished(cloud: Cloud) -> None:
    """Remove disks, snapshots and images that were being made or deleted."""
    for kind, statuses in _UNFINISHED.items():
        for name, document in list(_documents(cloud, kind)):
            if document["status"] in statuses:
                await _discard(cloud, volume_of(document))
                with cloud.transaction() as tx:
                    copies.forget_source(cloud, tx, document)
                    tx.delete(name)


async def _settle_disks(cloud: Cloud, pending: dict[str, Document]) -> None:
    """End what attached and detached disks, and take it from the pending operations.

    A disk that is there already, or gone, is not touched; nor is any other of the instance.
    """
    for name, instance in list(_documents(cloud, "instances")):
        parts = under_way.parts(cloud.store, instance)
        for attached in instance["disks"]:
            operation = parts.get(under_way.disk(attached["deviceName"]), "")
            if operation not in pending:
                continue
            document = pending.pop(operation)
            change = DiskChange(cloud, name, operation, attached)
            leaves, done = document["operationType"] == "detachDisk", True
            try:
                await (change.unplug() if leaves else change.plug())
            except (MachineError, LookupError):
                logger.exception("%s: disk %s stays as it was", name, attached["deviceName"])
                done = False
            with cloud.transaction() as tx:
                (change.detached if leaves is done else change.left)(tx)
                if done:
                    cloud.operations.close(tx, operation)
                else:
                    refusal = _interruption(document, "nothing was changed")
                    cloud.operations.fail(tx, operation, refusal)


async def forget_strays(cloud: Cloud) -> None:
    """Remove volumes that no disk, snapshot or image has; an earlier life could not."""
    known = {volume_of(document) for kind in _UNFINISHED for _, document in _documents(cloud, kind)}
    for volume in cloud.runtime.made_volumes() - known:
        await _discard(cloud, volume)


async def detach_strangers(cloud: Cloud) -> None:
    """Remove the interfaces of instances that are not there: the operations' ends came before."""
    await cloud.network.retain(
        topology.nics(cloud.store, instance) for _, instance in _documents(cloud, "instances")
    )


async def boot_running(cloud: Cloud) -> None:
    """Boot again what was RUNNING and is not on; what cannot boot is TERMINATED and logged."""
    at_once = asyncio.Semaphore(_AT_ONCE)

    async def boot(name: str) -> None:
        machine = machines.Machine(cloud, name)
        try:
            async with at_once:
                await machine.connect()
                await machine.power_on()
        except (MachineError, NetworkError, LookupError):
            logger.exception("%s was running and did not boot again", name)
            with cloud.transaction() as tx:
                machines.terminated(cloud, tx, name)

    instances = list(_documents(cloud, "instances"))
    off = [
        name
        for name, instance in instances
        if instance["status"] == "RUNNING" and not cloud.runtime.is_running(instance["id"])
    ]
    await asyncio.gather(*map(boot, off))
    await cloud.topology.settle()


def _documents(cloud: Cloud, kind: str) -> Iterator[tuple[str, Document]]:
    for collection, documents in cloud.store.collections(names.EVERY_PROJECT, kind):
        for key, document in documents.items():
            yield f"{collection}/{key}", document


async def _remove(cloud: Cloud, name: str, going: list[Document]) -> None:
    for disk in going:
        await _discard(cloud, volume_of(disk))
    with cloud.transaction() as tx:
        removal.delete_documents(cloud, tx, name, going)


async def _discard(cloud: Cloud, volume: str) -> None:
    """Remove a volume that may or may not have been made; one that resists must not bar the way."""
    try:
        await cloud.runtime.delete_volume(volume)
    except VolumeError:
        logger.exception("volume %s, which nothing needs any more, stays behind", volume)


def _interrupted(operation: Document, went_off: Container[str]) -> str:
    """Return what the target of an operation is now if that was not finished, else ""."""
    target = names.relative(operation["targetLink"])
    collection = target.split("/")[-2]
    kind = operation["operationType"]
    if kind in {"bulkInsert", "createSnapshot"} or (
        kind == "insert" and collection in {"instances", *_UNFINISHED}
    ):
        return "what it had half made was removed"
    if kind == "resizeDisk":
        return "nothing was changed"
    if kind not in _LEAVE_ON or target not in went_off:
        return ""
    # An instance that is off may be anything, so what it was to have from its next life on stays.
    return "the instance is off" + (", with what the update gave it" if kind == "update" else "")


def _interruption(operation: Document, state: str) -> ApiError:
    return ApiError(
        503,
        "SERVICE_UNAVAILABLE",
        f"The sandbox stopped while '{operation['operationType']}' ran; {state}. Try again.",
    )
