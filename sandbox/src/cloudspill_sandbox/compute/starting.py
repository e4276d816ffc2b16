# SPDX-License-Identifier: GPL-3.0-or-later
"""How an instance that is off starts, whoever asks for it.

https://cloud.google.com/compute/docs/instances/instance-life-cycle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import (
    interfaces,
    machines,
    names,
    quotas,
    refusals,
    scheduling,
    under_way,
)
from cloudspill_sandbox.compute.operations import Step, Work
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.store import Transaction

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud


def stage(cloud: Cloud, tx: Transaction, name: str, instance: Document) -> None:
    """Write a TERMINATED instance STAGING, with a new ephemeral address where it had one.

    Raises:
        ApiError: 400 it has no boot disk, its termination time is past, or a part of it is
            being changed; 403 no free address, or a quota that is used up.
    """
    under_way.check_none(tx, instance)
    if not any(disk["boot"] for disk in instance["disks"]):
        raise refusals.invalid_usage("The instance has no boot disk")
    scheduling.check_may_start("scheduling.terminationTime", instance, cloud.clock())
    machines.index(tx, instance)  # what was noted of its last life is over
    staged = interfaces.with_ephemeral(cloud, tx, name, instance)
    tx.put(name, staged | {"status": "STAGING"})
    quotas.check(cloud, tx, names.last(instance["zone"]))


def work(cloud: Cloud, name: str) -> Work:
    """Return what boots an instance after `stage`."""
    machine = machines.Machine(cloud, name)
    return Work(
        (
            Step("instances.start.connect", machine.connect),
            Step("instances.start.boot", machine.power_on, machine.power_off),
        ),
        done=lambda tx: machines.running(cloud, tx, name),
        failed=lambda tx: machines.terminated(cloud, tx, name),
    )
