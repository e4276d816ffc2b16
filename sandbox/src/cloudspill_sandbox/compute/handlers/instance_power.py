# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting, stopping, resetting instances, and the maintenance of their hosts.

https://cloud.google.com/compute/docs/instances/instance-life-cycle.
"""

from __future__ import annotations

from cloudspill_sandbox.compute import (
    endings,
    machines,
    maintenance,
    preemption,
    refusals,
    scheduling,
    starting,
    under_way,
)
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.handlers import Methods
from cloudspill_sandbox.compute.lookup import found, zonal
from cloudspill_sandbox.compute.operations import Step, Work
from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.store import Transaction


async def _start(cloud: Cloud, call: Call) -> Document:
    name = zonal(call, "instances", "instance")
    with cloud.transaction() as tx:
        instance = found(tx, name)
        operation = cloud.operations.open(tx, call, "start", name)
        if instance["status"] == "RUNNING":  # starting what runs is well and changes nothing
            cloud.operations.close(tx, operation)
        elif instance["status"] == "TERMINATED":
            starting.stage(cloud, tx, name, instance)
        else:
            raise refusals.not_ready(name)
    if instance["status"] == "RUNNING":
        return found(cloud.store, operation)
    return await cloud.operations.perform(operation, starting.work(cloud, name))


async def _stop(cloud: Cloud, call: Call) -> Document:
    name = zonal(call, "instances", "instance")
    with cloud.transaction() as tx:
        instance = found(tx, name)
        operation = cloud.operations.open(tx, call, "stop", name)
        if instance["status"] == "TERMINATED":  # stopping what is off is well and changes nothing
            cloud.operations.close(tx, operation)
        elif instance["status"] == "RUNNING":
            under_way.check_none(tx, instance)
            tx.put(name, instance | {"status": "STOPPING"})
        else:
            raise refusals.not_ready(name)
    if instance["status"] == "TERMINATED":
        return found(cloud.store, operation)
    graceful = not call.query.get("noGracefulShutdown")
    return await cloud.operations.perform(operation, endings.stop(cloud, name, graceful=graceful))


def _running(tx: Transaction, name: str) -> Document:
    instance = found(tx, name)
    if instance["status"] != "RUNNING":
        raise refusals.not_ready(name)
    return instance


async def _reset(cloud: Cloud, call: Call) -> Document:
    """Cut the power and boot again: https://cloud.google.com/compute/docs/instances/reset."""
    name = zonal(call, "instances", "instance")
    with cloud.transaction() as tx:
        instance = _running(tx, name)
        under_way.check_none(tx, instance)
        tx.put(name, instance | {"status": "STAGING"})
        operation = cloud.operations.open(tx, call, "reset", name)
    machine = machines.Machine(cloud, name)

    async def boot() -> None:
        await machine.connect()
        await machine.power_on()

    return await cloud.operations.perform(
        operation,
        Work(
            (
                Step("instances.reset.powerOff", machine.power_off),
                Step("instances.reset.boot", boot, machine.power_off),
            ),
            done=lambda tx: machines.running(cloud, tx, name),
            failed=lambda tx: machines.as_it_is(cloud, tx, name),
        ),
    )


async def _simulate_maintenance_event(cloud: Cloud, call: Call) -> Document:
    name = zonal(call, "instances", "instance")
    with cloud.transaction() as tx:
        instance = _running(tx, name)
        operation = cloud.operations.open(tx, call, "simulateMaintenanceEvent", name)
        if scheduling.may_be_preempted(instance):
            preemption.begin(cloud, tx, name, instance)
            work = Work()
        else:
            work = maintenance.begin(cloud, tx, name, instance)
    return await cloud.operations.perform(operation, work)


METHODS: Methods = {
    "reset": _reset,
    "simulateMaintenanceEvent": _simulate_maintenance_event,
    "start": _start,
    "stop": _stop,
}
