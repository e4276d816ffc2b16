# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of an instance that operations are changing, which its status does not say.

Whatever works on an instance as a whole (a start, stop, deletion …) says so in the status, and
begins only while no part is under way; other parts may be changed at the same time. Google's answer
to what comes too early, as users met it: https://github.com/googleapis/google-cloud-java/issues/9312.

It is noted with the instance's id and the operation's name, so neither an instance that was made
anew under the same name nor a later operation on the same part is taken for the one it began on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from cloudspill_sandbox.compute import machines, names, refusals
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.store import Store, Transaction

INTERFACES = "networkInterfaces"


def disk(device: str) -> str:
    """Return what the disk of a device is called as a part."""
    return f"disks/{device}"


def setting(operation: str) -> str:
    """Return what is called as a part what an operation sets for the next start."""
    return f"settings/{names.last(operation)}"


def leaving(subnetwork: str) -> str:
    """Return what the interface that moves out of a subnetwork, a link, is called as a part."""
    return f"leaving/{names.relative(subnetwork)}"


def leavers(store: Store, subnetworks: Collection[str]) -> Iterator[str]:
    """Yield the instances that move out of these, links of them; a move that fails brings back."""
    left = {leaving(subnetwork) for subnetwork in subnetworks}
    for collection, instances in store.collections(names.EVERY_PROJECT, "instances"):
        for key, instance in instances.items():
            if not left.isdisjoint(parts(store, instance)):
                yield f"{collection}/{key}"


def begin(tx: Transaction, name: str, part: str, operation: str) -> None:
    """Note that an operation changes a part of an instance, both by their relative names."""
    instance = tx.get(name) or {}
    machines.note(tx, instance, under_way=parts(tx, instance) | {part: operation})


def end(tx: Transaction, name: str, part: str, operation: str) -> bool:
    """Note that an operation does so no more; returns whether it still did.

    It does not where the instance is gone: then nothing is left that it may change.
    """
    instance = tx.get(name)
    if instance is None or parts(tx, instance).get(part) != operation:
        return False
    rest = {key: value for key, value in parts(tx, instance).items() if key != part}
    machines.note(tx, instance, under_way=rest)
    return True


def end_all(tx: Transaction, instance: Document) -> None:
    """Note that no operation changes a part of an instance: the sandbox starts."""
    if parts(tx, instance):
        machines.note(tx, instance, under_way={})


def parts(store: Store | Transaction, instance: Document) -> dict[str, str]:
    """Return the operations that change parts of an instance, by those."""
    return dict(machines.noted(store, instance).get("under_way", {}))


def check_none(store: Store | Transaction, instance: Document, part: str = "") -> None:
    """Return when this part of an instance, or every one, is at rest.

    Raises:
        ApiError: 400 resourceNotReady.
    """
    changing = parts(store, instance)
    if part in changing or (changing and not part):
        raise refusals.not_ready(names.relative(instance["selfLink"]))
