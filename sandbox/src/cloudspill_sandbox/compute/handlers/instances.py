# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances: made, listed, deleted. https://cloud.google.com/compute/docs/reference/rest/v1/instances.

How one comes about is in `creation`, several at once in `bulk_insert`.
"""

from __future__ import annotations

from cloudspill_sandbox.compute import (
    copies,
    endings,
    instance_plan,
    instance_templates,
    refusals,
    under_way,
)
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.creation import Creation
from cloudspill_sandbox.compute.handlers import (
    Methods,
    bulk_insert,
    instance_attachments,
    instance_guest,
    instance_interfaces,
    instance_power,
    instance_settings,
    instance_suspension,
    instance_update,
    reading,
)
from cloudspill_sandbox.compute.lookup import found, zonal
from cloudspill_sandbox.engine.call import Call, Document


async def _insert(cloud: Cloud, call: Call) -> Document:
    refusals.check_supported("query", call.query, "sourceMachineImage")
    with cloud.transaction() as tx:
        body = instance_templates.applied(cloud, tx, call)
        plan = instance_plan.reserve(cloud, tx, call.path["zone"], body)
        operation = cloud.operations.open(tx, call, "insert", plan.name, warnings=plan.warnings)
    return await cloud.operations.perform(operation, Creation(cloud, plan).work())


async def _delete(cloud: Cloud, call: Call) -> Document:
    name = zonal(call, "instances", "instance")
    with cloud.transaction() as tx:
        instance = found(tx, name)
        if instance["deletionProtection"]:
            raise refusals.invalid_usage(
                "Resource cannot be deleted if it's protected against deletion"
            )
        if instance["status"] not in {"RUNNING", "SUSPENDED", "TERMINATED"}:
            raise refusals.not_ready(name)
        under_way.check_none(tx, instance)
        for disk in endings.begin_deletion(tx, name):
            copies.check_not_read(cloud, disk)
        operation = cloud.operations.open(tx, call, "delete", name)
    graceful = not call.query.get("noGracefulShutdown")
    return await cloud.operations.perform(operation, endings.delete(cloud, name, graceful=graceful))


METHODS: Methods = {
    **reading.methods(zonal, "instance", "instances"),
    **bulk_insert.METHODS,
    "delete": _delete,
    "insert": _insert,
    **instance_attachments.METHODS,
    **instance_guest.METHODS,
    **instance_interfaces.METHODS,
    **instance_power.METHODS,
    **instance_settings.METHODS,
    **instance_suspension.METHODS,
    **instance_update.METHODS,
}
