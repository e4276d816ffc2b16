# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal holds, as values. Times are seconds since boot `boot_id`, or wall time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

VmState = Literal["planned", "up", "deleting", "gone"]


@dataclass(frozen=True, slots=True)
class Run:
    """A run of a task: one process here, or one unit on the VM `place`.

    `pid` and `start_ticks` (since boot) are None until a process of this machine exists. `move` is
    the move that brought the run to its VM. `stopping` is not None when the run was about to be
    stopped: the move that it was to be handed over by, 0 for none. `confirmed`: it is known to have
    been started where it is.
    """

    run: int
    task: str
    place: str
    definition: str
    boot_id: str
    begun: float
    begun_wall: float
    pid: int | None
    start_ticks: int | None
    ended_wall: float | None
    exit_status: int | None
    outcome: str | None
    move: int | None
    stopping: int | None
    confirmed: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """A move that was decided, why, and (once known) how it ended."""

    decision: int
    boot_id: str
    at: float
    wall: float
    action: str
    tasks: str
    reason: str
    outcome: str | None


@dataclass(frozen=True, slots=True)
class Move:
    """A playbook run that moves tasks; `ended_wall` is None while it is open.

    `decision` is None for a move that the policy did not ask for.
    """

    move: int
    decision: int | None
    direction: str
    tasks: tuple[str, ...]
    vms: tuple[str, ...]
    boot_id: str
    at: float
    wall: float
    ended_wall: float | None
    outcome: str | None


@dataclass(frozen=True, slots=True)
class Vm:
    """A VM, from before it is made until it is known to be gone.

    Zone, machine type, instance id and ssh command are None or empty until it is up. The price is
    in US dollars per hour; `lease` (fixed when it was made) and `max_lifetime` are in seconds.
    """

    vm: str
    zone: str | None
    machine_type: str | None
    spot: bool
    instance_id: str | None
    ssh_command: tuple[str, ...]
    state: VmState
    boot_id: str
    planned_at: float
    planned_wall: float
    up_wall: float | None
    gone_wall: float | None
    lease: float
    max_lifetime: float
    price_per_hour: float
