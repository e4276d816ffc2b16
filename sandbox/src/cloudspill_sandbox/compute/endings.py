# SPDX-License-Identifier: GPL-3.0-or-later
"""How an instance ends: the work of a stop and of a deletion, and endings by Compute Engine itself.

Those are operations of the user `system`:
https://cloud.google.com/compute/docs/logging/audit-logging#system_event, the types of which name
the reason. Types of run-time limits: `gcloud compute operations list` as users quote it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import disks, machines, names, removal, scheduling
from cloudspill_sandbox.compute.operations import Step, Work, nothing
from cloudspill_sandbox.engine.call import Call, Document, Principal
from cloudspill_sandbox.engine.store import Store, Transaction
from cloudspill_sandbox.runtime.interface import MachineExit

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud

logger = logging.getLogger(__name__)

PREEMPTED = "compute.instances.preempted"
DEFERRED_STOP = "compute.instances.deferredStop"
DEFERRED_DELETE = "compute.instances.deferredDelete"
HOST_MAINTENANCE = "compute.instances.terminateOnHostMaintenance"
AUTOMATIC_RESTART = "compute.instances.automaticRestart"
_GUEST_TERMINATE = "compute.instances.guestTerminate"

_SYSTEM = Principal("system")


def stop(cloud: Cloud, name: str, *, graceful: bool = True) -> Work:
    """Return what stops an instance that was written STOPPING."""
    machine = machines.Machine(cloud, name)

    async def shut_down() -> None:
        await machine.shut_down(graceful=graceful)

    return Work(
        (
            Step("instances.stop.shutDown", shut_down, machine.power_off),
            Step("instances.stop.release", nothing),
        ),
        done=lambda tx: machines.terminated(cloud, tx, name),
        failed=lambda tx: machines.as_it_is(cloud, tx, name),
    )


def begin_deletion(tx: Transaction, name: str) -> list[Document]:
    """Write an instance STOPPING, and DELETING the disks that go with it; return those."""
    disks.write_status(tx, name, "STOPPING")
    return removal.mark(tx, name)


def delete(cloud: Cloud, name: str, *, graceful: bool = True) -> Work:
    """Return what deletes an instance and the disks that go with it, after `begin_deletion`."""
    machine = machines.Machine(cloud, name)
    going: list[Document] = []
    gone: set[str] = set()

    async def shut_down() -> None:
        await machine.shut_down(graceful=graceful)

    async def remove() -> None:
        await machine.disconnect()
        with cloud.transaction() as tx:
            removal.detach_shared(cloud, tx, name)
            going.extend(removal.mark(tx, name))
        await removal.delete_volumes(cloud, going, gone)

    def done(tx: Transaction) -> None:
        removal.delete_documents(cloud, tx, name, going)

    def failed(tx: Transaction) -> None:
        removal.unmark(tx, name, gone)
        machines.as_it_is(cloud, tx, name)

    return Work(
        (
            Step("instances.delete.shutDown", shut_down),
            Step("instances.delete.remove", remove),
        ),
        done=done,
        failed=failed,
    )


def open_by_system(cloud: Cloud, tx: Transaction, kind: str, name: str, message: str) -> str:
    """Write an operation that nobody asked for; return its name.

    Args:
        kind: its type, one of those above.
        name: relative name of the instance.
        message: a sentence that says what happened.

    Raises:
        ApiError: 503, the sandbox is stopping.
    """
    call = Call(method=kind, path={}, query={}, body={}, principal=_SYSTEM)
    operation = cloud.operations.open(tx, call, kind, name)
    tx.put(operation, (tx.get(operation) or {}) | {"statusMessage": message})
    return operation


async def end_by_system(
    cloud: Cloud, name: str, kind: str, message: str, *, deletes: bool
) -> str | None:
    """Stop or delete an instance; return the operation's name, None when it does not run.

    Raises:
        ApiError: 503, the sandbox is stopping; the next start ends the instance.
    """
    with cloud.transaction() as tx:
        instance = tx.get(name)
        if instance is None or instance["status"] != "RUNNING":
            return None
        if deletes:
            begin_deletion(tx, name)
        else:
            disks.write_status(tx, name, "STOPPING")
        operation = open_by_system(cloud, tx, kind, name, message)
    await cloud.operations.perform(operation, (delete if deletes else stop)(cloud, name))
    return operation


def went_off(cloud: Cloud, machine: str, reason: MachineExit) -> bool:
    """Note that a machine went off by itself; returns whether that changed the instance."""
    name = machines.instance_of(cloud.store, machine)
    instance = cloud.store.get(name)
    if instance is None or instance["status"] != "RUNNING":
        return False  # a stop or delete that is under way, or one that came first
    logger.info("%s went off by itself (%s)", name, reason.value)
    with cloud.transaction() as tx:
        machines.terminated(cloud, tx, name)
        if reason is MachineExit.POWER_OFF:
            message = "Instance terminated by guest OS shutdown."
            operation = open_by_system(cloud, tx, _GUEST_TERMINATE, name, message)
            cloud.operations.close(tx, operation)
    return True


def is_deletion(store: Store, operation: Document) -> bool:
    """Whether an operation was to delete its target."""
    kind = operation["operationType"]
    if kind == PREEMPTED:
        instance = store.get(names.relative(operation["targetLink"]))
        return instance is not None and scheduling.deletes(instance)
    return kind in {"delete", DEFERRED_DELETE}
