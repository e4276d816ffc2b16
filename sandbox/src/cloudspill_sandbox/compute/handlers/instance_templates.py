# SPDX-License-Identifier: GPL-3.0-or-later
"""Instance templates. https://cloud.google.com/compute/docs/reference/rest/v1/instanceTemplates."""

from __future__ import annotations

from cloudspill_sandbox.compute import (
    documents,
    instance_properties,
    instance_templates,
    names,
    refusals,
)
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.handlers import Methods, reading
from cloudspill_sandbox.compute.lookup import found, worldwide
from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.errors import already_exists
from cloudspill_sandbox.engine.store import Transaction

_COLLECTION = "instanceTemplates"


async def _insert(cloud: Cloud, call: Call) -> Document:
    key = names.check_name("resource.name", call.body.get("name"))
    name = f"{worldwide(call, _COLLECTION)}/{key}"
    with cloud.transaction() as tx:
        if tx.get(name):
            raise already_exists(name)
        template = documents.resource("instanceTemplate", name, cloud.clock())
        template |= documents.given(call.body, "description", instance_properties.PARAMS)
        tx.put(name, template | _properties(cloud, tx, call.body))
        operation = cloud.operations.open(tx, call, "insert", name)
        cloud.operations.close(tx, operation)
    return found(cloud.store, operation)


def _properties(cloud: Cloud, tx: Transaction, body: Document) -> Document:
    """Return `properties`, and `sourceInstance` where they are those of one."""
    given, source = body.get("properties"), body.get(instance_properties.SOURCE)
    if given and source:
        raise refusals.invalid_usage("Must specify at most one of properties and sourceInstance")
    if source:
        given = instance_properties.of_instance(cloud, tx, body)
    if not given:
        raise refusals.missing("resource.properties")
    checked = instance_templates.checked(cloud, tx, "resource.properties", given)
    return {"properties": checked} | documents.given(body, instance_properties.SOURCE)


async def _delete(cloud: Cloud, call: Call) -> Document:
    name = worldwide(call, _COLLECTION, "instanceTemplate")
    with cloud.transaction() as tx:
        found(tx, name)
        operation = cloud.operations.open(tx, call, "delete", name)
        tx.delete(name)
        cloud.operations.close(tx, operation)
    return found(cloud.store, operation)


METHODS: Methods = {
    **reading.methods(worldwide, "instanceTemplate", _COLLECTION),
    "aggregatedList": reading.aggregated_list("instanceTemplate", _COLLECTION, ["global"]),
    "delete": _delete,
    "insert": _insert,
}
