# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying out what the policy decides: the wall behind which the cloud lies."""

from __future__ import annotations

from typing import Protocol

from cloudspill_monitor.config import BurstConfig
from cloudspill_monitor.placement import Placement
from cloudspill_monitor.policy_types import LOCAL, ScaleIn, ScaleOut


class MoveError(Exception):
    """A move failed; the message says why. The tasks are where they were."""


class Executor(Protocol):
    """Moves tasks. One move at a time; the daemon goes on sampling meanwhile."""

    def describe(self, action: ScaleOut | ScaleIn) -> str:
        """What :meth:`carry_out` is about to do, in words."""
        ...

    async def carry_out(self, action: ScaleOut | ScaleIn, placement: Placement) -> Placement:
        """Do it; returns where the tasks are then. Raises MoveError."""
        ...


class Announcer:
    """Moves nothing and needs no cloud: the tasks go on here, and count as if they had moved."""

    VM = "vm (not made)"

    def __init__(self, burst: BurstConfig) -> None:
        self._burst = burst

    def describe(self, action: ScaleOut | ScaleIn) -> str:
        """The move in the conditional."""
        names = ", ".join(action.tasks)
        if isinstance(action, ScaleIn):
            return f"would bring home {names}"
        burst = self._burst
        project = f" of project {burst.project}" if burst.project else ""
        return f"would move {names} to a VM ({burst.machine_types[0]} in {burst.zones[0]}{project})"

    async def carry_out(self, action: ScaleOut | ScaleIn, placement: Placement) -> Placement:
        """The placement as if the move had been made."""
        place = self.VM if isinstance(action, ScaleOut) else LOCAL
        return placement.moved(action.tasks, place)
