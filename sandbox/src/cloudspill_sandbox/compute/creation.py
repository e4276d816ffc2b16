# SPDX-License-Identifier: GPL-3.0-or-later
"""How a reserved instance comes about.

What does not depend on one another overlaps (volumes; namespace, addresses, firewall), then it
boots. Whatever fails, all of it is taken back and the operation carries the error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import disks, instance_plan, machines, removal
from cloudspill_sandbox.compute.operations import Step, Work
from cloudspill_sandbox.compute.together import all_ended
from cloudspill_sandbox.engine.store import Transaction

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud


class Creation:
    """The steps that make a reserved instance run."""

    def __init__(self, cloud: Cloud, plan: instance_plan.Plan) -> None:
        self._cloud = cloud
        self._plan = plan
        self._machine = machines.Machine(cloud, plan.name)

    def work(self) -> Work:
        """Return the steps, and what to write when they are done or have failed."""
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
