# SPDX-License-Identifier: GPL-3.0-or-later
"""Several properties of an instance by one request, with a restart if they need it.

https://cloud.google.com/compute/docs/reference/rest/v1/instances/update
"""

from __future__ import annotations

from collections.abc import Callable

from cloudspill_sandbox.compute import (
    instance_updates,
    machines,
    quotas,
    refusals,
    scheduling,
    under_way,
)
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.handlers import Methods
from cloudspill_sandbox.compute.lookup import found, zonal
from cloudspill_sandbox.compute.operations import Step, Work
from cloudspill_sandbox.compute.rollback import rollback
from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.store import Transaction


async def _update(cloud: Cloud, call: Call) -> Document:
    name = zonal(call, "instances", "instance")
    with cloud.transaction() as tx:
        before = found(tx, name)
        if before["status"] not in {"RUNNING", "TERMINATED"}:
            raise refusals.not_ready(name)
        after = instance_updates.updated(cloud, tx, before, call.body)
        action = instance_updates.action(call, before, after)
        restarts = action == instance_updates.RESTART and before["status"] == "RUNNING"
        tx.put(name, after)
        quotas.check(cloud, tx, call.path["zone"])
        take_back = rollback(cloud.store, tx)
        if restarts:
            under_way.check_none(tx, before)
            tx.put(name, after | {"status": "STOPPING"})
        operation = cloud.operations.open(tx, call, "update", name)
        if restarts:
            work = _restart(cloud, name, take_back)
        else:
            work = instance_updates.applied(cloud, tx, operation, before, after, take_back)
    return await cloud.operations.perform(operation, work)


def _restart(cloud: Cloud, name: str, take_back: Callable[[Transaction], None]) -> Work:
    """Return what shuts a machine down and boots it as its document has it by then."""
    machine = machines.Machine(cloud, name)

    async def boot() -> None:
        with cloud.transaction() as tx:  # when its last life was to end is of that life alone
            instance = scheduling.unlimited(found(tx, name))
            machines.index(tx, instance)
            tx.put(name, instance)
        await machine.connect()
        await machine.power_on()

    def failed(tx: Transaction) -> None:
        take_back(tx)
        machines.as_it_is(cloud, tx, name)

    return Work(
        (
            Step("instances.update.shutDown", machine.shut_down, machine.power_off),
            Step("instances.update.boot", boot, machine.power_off),
        ),
        done=lambda tx: machines.running(cloud, tx, name),
        failed=failed,
    )


METHODS: Methods = {"update": _update}
