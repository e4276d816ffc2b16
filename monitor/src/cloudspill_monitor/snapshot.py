# SPDX-License-Identifier: GPL-3.0-or-later
"""The monitor's state as one value: for the live view, `status`, metrics and JSON alike."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cloudspill_monitor.policy_types import ANNOUNCED, LOCAL


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task; `cores` is its use over the window, `uptime` in seconds.

    Of one at a VM, `uptime`, `log` and `run` (the number of its run there) tell of that run; how
    the last one here ended is of no interest then.
    """

    name: str
    place: str
    phase: str
    movable: bool
    pid: int | None
    cores: float | None
    uptime: float | None
    restarts: int
    exit_status: int | None
    log: str
    run: int | None = None

    @property
    def announced(self) -> bool:
        """Whether it runs here, and is only said to be at a VM (a dry run)."""
        return self.place == ANNOUNCED

    @property
    def runs(self) -> bool:
        """Whether it runs, wherever that is."""
        return self.phase in ("running", "away")


@dataclass(frozen=True, slots=True)
class DecisionView:
    """A move that was decided; `wall` in seconds since the epoch."""

    wall: float
    action: str
    tasks: str
    reason: str
    outcome: str | None


@dataclass(frozen=True, slots=True)
class VmView:
    """A VM of the monitor's, and the tasks that are there.

    `state` is as in the journal. In seconds: `age` since it came up (None: it has not), `lease`
    until it deletes itself if it hears nothing more (None: not known), `lifetime` until Google
    Cloud deletes it. `cost` so far is in the currency of `price_per_hour`.
    """

    name: str
    zone: str
    machine_type: str
    spot: bool
    state: str
    connected: bool
    age: float | None
    lease: float | None
    lifetime: float | None
    cost: float
    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FailureView:
    """The last move that failed, until one succeeds; `kind` is what sort of failure it was,
    `advice` what may be done about it ("" where there is nothing to say).
    """

    wall: float
    action: str
    kind: str
    text: str
    advice: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All of it, after a sample. `cpu` is what was judged: without `ignored` (other cgroups) and
    `elsewhere` (tasks that run here but count as moved), all in percent. `drained_wall` is since
    when the operator keeps all tasks home, `cost` what all VMs that the journal knows have cost.
    """

    pid: int
    at: float
    wall: float
    started_wall: float
    interval: float
    config: str
    dry_run: bool
    cpu: float
    ignored: float
    elsewhere: float
    memory: float
    threshold_high: float
    threshold_low: float
    judgement: str
    samples: int
    gaps: int
    moves_out: int
    moves_in: int
    moves_failed: int
    tasks: tuple[TaskView, ...]
    decisions: tuple[DecisionView, ...]
    vms: tuple[VmView, ...] = ()
    failure: FailureView | None = None
    drained_wall: float | None = None
    cost: float = 0.0

    @property
    def away(self) -> tuple[TaskView, ...]:
        """Tasks that are not at home."""
        return tuple(t for t in self.tasks if t.place != LOCAL and not t.announced)

    def as_json(self) -> dict[str, Any]:
        """For `--output json` and the control socket."""
        return asdict(self)


def from_json(data: dict[str, Any]) -> Snapshot:
    """The inverse of :meth:`Snapshot.as_json`. Raises TypeError for what another version sent."""
    tasks = tuple(TaskView(**task) for task in data["tasks"])
    decisions = tuple(DecisionView(**decision) for decision in data["decisions"])
    vms = tuple(VmView(**{**vm, "tasks": tuple(vm["tasks"])}) for vm in data["vms"])
    failure = FailureView(**data["failure"]) if data["failure"] else None
    return Snapshot(
        **{**data, "tasks": tasks, "decisions": decisions, "vms": vms, "failure": failure}
    )
