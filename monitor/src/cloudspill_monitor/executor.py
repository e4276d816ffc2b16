# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying out what the policy decides: the wall behind which the cloud lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from cloudspill_monitor.config import BurstConfig, MonitorConfig
from cloudspill_monitor.control import Handler
from cloudspill_monitor.placement import Placement
from cloudspill_monitor.policy_types import ANNOUNCED, LOCAL, ScaleIn, ScaleOut
from cloudspill_monitor.snapshot import VmView


class MoveError(Exception):
    """A move failed, or part of it; the message says why. No task is lost by it.

    `kind` is what sort of failure it is, `advice` what may be done about it ("" if nothing is
    known).
    """

    def __init__(self, text: str, kind: str = "", advice: str = "") -> None:
        super().__init__(text)
        self.kind = kind
        self.advice = advice


@dataclass(frozen=True, slots=True)
class AwayLoad:
    """What a task at a VM has used so far, in CPU seconds at `at` (seconds since boot);
    `saturated` says that its VM's CPU was all in use.
    """

    task: str
    cpu_seconds: float
    at: float
    saturated: bool


class Executor(Protocol):
    """Moves tasks. One move at a time; the daemon goes on sampling meanwhile.

    While `drained` is set, no VM is kept for later.
    """

    drained: bool

    @property
    def placement(self) -> Placement:
        """Where the tasks are."""
        ...

    def describe(self, action: ScaleOut | ScaleIn) -> str:
        """What :meth:`carry_out` is about to do, in words."""
        ...

    def configure(self, config: MonitorConfig) -> None:
        """Go by another configuration from now on."""
        ...

    def handlers(self) -> Mapping[str, Handler]:
        """What the control socket shall answer for the playbooks."""
        ...

    def loads(self) -> tuple[AwayLoad, ...]:
        """What the tasks at VMs have used, as last heard."""
        ...

    def vms(self, now: float, wall: float) -> tuple[VmView, ...]:
        """The VMs that may exist."""
        ...

    def cost(self, wall: float) -> float:
        """What all VMs so far have cost."""
        ...

    async def start(self) -> None:
        """Take up what an earlier monitor left. Raises JournalError."""
        ...

    async def carry_out(self, action: ScaleOut | ScaleIn, decision: int) -> None:
        """Do what was decided (number `decision` of the journal). Raises MoveError."""
        ...

    async def close(self, *, hurry: bool) -> None:
        """Bring home what tasks have done, and delete every VM. Raises MoveError."""
        ...


class Announcer:
    """Moves nothing and needs no cloud: the tasks go on here, and count as if they had moved."""

    def __init__(self, burst: BurstConfig) -> None:
        self._burst = burst
        self.placement = Placement()
        self.drained = False

    def describe(self, action: ScaleOut | ScaleIn) -> str:
        """The move in the conditional."""
        names = ", ".join(action.tasks)
        if isinstance(action, ScaleIn):
            return f"would bring home {names}"
        burst = self._burst
        project = f" of project {burst.project}" if burst.project else ""
        return f"would move {names} to a VM ({burst.machine_types[0]} in {burst.zones[0]}{project})"

    def configure(self, config: MonitorConfig) -> None:
        """Go by another configuration; tasks that are not in it are nowhere."""
        self._burst = config.burst
        gone = self.placement.away.keys() - {task.name for task in config.tasks}
        self.placement = self.placement.moved(gone, LOCAL)

    def handlers(self) -> Mapping[str, Handler]:
        """No playbook asks."""
        return {}

    def loads(self) -> tuple[AwayLoad, ...]:
        """Nothing is away."""
        return ()

    def vms(self, now: float, wall: float) -> tuple[VmView, ...]:
        """There is none."""
        del now, wall
        return ()

    def cost(self, wall: float) -> float:
        """Nothing."""
        del wall
        return 0.0

    async def start(self) -> None:
        """Nothing was left."""

    async def carry_out(self, action: ScaleOut | ScaleIn, decision: int) -> None:
        """Count the tasks as if the move had been made."""
        del decision
        place = ANNOUNCED if isinstance(action, ScaleOut) else LOCAL
        self.placement = self.placement.moved(action.tasks, place)

    async def close(self, *, hurry: bool) -> None:
        """Nothing is to be brought home."""
