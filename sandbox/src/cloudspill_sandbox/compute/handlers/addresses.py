# SPDX-License-Identifier: GPL-3.0-or-later
"""Static addresses. https://cloud.google.com/compute/docs/reference/rest/v1/addresses."""

from __future__ import annotations

from cloudspill_sandbox.compute import (
    documents,
    interfaces,
    leases,
    names,
    quotas,
    refusals,
    reservations,
    under_way,
)
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.handlers import Methods, labels, reading
from cloudspill_sandbox.compute.lookup import found, regional
from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.errors import already_exists
from cloudspill_sandbox.engine.store import Transaction


async def _insert(cloud: Cloud, call: Call) -> Document:
    key = names.check_name("resource.name", call.body.get("name"))
    name = f"{regional(call, 'addresses')}/{key}"
    with cloud.transaction() as tx:
        if tx.get(name):
            raise already_exists(name)
        document = documents.resource("address", name, cloud.clock())
        document |= reservations.reserved(cloud, tx, name, call.body)
        document |= documents.given(call.body, "description", "ipVersion")
        checked = names.check_labels("resource.labels", call.body.get("labels"))
        tx.put(name, documents.labelled(document, checked))
        quotas.check(cloud, tx, call.path["region"])
        operation = cloud.operations.open(tx, call, "insert", name)
        cloud.operations.close(tx, operation)
    return found(cloud.store, operation)


async def _delete(cloud: Cloud, call: Call) -> Document:
    """Release an address. An instance keeps an external one, which is an ephemeral one then.

    So one that is off loses it: https://cloud.google.com/compute/docs/ip-addresses#ephemeraladdress.
    Google's own samples release one that a running instance has: GoogleCloudPlatform/
    python-docs-samples, compute/client_library (test_promote_ephemeral_ip).
    """
    name = regional(call, "addresses", "address")
    with cloud.transaction() as tx:
        document = found(tx, name)
        user = next(map(names.relative, document.get("users", ())), None)
        if user and document["addressType"] != "EXTERNAL":
            raise refusals.in_use("address", name, user)
        operation = cloud.operations.open(tx, call, "delete", name)
        leases.release(tx, document["address"])
        if user:
            _check_at_rest(tx, user)
            leases.take(tx, document["address"], user)
            _give_back(tx, user)
        tx.delete(name)
        cloud.operations.close(tx, operation)
    await cloud.topology.settle_quietly()
    return found(cloud.store, operation)


def _check_at_rest(tx: Transaction, user: str) -> None:
    """Return unless an instance is being moved, which would come back with its address as it was.

    Raises:
        ApiError: 400 resourceNotReady.
    """
    if instance := tx.get(user):
        under_way.check_none(tx, instance, under_way.INTERFACES)


def _give_back(tx: Transaction, user: str) -> None:
    """Take what is ephemeral from an instance that is off, as a stop or suspension would have."""
    instance = tx.get(user)
    if instance and instance["status"] in {"SUSPENDED", "TERMINATED"}:
        tx.put(user, interfaces.without_ephemeral(tx, user, instance))


METHODS: Methods = {
    **reading.methods(regional, "address", "addresses"),
    "delete": _delete,
    "insert": _insert,
    "setLabels": labels.set_labels(regional, "addresses"),
}
