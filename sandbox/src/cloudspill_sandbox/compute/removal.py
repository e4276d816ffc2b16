# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes when an instance goes: its volumes first, its documents after.

In this order a sandbox that dies in between still knows what it has to remove.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import copies, disks, interfaces, machines, names, under_way
from cloudspill_sandbox.compute.together import all_ended
from cloudspill_sandbox.compute.volumes import volume_of
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.store import Store, Transaction

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud

GUEST_ATTRIBUTES = "guestAttributes"
"""Collection of the guest attributes, one document an instance id."""

_DELETING = "DELETING"


def half_made(store: Store | Transaction, instance: Document) -> list[Document]:
    """Return the disks that an interrupted or failed creation of an instance was to make."""
    return [disk for disk, _ in _disks(store, instance) if disk["status"] == "CREATING"]


def _disks(store: Store | Transaction, instance: Document) -> Iterator[tuple[Document, Document]]:
    for attached in instance["disks"]:
        if disk := store.get(names.relative(attached["source"])):
            yield disk, attached


def mark(tx: Transaction, name: str) -> list[Document]:
    """Write DELETING on the disks that go with an instance, so that nobody has a use for them now.

    One that others use too stays, and so does one that is being attached or detached: when the
    machine is off that may have changed, and this is called again.

    Returns:
        Those that go, from an earlier call too.
    """
    instance = tx.get(name)
    going = list(_going(tx, instance)) if instance else []
    for disk in going:
        disks.write_status(tx, names.relative(disk["selfLink"]), _DELETING)
    return going


def _going(tx: Transaction, instance: Document) -> Iterator[Document]:
    coming_or_going = under_way.parts(tx, instance)
    for disk, attached in _disks(tx, instance):
        free = under_way.disk(attached["deviceName"]) not in coming_or_going
        own = attached["autoDelete"] and free and not _others(disk, instance)
        if own or disk["status"] == _DELETING:
            yield disk


def _others(disk: Document, instance: Document) -> set[str]:
    """Return links of the other instances that use a disk."""
    return set(disk.get("users", ())) - {instance["selfLink"]}


def unmark(tx: Transaction, name: str, gone: Container[str]) -> None:
    """Write what became of the marked disks of an instance that stays: READY, or gone (ids).

    What has no volume any more is no disk of the instance either, which could not start with it.
    """
    instance = tx.get(name)
    if instance is None:
        return
    for disk, _ in list(_disks(tx, instance)):
        if disk["status"] != _DELETING:
            continue
        if disk["id"] in gone:
            tx.delete(names.relative(disk["selfLink"]))
            _take_from(tx, name, {disk["selfLink"]})
        else:
            disks.write_status(tx, names.relative(disk["selfLink"]), "READY")


def detach_shared(cloud: Cloud, tx: Transaction, name: str) -> None:
    """Detach from an instance the disks that others use too: the last user takes them along.

    https://cloud.google.com/compute/docs/disks/sharing-disks-between-vms.
    """
    if instance := tx.get(name):
        shared = {
            attached["source"] for disk, attached in _disks(tx, instance) if _others(disk, instance)
        }
        for source in shared:
            disks.let_go(cloud, tx, names.relative(source), name)
        _take_from(tx, name, shared)


def _take_from(tx: Transaction, name: str, sources: Container[str]) -> None:
    """Write that an instance has these disks (links) no more."""
    if instance := tx.get(name):
        left = [attached for attached in instance["disks"] if attached["source"] not in sources]
        tx.put(name, instance | {"disks": left})


async def delete_volumes(cloud: Cloud, going: list[Document], gone: set[str]) -> None:
    """Remove the volumes of disks when nothing is being made from them, as many as can be.

    Args:
        gone: gets the ids of those that are removed.

    Raises:
        VolumeError: one resists.
    """

    async def delete(disk: Document) -> None:
        await copies.not_read(cloud, disk)
        await cloud.runtime.delete_volume(volume_of(disk))
        gone.add(disk["id"])

    await all_ended(*map(delete, going))


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
