# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances: made, listed, deleted. https://cloud.google.com/compute/docs/reference/rest/v1/instances.

A creation overlaps what does not depend on one another (volumes; namespace, addresses, firewall),
then boots. Whatever fails, all of it is taken back and the operation carries the error.
"""

from __future__ import annotations

from cloudspill_sandbox.compute import (
    copies,
    disks,
    endings,
    instance_plan,
    instance_templates,
    machines,
    refusals,
    removal,
)
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.handlers import (
    Methods,
    instance_attachments,
    instance_guest,
    instance_interfaces,
    instance_power,
    instance_settings,
    instance_suspension,
    reading,
)
from cloudspill_sandbox.compute.lookup import found, zonal
from cloudspill_sandbox.compute.operations import Step, Work
from cloudspill_sandbox.compute.together import all_ended
from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.store import Transaction


async def _insert(cloud: Cloud, call: Call) -> Document:
    refusals.check_supported("query", call.query, "sourceMachineImage")
    with cloud.transaction() as tx:
        body = instance_templates.applied(cloud, tx, call)
        plan = instance_plan.reserve(cloud, tx, call.path["zone"], body)
        operation = cloud.operations.open(tx, call, "insert", plan.name)
    return await cloud.operations.perform(operation, _Creation(cloud, plan).work())


class _Creation:
    """The steps that make a reserved instance run."""

    def __init__(self, cloud: Cloud, plan: instance_plan.Plan) -> None:
        self._cloud = cloud
        self._plan = plan
        self._machine = machines.Machine(cloud, plan.name)

    def work(self) -> Work:
        return Work(
            (
                Step("instances.insert.provision", self._provision, self._unprovision),
                Step("instances.insert.boot", self._boot, self._machine.power_off),
            ),
            done=self._done,
            failed=self._failed,
        )

    async def _provision(self) -> None:
        """Make volumes and links at once."""
        makings = (disk.make(self._cloud) for disk in self._plan.new_disks)
        await all_ended(self._machine.connect(), *makings)

    async def _unprovision(self) -> None:
        unmakings = (disk.unmake(self._cloud) for disk in self._plan.new_disks)
        await all_ended(self._machine.disconnect(), *unmakings)

    async def _boot(self) -> None:
        with self._cloud.transaction() as tx:
            disks.write_status(tx, self._plan.name, "STAGING")
        await self._machine.power_on()

    def _done(self, tx: Transaction) -> None:
        for disk in self._plan.new_disks:
            disks.write_status(tx, disk.name, "READY")
        machines.running(self._cloud, tx, self._plan.name)

    def _failed(self, tx: Transaction) -> None:
        going = removal.half_made(tx, self._machine.document)
        removal.delete_documents(self._cloud, tx, self._plan.name, going)


async def _delete(cloud: Cloud, call: Call) -> Document:
    name = zonal(call, "instances", "instance")
    with cloud.transaction() as tx:
        instance = found(tx, name)
        if instance["deletionProtection"]:
            raise ApiError(
                400,
                "invalidResourceUsage",
                "Invalid resource usage: "
                "'Resource cannot be deleted if it's protected against deletion.'.",
            )
        if instance["status"] not in {"RUNNING", "SUSPENDED", "TERMINATED"}:
            raise refusals.not_ready(name)
        for disk in removal.auto_deleted(tx, instance):
            copies.check_not_read(cloud, disk)
        tx.put(name, instance | {"status": "STOPPING"})
        operation = cloud.operations.open(tx, call, "delete", name)
    graceful = not call.query.get("noGracefulShutdown")
    return await cloud.operations.perform(operation, endings.delete(cloud, name, graceful=graceful))


METHODS: Methods = {
    **reading.methods(zonal, "instance", "instances"),
    "delete": _delete,
    "insert": _insert,
    **instance_attachments.METHODS,
    **instance_guest.METHODS,
    **instance_interfaces.METHODS,
    **instance_power.METHODS,
    **instance_settings.METHODS,
    **instance_suspension.METHODS,
}
