# SPDX-License-Identifier: GPL-3.0-or-later
"""Host maintenance, simulated: what becomes of an instance, and what its metadata says before.

https://cloud.google.com/compute/docs/instances/simulating-host-maintenance: a Spot VM is preempted;
another that migrates goes on; one that does not is stopped, and started again if its
`automaticRestart` says so. `instance/maintenance-event` announces it 60 s ahead:
https://cloud.google.com/compute/docs/metadata/getting-live-migration-notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import endings, machines, starting
from cloudspill_sandbox.compute.operations import Step, Work
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.store import Transaction

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud

_NOTICE = 60.0
"""Seconds."""


def event(cloud: Cloud, instance: Document) -> str:
    """Return what an instance reads as `maintenance-event`."""
    announced = machines.noted(cloud.store, instance).get("maintenance")
    if announced is None or announced["until"] <= cloud.clock():
        return "NONE"
    return str(announced["event"])


def begin(cloud: Cloud, tx: Transaction, name: str, instance: Document) -> Work:
    """Announce the maintenance of a running instance; return what it does then."""
    policy, until = instance["scheduling"]["onHostMaintenance"], cloud.clock() + _NOTICE
    announced = {"event": f"{policy}_ON_HOST_MAINTENANCE", "until": until}
    machines.note(tx, instance, maintenance=announced)

    async def notice() -> None:
        await cloud.clock.reached(until, cloud.stopping)

    async def migrate() -> None:
        _withdraw(cloud, name, announced)

    async def terminate() -> None:
        if not _withdraw(cloud, name, announced):
            return
        message = "Instance terminated during Compute Engine maintenance."
        operation = await endings.end_by_system(
            cloud, name, endings.HOST_MAINTENANCE, message, deletes=False
        )
        if operation and instance["scheduling"]["automaticRestart"]:
            await cloud.operations.wait(operation)
            await _restart(cloud, name)

    what = (
        Step("instances.simulateMaintenanceEvent.terminate", terminate)
        if policy == "TERMINATE"
        else Step("instances.simulateMaintenanceEvent.migrate", migrate)
    )
    return Work((Step("instances.simulateMaintenanceEvent.notice", notice), what))


def _withdraw(cloud: Cloud, name: str, announced: Document) -> bool:
    """Take an announcement back; returns whether it was still of this life of the instance."""
    with cloud.transaction() as tx:
        instance = tx.get(name)
        if instance is None or machines.noted(tx, instance).get("maintenance") != announced:
            return False
        machines.note(tx, instance, maintenance=None)
        return True


async def _restart(cloud: Cloud, name: str) -> None:
    with cloud.transaction() as tx:
        instance = tx.get(name)
        if instance is None or instance["status"] != "TERMINATED":
            return
        starting.stage(cloud, tx, name, instance)
        message = "Instance automatically restarted by Compute Engine."
        operation = endings.open_by_system(cloud, tx, endings.AUTOMATIC_RESTART, name, message)
    await cloud.operations.perform(operation, starting.work(cloud, name))
