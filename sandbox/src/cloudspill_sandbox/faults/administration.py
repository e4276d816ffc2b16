# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults as the admin API speaks of them: JSON documents in, JSON documents out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.faults.instances import InstanceFaults
from cloudspill_sandbox.faults.registry import Faults


class FaultAdministration:
    """Adds, shows, clears and awaits the faults of a sandbox."""

    def __init__(self, faults: Faults, instances: InstanceFaults) -> None:
        self._faults = faults
        self._instances = instances

    def listing(self) -> list[Document]:
        """Return every fault, the oldest first."""
        return [fault.view() for fault in self._faults]

    def pending(self) -> list[str]:
        """Return the ids of the faults that may still strike, or whose effect goes on."""
        return [fault.id for fault in self._faults if fault.state != "spent"]

    def add(self, document: Any) -> Document:
        """Arm a fault.

        Raises:
            ValueError: it cannot be; nothing was changed, and the message lists what can.
        """
        return self._faults.add(document).view()

    async def clear(self, identities: Sequence[str]) -> list[Document]:
        """Forget some faults, or all when none is named, and undo what of them goes on.

        Raises:
            LookupError: one is not there; nothing was changed.
        """
        cleared = self._faults.clear(identities)
        await self._instances.settled(fault.id for fault in cleared)
        return [fault.view() for fault in cleared]

    async def fired(self, identity: str, times: int, within: float) -> Document:
        """Return a fault when it has struck so many times, or as it is after `within` seconds.

        Raises:
            LookupError: it is not there, or was cleared meanwhile.
        """
        return (await self._faults.fired(identity, times, within)).view()
