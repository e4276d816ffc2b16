# SPDX-License-Identifier: GPL-3.0-or-later
"""`status`: the running monitor's own words, or else what its journal knows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cloudspill_monitor.config_file import ConfigError, load
from cloudspill_monitor.console import summary
from cloudspill_monitor.control import ControlError, ask
from cloudspill_monitor.journal import Decision, Journal, JournalError, Run
from cloudspill_monitor.lock import holder
from cloudspill_monitor.snapshot import DecisionView, Snapshot, from_json
from cloudspill_monitor.task_process import describe_exit

_DECISIONS = 10


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
            summary(snapshot),
        ]
        for task in snapshot.tasks:
            process = f"process {task.pid}" if task.pid else "no process"
            ended = (
                f", last {describe_exit(task.exit_status)}" if task.exit_status is not None else ""
            )
            lines.append(
                f"  {task.name}: {task.phase}, {task.place}, {process}, "
                f"{task.restarts} restart(s){ended}, log {task.log}"
            )
        return "\n".join([*lines, *_decision_lines(snapshot.decisions)])


@dataclass(frozen=True, slots=True)
class NotRunning:
    """No monitor runs; this is what the last one wrote down."""

    state_dir: Path
    runs: tuple[Run, ...]
    decisions: tuple[Decision, ...]
    running: bool = False

    def as_json(self) -> dict[str, Any]:
        """For `--output json`."""
        return {
            "running": False,
            "state_dir": str(self.state_dir),
            "runs": [asdict(run) for run in self.runs],
            "decisions": [asdict(decision) for decision in self.decisions],
        }

    def text(self) -> str:
        """For people."""
        lines = [f"monitor: none runs on {self.state_dir}"]
        for run in self.runs:
            if run.ended_wall is None:
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
        return "\n".join([*lines, *_decision_lines(views)])


def find(path: Path) -> Running | NotRunning:
    """The state of the monitor whose configuration is `path`. Raises StatusError."""
    try:
        state_dir = load(path).state_dir
    except ConfigError as error:
        raise StatusError(str(error)) from error
    try:
        owner = holder(state_dir) if state_dir.is_dir() else None
        if owner is not None:
            return _ask(state_dir, owner)
        journal_path = state_dir / "journal.db"
        if not journal_path.exists():
            return NotRunning(state_dir, (), ())
        journal = Journal(journal_path)
        runs = tuple(journal.last_runs().values())
        decisions = tuple(journal.decisions(_DECISIONS))
        journal.close()
    except JournalError as error:
        raise StatusError(str(error)) from error
    except OSError as error:
        raise StatusError(f"state_dir {state_dir} cannot be read: {error}") from error
    return NotRunning(state_dir, runs, decisions)


def _ask(state_dir: Path, owner: str) -> Running:
    try:
        return Running(from_json(ask(state_dir, {"do": "status"})))
    except ControlError as error:
        raise StatusError(f"{owner} holds {state_dir}, but: {error}") from error
    except (TypeError, KeyError) as error:
        raise StatusError(f"{owner} is of another version than this command") from error


def _decision_lines(decisions: tuple[DecisionView, ...]) -> list[str]:
    if not decisions:
        return ["no moves were decided so far"]
    lines = [
        f"  {_when(d.wall)} {d.action} {d.tasks} ({d.outcome or 'under way'}): {d.reason}"
        for d in decisions
    ]
    return ["last decisions:", *lines]


def _when(wall: float) -> str:
    return f"{datetime.fromtimestamp(wall, UTC).astimezone():%F %T}"
