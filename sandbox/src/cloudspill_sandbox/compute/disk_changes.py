# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk that is on its way to an instance or from it.

Its machine may go off meanwhile, or the instance be deleted by Compute Engine itself; then the disk
is what the documents say, and nothing is left to be done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import disks, machines, names, under_way
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.store import Transaction

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud


class DiskChange:
    """An attachDisk or detachDisk.

    Args:
        name: relative name of the instance.
        operation: relative name.
        attached: the AttachedDisk.
    """

    def __init__(self, cloud: Cloud, name: str, operation: str, attached: Document) -> None:
        self._cloud = cloud
        self._name = name
        self._operation = operation
        self._attached = attached
        self._part = under_way.disk(attached["deviceName"])
        self._machine = machines.Machine(cloud, name)

    def begin(self, tx: Transaction) -> None:
        """Let nobody else change this disk of the instance, nor the instance as a whole."""
        under_way.begin(tx, self._name, self._part, self._operation)

    async def plug(self) -> None:
        """Give the machine the disk. Raises MachineError, LookupError."""
        self._check()
        await self._machine.plug(self._attached)

    async def unplug(self) -> None:
        """Take the disk from the machine. Raises MachineError, LookupError."""
        self._check()
        await self._machine.unplug(self._attached["deviceName"])

    def left(self, tx: Transaction) -> None:
        """Write that the disk is attached, or still is."""
        under_way.end(tx, self._name, self._part, self._operation)

    def detached(self, tx: Transaction) -> None:
        """Write that the disk is not attached, or not any more."""
        if not under_way.end(tx, self._name, self._part, self._operation):
            return
        instance = tx.get(self._name) or {}
        rest = [
            each for each in instance["disks"] if each["deviceName"] != self._attached["deviceName"]
        ]
        tx.put(self._name, instance | {"disks": rest})
        disks.let_go(self._cloud, tx, names.relative(self._attached["source"]), self._name)

    def _check(self) -> None:
        """Raises LookupError when the instance is gone, whatever has its name now."""
        if under_way.parts(self._cloud.store, self._machine.document).get(self._part) != (
            self._operation
        ):
            raise LookupError(f"{self._name} is gone")
