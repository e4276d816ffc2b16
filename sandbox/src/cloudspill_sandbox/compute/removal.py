# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes when an instance goes: its volumes first, its documents after.

In this order a sandbox that dies in between still knows what it has to remove.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import disks, interfaces, machines, names, under_way
from cloudspill_sandbox.compute.together import all_ended
from cloudspill_sandbox.compute.volumes import volume_of
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.store import Store, Transaction

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud

GUEST_ATTRIBUTES = "guestAttributes"
"""Collection of the guest attributes, one document an instance id."""


def auto_deleted(store: Store | Transaction, instance: Document) -> list[Document]:
    """Return the disks that go with an instance; `mark` came before.

    One that is being attached or detached stays.
    """
    coming_or_going = under_way.parts(store, instance)
    return [
        disk
        for disk, attached in _disks(store, instance)
        if attached["autoDelete"] and under_way.disk(attached["deviceName"]) not in coming_or_going
    ]


def half_made(store: Store | Transaction, instance: Document) -> list[Document]:
    """Return the disks that an interrupted or failed creation of an instance was to make."""
    return [disk for disk, _ in _disks(store, instance) if disk["status"] == "CREATING"]


def _disks(store: Store | Transaction, instance: Document) -> Iterator[tuple[Document, Document]]:
    for attached in instance["disks"]:
        if disk := store.get(names.relative(attached["source"])):
            yield disk, attached


def mark(cloud: Cloud, tx: Transaction, name: str) -> list[Document]:
    """Write DELETING on the disks that go with an instance, so that nobody attaches them now.

    Returns:
        Those disks.
    """
    _detach_shared(cloud, tx, name)
    instance = tx.get(name)
    going = auto_deleted(tx, instance) if instance else []
    for disk in going:
        disks.write_status(tx, names.relative(disk["selfLink"]), "DELETING")
    return going


def unmark(tx: Transaction, instance: Document) -> None:
    """Write READY on what `mark` marked: the instance stays."""
    for disk in auto_deleted(tx, instance):
        if disk["status"] == "DELETING":
            disks.write_status(tx, names.relative(disk["selfLink"]), "READY")


def _detach_shared(cloud: Cloud, tx: Transaction, name: str) -> None:
    """Detach from an instance the disks that others use too: the last user takes them along.

    https://cloud.google.com/compute/docs/disks/sharing-disks-between-vms.
    """
    instance = tx.get(name)
    if instance is None:
        return
    shared = {
        attached["source"]
        for disk, attached in _disks(tx, instance)
        if set(disk.get("users", ())) - {instance["selfLink"]}
    }
    if not shared:
        return
    for source in shared:
        disks.let_go(cloud, tx, names.relative(source), name)
    left = [attached for attached in instance["disks"] if attached["source"] not in shared]
    tx.put(name, instance | {"disks": left})


async def delete_volumes(cloud: Cloud, going: list[Document]) -> None:
    """Remove the volumes of disks, as many as can be. Raises VolumeError."""
    await all_ended(*(cloud.runtime.delete_volume(volume_of(disk)) for disk in going))


def delete_documents(cloud: Cloud, tx: Transaction, name: str, going: list[Document]) -> None:
    """Remove an instance, its addresses, its index and those of its disks that go with it."""
    instance = tx.get(name)
    if instance is None:
        return
    for disk in going:
        tx.delete(names.relative(disk["selfLink"]))
    for attached in instance["disks"]:
        disks.let_go(cloud, tx, names.relative(attached["source"]), name)
    interfaces.release_all(tx, name, instance)
    machines.forget(tx, instance)
    tx.delete(f"{GUEST_ATTRIBUTES}/{instance['id']}")
    tx.delete(name)
