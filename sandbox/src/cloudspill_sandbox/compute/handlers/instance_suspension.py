# SPDX-License-Identifier: GPL-3.0-or-later
"""Suspending and resuming instances.

https://cloud.google.com/compute/docs/instances/suspend-resume-instance; refusals:
https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-suspend-resume.
"""

from __future__ import annotations

from cloudspill_sandbox.compute import (
    documents,
    interfaces,
    machines,
    quotas,
    refusals,
    under_way,
)
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.handlers import Methods
from cloudspill_sandbox.compute.lookup import found, zonal
from cloudspill_sandbox.compute.operations import Step, Work
from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.store import Transaction


async def _suspend(cloud: Cloud, call: Call) -> Document:
    name = zonal(call, "instances", "instance")
    with cloud.transaction() as tx:
        instance = found(tx, name)
        _check_may_suspend(name, instance["status"])
        under_way.check_none(tx, instance)
        tx.put(name, instance | {"status": "SUSPENDING"})
        operation = cloud.operations.open(tx, call, "suspend", name)
    machine = machines.Machine(cloud, name)
    step = Step("instances.suspend.save", machine.suspend, machine.resume)

    def done(tx: Transaction) -> None:
        now = documents.timestamp(cloud.clock())
        machines.suspended(tx, name, machine.document | {"lastSuspendedTimestamp": now})

    work = Work((step,), done, failed=lambda tx: machines.as_it_is(cloud, tx, name))
    return await cloud.operations.perform(operation, work)


def _check_may_suspend(name: str, status: str) -> None:
    if status == "SUSPENDED":
        raise refusals.unsupported("You cannot suspend an already suspended instance.")
    if status in {"TERMINATED", "STOPPING"}:
        raise refusals.unsupported("You cannot suspend an instance that is stopped or terminated.")
    if status != "RUNNING":
        raise refusals.not_ready(name)


async def _resume(cloud: Cloud, call: Call) -> Document:
    """Let an instance go on; its ephemeral external address is another one then."""
    name = zonal(call, "instances", "instance")
    with cloud.transaction() as tx:
        instance = found(tx, name)
        if instance["status"] != "SUSPENDED":
            raise refusals.unsupported("You cannot resume an instance that is not suspended.")
        staged = interfaces.with_ephemeral(cloud, tx, name, instance)
        tx.put(name, staged | {"status": "STAGING"})
        quotas.check(cloud, tx, call.path["zone"])
        operation = cloud.operations.open(tx, call, "resume", name)
    machine = machines.Machine(cloud, name)
    work = Work(
        (
            Step("instances.resume.connect", machine.connect),
            Step("instances.resume.restore", machine.resume, machine.power_off),
        ),
        done=lambda tx: machines.running(cloud, tx, name),
        failed=lambda tx: machines.as_it_is(cloud, tx, name),
    )
    return await cloud.operations.perform(operation, work)


METHODS: Methods = {"resume": _resume, "suspend": _suspend}
