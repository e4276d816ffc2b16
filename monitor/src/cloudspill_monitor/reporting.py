# SPDX-License-Identifier: GPL-3.0-or-later
"""`status`: the running monitor's own words, or else what its journal knows."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cloudspill_monitor.burst.views import vm_cost
from cloudspill_monitor.config_file import ConfigError, load
from cloudspill_monitor.console import duration, summary, vm_state
from cloudspill_monitor.control import ControlError, ask
from cloudspill_monitor.journal import Decision, Journal, JournalError, Run, Vm
from cloudspill_monitor.lock import MARK_EVERY, holder, last_lived
from cloudspill_monitor.policy_types import LOCAL
from cloudspill_monitor.snapshot import DecisionView, Snapshot, TaskView, VmView, from_json
from cloudspill_monitor.task_process import describe_exit

_DECISIONS = 10
_SHORTEST_FIRST_LEASE = 60.0  # seconds that a VM has from its first start on, at least
_CURRENCY = "in the currency of price_per_hour"


class StatusError(Exception):
    """Nothing can be told; the message says why."""


@dataclass(frozen=True, slots=True)
class Running:
    """A monitor runs, and has answered."""

    snapshot: Snapshot
    running: bool = True

    def as_json(self) -> dict[str, Any]:
        """For `--output json`."""
        return {"running": True, **self.snapshot.as_json()}

    def text(self) -> str:
        """For people."""
        snapshot = self.snapshot
        lines = [
            f"monitor: process {snapshot.pid} since {_when(snapshot.started_wall)}, "
            f"configuration {snapshot.config}"
            + (", moves are only announced" if snapshot.dry_run else ""),
            summary(replace(snapshot, vms=())),  # they have lines of their own
        ]
        lines += [_task_line(task) for task in snapshot.tasks]
        lines += [_vm_line(vm) for vm in snapshot.vms]
        if snapshot.cost:
            lines.append(f"all VMs have cost {snapshot.cost:.4f} so far, {_CURRENCY}")
        if snapshot.drained_wall is not None:
            lines.append(
                f"drained since {_when(snapshot.drained_wall)}: tasks stay here until "
                "`cloudspill-monitor drain --off`"
            )
        if (failure := snapshot.failure) is not None:
            kind = f" ({failure.kind})" if failure.kind else ""
            lines.append(f"{_when(failure.wall)} {failure.action} failed{kind}: {failure.text}")
            lines += [f"  {failure.advice}"] if failure.advice else []
        return "\n".join([*lines, *_decision_lines(snapshot.decisions)])


@dataclass(frozen=True, slots=True)
class NotRunning:
    """No monitor runs; this is what the last one wrote down, looked at at `wall`.

    `lived` is when the last one was alive for certain (None: not known); without a VM it may have
    lived on for long. `self_deleting` says that VMs have an account to delete themselves by.
    """

    state_dir: Path
    wall: float
    lived: float | None = None
    runs: tuple[Run, ...] = ()
    decisions: tuple[Decision, ...] = ()
    vms: tuple[Vm, ...] = ()
    running: bool = False
    self_deleting: bool = True

    def as_json(self) -> dict[str, Any]:
        """For `--output json`."""
        return {
            "running": False,
            "state_dir": str(self.state_dir),
            "lived_wall": self.lived,
            "runs": [asdict(run) for run in self.runs],
            "decisions": [asdict(decision) for decision in self.decisions],
            "vms": [
                {**asdict(vm), "ends_wall": self.ends(vm), "cost": vm_cost(vm, self.wall)}
                for vm in self.vms
            ],
        }

    def ends(self, vm: Vm) -> float:
        """The wall time by which `vm` ends itself, or Google Cloud ends it, if nobody else does.

        Its lease may have been renewed until the last monitor died. Not known when one was never
        seen up, because it may have been made later: then only Google Cloud's limit is certain.
        """
        limit = vm.planned_wall + vm.max_lifetime
        if vm.up_wall is None or not self.self_deleting:
            return limit
        renewed = self.wall
        if self.lived is not None:
            renewed = min(renewed, max(self.lived, vm.up_wall)) + MARK_EVERY
        return min(renewed + max(vm.lease, _SHORTEST_FIRST_LEASE), limit)

    def text(self) -> str:
        """For people."""
        lines = [f"monitor: none runs on {self.state_dir}"]
        if self.vms and self.lived is not None:
            lines[0] += f"; the last one was alive at {_when(self.lived)}"
        for run in self.runs:
            if run.ended_wall is None and run.place != LOCAL:
                lines.append(f"  {run.task}: was at {run.place}; `run` will bring it home")
            elif run.ended_wall is None:
                lines.append(
                    f"  {run.task}: was running as process {run.pid}; `run` will take it over"
                )
            else:
                lines.append(
                    f"  {run.task}: {run.outcome} {_when(run.ended_wall)}, "
                    f"{describe_exit(run.exit_status)}"
                )
        views = tuple(
            DecisionView(d.wall, d.action, d.tasks, d.reason, d.outcome) for d in self.decisions
        )
        return "\n".join([*lines, *self._vm_lines(), *_decision_lines(views)])

    def _vm_lines(self) -> list[str]:
        if not self.vms:
            return []
        lines = [f"VMs that may still exist, and cost money ({_CURRENCY}):"]
        for vm in self.vms:
            made = f" ({vm.machine_type} in {vm.zone})" if vm.zone else ""
            since = "never seen up" if vm.up_wall is None else f"up since {_when(vm.up_wall)}"
            lines.append(
                f"  {vm.vm}{made}: {since}, cost {vm_cost(vm, self.wall):.4f} so far; "
                f"{self._end(vm)} (lease {duration(vm.lease)})"
            )
        return [
            *lines,
            "  `cloudspill-monitor run` takes them over and brings their tasks home; "
            "`cloudspill-monitor reap` shows (and with --delete deletes) those whose lease is over",
        ]

    def _end(self, vm: Vm) -> str:
        ends = self.ends(vm)
        first_lease = duration(max(vm.lease, _SHORTEST_FIRST_LEASE))
        if ends <= self.wall:
            return (
                f"it should have deleted itself by {_when(ends)}; `cloudspill-monitor reap` tells"
            )
        if not self.self_deleting:
            return f"it has no account to delete itself by: Google Cloud does by {_when(ends)}"
        if vm.up_wall is None:
            return (
                f"if it was made all the same, it deletes itself {first_lease} after its start, "
                f"and Google Cloud deletes it by {_when(ends)} at the latest"
            )
        return f"if it is still there it deletes itself by {_when(ends)} at the latest"


def find(path: Path, wall: float) -> Running | NotRunning:
    """The state at `wall` of the monitor whose configuration is `path`. Raises StatusError."""
    try:
        config = load(path)
    except ConfigError as error:
        raise StatusError(str(error)) from error
    state_dir = config.state_dir
    self_deleting = config.burst.service_account != ""
    try:
        owner = holder(state_dir) if state_dir.is_dir() else None
        if owner is not None:
            return _ask(state_dir, owner)
        journal_path = state_dir / "journal.db"
        if not journal_path.exists():
            return NotRunning(state_dir, wall)
        lived = last_lived(state_dir)
        journal = Journal(journal_path)
        runs = tuple(journal.last_runs().values())
        decisions = tuple(journal.decisions(_DECISIONS))
        vms = tuple(journal.vms())
        journal.close()
    except JournalError as error:
        raise StatusError(str(error)) from error
    except OSError as error:
        raise StatusError(f"state_dir {state_dir} cannot be read: {error}") from error
    return NotRunning(state_dir, wall, lived, runs, decisions, vms, self_deleting=self_deleting)


def _ask(state_dir: Path, owner: str) -> Running:
    try:
        return Running(from_json(ask(state_dir, {"do": "status"})))
    except ControlError as error:
        raise StatusError(f"{owner} holds {state_dir}, but: {error}") from error
    except (TypeError, KeyError) as error:
        raise StatusError(f"{owner} is of another version than this command") from error


def _task_line(task: TaskView) -> str:
    if task.run is not None:
        since = "" if task.uptime is None else f" for {duration(task.uptime)}"
        return f"  {task.name}: at {task.place}{since}, run {task.run}, log {task.log}"
    place = "here (would be at a VM)" if task.announced else task.place
    process = f"process {task.pid}" if task.pid else "no process"
    ended = f", last {describe_exit(task.exit_status)}" if task.exit_status is not None else ""
    return (
        f"  {task.name}: {task.phase}, {place}, {process}, "
        f"{task.restarts} restart(s){ended}, log {task.log}"
    )


def _vm_line(vm: VmView) -> str:
    parts = [f"{vm.machine_type}{' (Spot)' if vm.spot else ''} in {vm.zone}"] if vm.zone else []
    parts += [vm_state(vm), f"tasks: {', '.join(vm.tasks) or 'none'}"]
    if vm.lease is not None:
        parts.append(f"lease {duration(vm.lease)}")
    if vm.lifetime is not None:
        parts.append(f"Google Cloud deletes it in {duration(vm.lifetime)}")
    return f"  {vm.name}: {', '.join(parts)}, cost {vm.cost:.4f}"


def _decision_lines(decisions: tuple[DecisionView, ...]) -> list[str]:
    if not decisions:
        return ["no moves were decided so far"]
    lines = [
        f"  {_when(d.wall)} {d.action} {d.tasks} ({d.outcome or 'under way'}): {d.reason}"
        for d in decisions
    ]
    return ["last decisions, the newest first:", *lines]


def _when(wall: float) -> str:
    return f"{datetime.fromtimestamp(wall, UTC).astimezone():%F %T}"
