# SPDX-License-Identifier: GPL-3.0-or-later
"""Which instances a bulkInsert is making: a kill of the sandbox takes back all of them or none.

Kept beside the operations of the single instances, because clients may delete those.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

from cloudspill_sandbox.compute import names
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.store import Store, Transaction

METADATA = "instancesBulkInsertOperationMetadata"
"""Where the operation of a bulkInsert tells how far it is."""

_COLLECTION = "bulkInserts"


def begin(tx: Transaction, operation: str, instances: Iterable[str], disks: Iterable[str]) -> None:
    """Note the ids of what a bulkInsert (relative name of its operation) makes."""
    made = {"instances": list(instances), "disks": list(disks)}
    tx.put(_name(operation), {"operation": operation, **made})


def claim(tx: Transaction, name: str, disks: Container[str]) -> None:
    """Let those of an instance's disks go with it that a bulkInsert made (ids), and no others.

    Whatever `autoDelete` says of them: it is the request that is taken back.
    """
    if instance := tx.get(name):
        attached = [
            each | {"autoDelete": (tx.get(names.relative(each["source"])) or {}).get("id") in disks}
            for each in instance["disks"]
        ]
        tx.put(name, instance | {"disks": attached})


def end(tx: Transaction, operation: str) -> None:
    """Remove what `begin` noted: what there is now stays, or is gone already."""
    tx.delete(_name(operation))


def half_made(store: Store) -> set[str]:
    """Return the ids of the instances and disks of bulkInserts that are not over."""
    return {
        made
        for group in store.children(_COLLECTION).values()
        if (store.get(group["operation"]) or {}).get("status") == "RUNNING"
        for made in (*group["instances"], *group.get("disks", ()))
    }


def taken_back(operation: Document) -> Document:
    """Return the operation of a bulkInsert, telling that none of its instances stayed."""
    told = operation[METADATA]["perLocationStatus"]
    return operation | {
        METADATA: {
            "perLocationStatus": {
                location: status
                | {
                    "status": "DONE",
                    "failedToCreateVmCount": status["targetVmCount"] - status["createdVmCount"],
                    "deletedVmCount": status["createdVmCount"],
                }
                for location, status in told.items()
            }
        }
    }


def forget_all(store: Store, tx: Transaction) -> None:
    """Remove what an earlier life noted, once it is dealt with."""
    for key in store.children(_COLLECTION):
        tx.delete(f"{_COLLECTION}/{key}")


def _name(operation: str) -> str:
    return f"{_COLLECTION}/{names.last(operation)}"
