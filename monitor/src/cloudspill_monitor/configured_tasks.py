# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tasks there are: those of the configuration, and what an earlier monitor left."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from cloudspill_monitor.adoption import Adoption
from cloudspill_monitor.checkpoints import Waiting
from cloudspill_monitor.clock import Clock
from cloudspill_monitor.config import TaskConfig
from cloudspill_monitor.journal import Journal, JournalError
from cloudspill_monitor.local_task import LocalTask, Sessions, TaskEvent, definition, over_as
from cloudspill_monitor.policy_types import LOCAL
from cloudspill_monitor.run_endings import RunEndings
from cloudspill_monitor.task_logs import LogFiles


class ConfiguredTasks:
    """The tasks of one configuration, and where their files are.

    Logs are in `state_dir`/logs, one file a task. Raises OSError when `state_dir` cannot be used.
    """

    def __init__(self, journal: Journal, clock: Clock, state_dir: Path, boot_id: str) -> None:
        self._journal = journal
        self._clock = clock
        self._boot_id = boot_id
        self._logs = LogFiles(state_dir)
        self._exits = state_dir / "exits"
        self._exits.mkdir(mode=0o700, exist_ok=True)
        self.waiting = Waiting(state_dir)
        self._tasks: dict[str, LocalTask] = {}
        self._sessions = Sessions()
        self._endings = RunEndings(journal)

    @property
    def tasks(self) -> list[LocalTask]:
        """All tasks, in the order of the configuration."""
        return list(self._tasks.values())

    @property
    def stopping(self) -> bool:
        """Whether a task has been asked to stop and has not ended."""
        return any(task.phase == "stopping" for task in self._tasks.values())

    def task(self, name: str) -> LocalTask | None:
        """The task `name`, if there is one."""
        return self._tasks.get(name)

    def config(self, name: str) -> TaskConfig:
        """What task `name` was configured to be. Raises KeyError."""
        return self._tasks[name].config

    def slug(self, name: str) -> str:
        """The name of a task, also of one that is not configured any more, in names of files."""
        return name.replace(" ", "_")

    def log(self, task: TaskConfig) -> Path:
        """Where the task's output goes."""
        return self._logs.local(task.slug)

    def remote_log(self, task: str, place: str, run: int) -> Path:
        """Where the output of a run on the VM `place` goes; the last ones of a task are kept."""
        self._logs.forget_old(self.slug(task))
        return self.remote_log_path(task, place, run)

    def remote_log_path(self, task: str, place: str, run: int) -> Path:
        """The same, to be told."""
        return self._logs.remote(self.slug(task), place, run)

    def adopt(self, configs: tuple[TaskConfig, ...], first_run: int) -> list[TaskEvent]:
        """Take over what an earlier monitor left, then apply `configs` to it.

        A task that was over in a run from `first_run` on is not run again. Raises JournalError.
        """
        known = {config.name: config for config in configs}
        for name, last in self._journal.last_runs().items():
            if name in known and last.run >= first_run and (phase := over_as(last, known[name])):
                self._tasks[name] = LocalTask(known[name], phase, exit_status=last.exit_status)
        adoption = Adoption(self._journal, self._clock, self._sessions, self._boot_id, self._exits)
        events: list[TaskEvent] = []
        for run in self._journal.live_runs():
            task, words = adoption.take_over(run, known.get(run.task))
            events.append(TaskEvent(run.task, words))
            if task is not None:
                self._tasks[run.task] = task
        self._order(configs)
        return events + self.apply(configs)

    def apply(self, configs: tuple[TaskConfig, ...]) -> list[TaskEvent]:
        """Make these the tasks: start new ones, stop removed ones, restart changed ones.

        One that is away and was removed or changed stays there until it is brought home
        (:meth:`unwanted_away`).
        """
        events: list[TaskEvent] = []
        names = {config.name for config in configs}
        for name, task in list(self._tasks.items()):
            if name in names:
                continue
            if task.process is None and task.phase != "away":
                del self._tasks[name]
            elif task.wanted:
                task.wanted = task.releasing = False
                self._stop(task)
                what = "bringing it home" if task.phase == "away" else "stopping it"
                events.append(TaskEvent(name, f"is no longer configured: {what}"))
        for config in configs:
            events += self._apply_one(config)
        self._order(configs)
        return events

    def stop_all(self) -> None:
        """Ask every task of this machine to stop, and start none again.

        Those that are away are left alone; what is taken back from now on is not started.
        """
        for task in self._tasks.values():
            task.wanted = task.releasing = False
            self._stop(task)

    def kill_all(self) -> None:
        """End what is still stopping, without grace."""
        for task in self._tasks.values():
            task.kill_at = 0.0

    def unwanted_away(self) -> tuple[str, ...]:
        """Tasks that are away and should come home: removed, changed, or not movable any more."""
        return tuple(
            name
            for name, task in self._tasks.items()
            if task.place != LOCAL
            and (not task.wanted or task.successor is not None or not task.config.movable)
        )

    def _order(self, configs: tuple[TaskConfig, ...]) -> None:
        places = {config.name: index for index, config in enumerate(configs)}
        self._tasks = dict(
            sorted(self._tasks.items(), key=lambda item: places.get(item[0], len(places)))
        )

    def _apply_one(self, config: TaskConfig) -> list[TaskEvent]:
        task = self._tasks.get(config.name)
        if task is None:
            self._tasks[config.name] = LocalTask(config)
            return []
        changed = definition(task.config) != definition(config)
        if task.process is None and task.phase != "away":
            restart = changed and task.phase in ("done", "failed")
            task.config = config
            if restart:
                task.phase, task.failures = "waiting", 0
            return []
        again = task.phase == "stopping" and not task.releasing
        task.wanted = True
        if not changed and not again:
            task.config, task.successor = config, None
            return []
        task.successor, task.releasing = config, False
        self._stop(task)
        if again:
            return []
        what = "bringing it home for that" if task.phase == "away" else "restarting it"
        return [TaskEvent(config.name, f"has another command, cwd or env now: {what}")]

    def _stop(self, task: LocalTask) -> None:
        if task.process is None or task.phase == "stopping":
            return
        with suppress(JournalError):  # it is stopped all the same
            self._journal.mark_stopping(task.process.run, None)
        task.ask_to_stop(self._clock.boottime(), self._sessions)
