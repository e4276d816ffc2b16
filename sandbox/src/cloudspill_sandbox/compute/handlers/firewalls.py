# SPDX-License-Identifier: GPL-3.0-or-later
"""VPC firewall rules. https://cloud.google.com/compute/docs/reference/rest/v1/firewalls."""

from __future__ import annotations

from cloudspill_sandbox.compute import documents, firewall_rules, names
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.handlers import Methods, reading
from cloudspill_sandbox.compute.lookup import found, worldwide
from cloudspill_sandbox.compute.operations import Step, Work, Writes
from cloudspill_sandbox.compute.rollback import rollback
from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.errors import already_exists


async def _insert(cloud: Cloud, call: Call) -> Document:
    key = names.check_name("resource.name", call.body.get("name"))
    name = f"{worldwide(call, 'firewalls')}/{key}"
    with cloud.transaction() as tx:
        if tx.get(name):
            raise already_exists(name)
        base = documents.resource("firewall", name, cloud.clock())
        tx.put(name, base | firewall_rules.checked(cloud, tx, call.body))
        failed = rollback(cloud.store, tx)
        operation = cloud.operations.open(tx, call, "insert", name)
    return await cloud.operations.perform(operation, _apply(cloud, "insert", failed))


async def _patch(cloud: Cloud, call: Call) -> Document:
    """Change what the body gives; the rest stays."""
    return await _replace(cloud, call, "patch")


async def _update(cloud: Cloud, call: Call) -> Document:
    """Replace the rule: what the body does not give gets its default."""
    return await _replace(cloud, call, "update")


async def _replace(cloud: Cloud, call: Call, kind: str) -> Document:
    name = worldwide(call, "firewalls", "firewall")
    with cloud.transaction() as tx:
        current = found(tx, name)
        documents.check_same("resource", call.body, current, "name")
        base = {key: current[key] for key in firewall_rules.FIXED if key in current}
        body = call.body if kind == "update" else firewall_rules.merged(current, call.body)
        tx.put(name, base | firewall_rules.checked(cloud, tx, body))
        failed = rollback(cloud.store, tx, needs=current["network"])
        operation = cloud.operations.open(tx, call, kind, name)
    return await cloud.operations.perform(operation, _apply(cloud, kind, failed))


async def _delete(cloud: Cloud, call: Call) -> Document:
    name = worldwide(call, "firewalls", "firewall")
    with cloud.transaction() as tx:
        target = found(tx, name)
        tx.delete(name)
        failed = rollback(cloud.store, tx, needs=target["network"])
        operation = cloud.operations.open(tx, call, "delete", name, target["id"])
    return await cloud.operations.perform(operation, _apply(cloud, "delete", failed))


def _apply(cloud: Cloud, method: str, failed: Writes) -> Work:
    return Work((Step(f"firewalls.{method}.apply", cloud.topology.settle),), failed=failed)


METHODS: Methods = {
    **reading.methods(worldwide, "firewall", "firewalls"),
    "delete": _delete,
    "insert": _insert,
    "patch": _patch,
    "update": _update,
}
