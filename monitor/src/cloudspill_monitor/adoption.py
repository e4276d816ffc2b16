# SPDX-License-Identifier: GPL-3.0-or-later
"""What an earlier monitor left: each run that the journal has as live is found again, or ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cloudspill_monitor.clock import Clock
from cloudspill_monitor.config import TaskConfig
from cloudspill_monitor.journal import Journal, Run
from cloudspill_monitor.local_task import LocalTask, Sessions, as_defined, definition
from cloudspill_monitor.policy_types import LOCAL
from cloudspill_monitor.task_process import TaskProcess


@dataclass(frozen=True, slots=True)
class Adoption:
    """Takes runs over. `exits` is the directory of the files that hold exit statuses."""

    journal: Journal
    clock: Clock
    sessions: Sessions
    boot_id: str
    exits: Path

    def take_over(self, run: Run, config: TaskConfig | None) -> tuple[LocalTask | None, str]:
        """The task that `run` belongs to, and what is to be said of it. Raises JournalError.

        Without `config` the task is to be ended, or brought home; None when there is nothing left.
        """
        if run.place != LOCAL:
            return self._away(run, config), f"is away at {run.place}"
        status_file = self.exits / str(run.run)
        same_boot = run.boot_id == self.boot_id
        if not same_boot or run.pid is None or run.start_ticks is None:
            why = "was never started" if same_boot else "ended when the machine was restarted"
            status_file.unlink(missing_ok=True)
            self.journal.end_run(run.run, self.clock.wall(), None, why)
            return None, why
        process = TaskProcess(run.run, run.pid, run.start_ticks, status_file)
        return self._local(run, config, process)

    def _away(self, run: Run, config: TaskConfig | None) -> LocalTask:
        begun_as = as_defined(config, run.definition) if config else _unknown(run)
        return LocalTask(begun_as, "away", run.place, since=run.begun, wanted=config is not None)

    def _local(
        self, run: Run, config: TaskConfig | None, process: TaskProcess
    ) -> tuple[LocalTask, str]:
        task = LocalTask(
            config or _unknown(run),
            "running",
            process=process,
            since=run.begun,
            wanted=config is not None,
        )
        alive = task.look(process, self.sessions)
        who = f"(process {process.pid})"
        if run.stopping is not None:
            # It may have had the signal, so how it ends says nothing: the stop is seen through.
            words = f"{who} was being stopped: starting it again"
        elif not alive:
            return task, "ended while no monitor was running"
        elif config is None:
            words = f"{who} is not configured: stopping it"
        elif run.definition != definition(config):
            words = f"{who} was started differently: restarting"
        else:
            return task, f"goes on as process {process.pid}"
        if config is not None and run.definition != definition(config):
            task.successor = config
        task.ask_to_stop(self.clock.boottime(), self.sessions)
        return task, words


def _unknown(run: Run) -> TaskConfig:
    """Enough of a configuration to end a task that has none any more."""
    return TaskConfig(name=run.task, command=("false",), movable=False)
