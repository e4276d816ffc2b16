# SPDX-License-Identifier: GPL-3.0-or-later
"""Static external addresses. https://cloud.google.com/compute/docs/reference/rest/v1/addresses."""

from __future__ import annotations

from cloudspill_sandbox.compute import documents, labels, leases, names, refusals
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.handlers import Methods, reading
from cloudspill_sandbox.compute.lookup import found, regional
from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.errors import already_exists


async def _insert(cloud: Cloud, call: Call) -> Document:
    key = names.check_name("resource.name", call.body.get("name"))
    name = f"{regional(call, 'addresses')}/{key}"
    if call.body.get("addressType") == "INTERNAL" or call.body.get("subnetwork"):
        raise refusals.invalid_value(
            "resource.addressType", "INTERNAL", "The sandbox reserves external addresses only."
        )
    if asked := call.body.get("address"):
        raise refusals.invalid_value(
            "resource.address", asked, "The sandbox chooses the address of a reservation."
        )
    with cloud.transaction() as tx:
        if tx.get(name):
            raise already_exists(name)
        document = documents.resource("address", name, cloud.clock()) | {
            "address": cloud.addresses.allocate(tx, leases.EXTERNAL_RANGE, name),
            "addressType": "EXTERNAL",
            "networkTier": call.body.get("networkTier") or "PREMIUM",
            "status": "RESERVED",
        }
        document |= documents.given(call.body, "description")
        checked = names.check_labels("resource.labels", call.body.get("labels"))
        tx.put(name, documents.labelled(document, checked))
        operation = cloud.operations.open(tx, call, "insert", name)
        cloud.operations.close(tx, operation)
    return found(cloud.store, operation)


async def _delete(cloud: Cloud, call: Call) -> Document:
    name = regional(call, "addresses", "address")
    with cloud.transaction() as tx:
        document = found(tx, name)
        if users := document.get("users"):
            raise refusals.in_use("address", name, names.relative(users[0]))
        operation = cloud.operations.open(tx, call, "delete", name)
        leases.release(tx, document["address"])
        tx.delete(name)
        cloud.operations.close(tx, operation)
    return found(cloud.store, operation)


async def _set_labels(cloud: Cloud, call: Call) -> Document:
    return await labels.replace(cloud, call, regional(call, "addresses", "resource"))


METHODS: Methods = {
    **reading.methods(regional, "address", "addresses"),
    "delete": _delete,
    "insert": _insert,
    "setLabels": _set_labels,
}
