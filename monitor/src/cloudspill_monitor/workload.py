# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks: started, adopted, restarted when they die, stopped when asked, let go and taken back.

Nothing here waits. :meth:`Workload.poll` looks once and does what is due; the daemon calls it
every interval, and more often while it is :attr:`Workload.busy`.
"""

from __future__ import annotations

import signal
from contextlib import suppress
from functools import partial
from pathlib import Path

from cloudspill_monitor import procfs, task_process
from cloudspill_monitor.adoption import Adoption
from cloudspill_monitor.checkpoints import CheckpointError, Waiting
from cloudspill_monitor.clock import Clock
from cloudspill_monitor.config import TaskConfig
from cloudspill_monitor.journal import Journal, JournalError
from cloudspill_monitor.local_task import (
    Ended,
    LocalTask,
    Phase,
    Sessions,
    TaskEvent,
    definition,
    over_as,
)
from cloudspill_monitor.policy_types import LOCAL
from cloudspill_monitor.run_endings import RunEndings
from cloudspill_monitor.task_logs import LogFiles
from cloudspill_monitor.task_process import TaskProcess, describe_exit

__all__ = ["Ended", "LocalTask", "NotReleasedError", "Phase", "TaskEvent", "Workload"]

_SCAN_EVERY = 5  # polls


class NotReleasedError(Exception):
    """The task cannot be handed over; the message says why. It is where it was."""


class Workload:
    """The tasks of one configuration, as processes of this machine, or away.

    Logs are in `state_dir`/logs, one file a task. :meth:`adopt` raises JournalError. Later on a
    journal that cannot be written keeps tasks from being started, but nothing from being stopped:
    the ends of runs wait until they can be written.
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
        self._polls = 0
        self._endings = RunEndings(journal)

    @property
    def tasks(self) -> list[LocalTask]:
        """All tasks, in the order of the configuration."""
        return list(self._tasks.values())

    @property
    def stopping(self) -> bool:
        """Whether a task has been asked to stop and has not ended."""
        return any(task.phase == "stopping" for task in self._tasks.values())

    @property
    def busy(self) -> bool:
        """Whether the next poll should come soon: something stops, or is about to be started."""
        return self.stopping or self.waiting.installing

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

    def poll(self) -> list[TaskEvent]:
        """Look at every task once, and do what is due."""
        now = self._clock.boottime()
        self._polls += 1
        if self._polls % _SCAN_EVERY == 0 or self.stopping:
            self._sessions.refresh()
        events = self._endings.write()  # a run that is live in the journal bars the next one
        for name, task in list(self._tasks.items()):
            if task.process is not None:
                events += self._watch(task, task.process, now)
            elif task.wanted and task.phase == "waiting" and now >= task.start_at:
                events += self._start(task, now)
            if not task.wanted and task.process is None and task.phase != "away":
                del self._tasks[name]
        return events + self._endings.write()

    def release(self, name: str) -> None:
        """Stop the task in order to hand it over: from now on it is not started here.

        :meth:`released` tells when it has stopped. Then either :meth:`gone_to` or
        :meth:`cancel_release` follows. Raises NotReleasedError.
        """
        task = self._tasks.get(name)
        if task is not None and (task.releasing or task.ended is not None):
            return
        if task is None or not task.wanted or task.phase not in ("running", "waiting"):
            raise NotReleasedError(f"{name} does not run here, or is about to be stopped")
        if task.process is not None:
            task.releasing = True
            task.ask_to_stop(self._clock.boottime(), self._sessions)
        elif self.waiting.path(task.config.slug).exists():
            raise NotReleasedError(f"{name} waits for its checkpoint, which is not installed yet")
        else:
            task.phase, task.ended = "away", Ended(None, definition(task.config), None)

    def released(self, name: str) -> Ended | None:
        """How the task stopped that was released; None while it has not.

        Raises NotReleasedError: it has ended by itself meanwhile, or is no longer wanted.
        """
        task = self._tasks.get(name)
        if task is None or not (task.releasing or task.ended is not None):
            raise NotReleasedError(f"{name} ended by itself, or was changed, before it could move")
        return task.ended

    def cancel_release(self, name: str) -> None:
        """The task stays: it is started here again as soon as it has stopped."""
        task = self._tasks.get(name)
        if task is None or not (task.releasing or task.ended is not None):
            return
        ended, task.releasing = task.ended, False
        if ended is None:
            return
        if ended.run is not None:
            wall = self._clock.wall()
            self._endings.add(name, ended.run, wall, ended.exit_status, "stopped", ended.process)
        task.wait_here()

    def gone_to(self, name: str, vm: str) -> None:
        """The journal has handed the task out to `vm`."""
        task = self._tasks[name]
        if task.ended is not None and task.ended.process is not None:
            task.ended.process.forget()
        task.phase, task.place, task.ended = "away", vm, None
        task.since = self._clock.boottime()

    def take_back(
        self, name: str, *, ended: bool = False, exit_status: int | None = None
    ) -> TaskEvent | None:
        """The journal has the task here again: it is started at the next poll.

        Not if it has `ended` there by itself, with `exit_status` (None: not known), and is not to
        be restarted. What waits as its checkpoint is installed first.
        """
        task = self._tasks.get(name)
        if task is None or task.phase != "away":
            return None
        if ended and task.successor is None:
            task.place = LOCAL
            return self._judge(task, exit_status, self._clock.boottime())
        task.wait_here()
        return None

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

    def _start(self, task: LocalTask, now: float) -> list[TaskEvent]:
        name = task.config.name
        run: int | None = None
        try:
            if not self.waiting.ready(task.config):
                return []
            run = self._journal.begin_run(
                name, LOCAL, definition(task.config), self._boot_id, now, self._clock.wall()
            )
            task.process = task_process.start(
                task.config,
                run,
                self.log(task.config),
                self._exits / str(run),
                partial(self._journal.record_process, run),
            )
        except (OSError, JournalError, CheckpointError) as error:
            what = f"cannot be started: {error}"
            if run is not None:
                self._endings.add(name, run, self._clock.wall(), None, what)
            return [self._restart_later(task, what, now, since=now)]
        task.phase, task.since = "running", now
        return [TaskEvent(name, f"started as process {task.process.pid}")]

    def _watch(self, task: LocalTask, process: TaskProcess, now: float) -> list[TaskEvent]:
        alive = task.look(process, self._sessions)
        if task.phase == "stopping":
            task.signal_once(process)
            if task.members and now >= task.kill_at:
                task.signalled = True
                procfs.send_signal(task.members, signal.SIGKILL)
            if alive or task.members:
                return []
            if not task.releasing:
                return [self._stopped(task, process)]
            if task.signalled:
                return [self._left(task, process)]
        if alive:
            return []
        if task.members:  # what it has left behind goes with it
            procfs.send_signal(task.members, signal.SIGKILL)
            task.members = ()
        return [self._ended(task, process, now)]

    def _left(self, task: LocalTask, process: TaskProcess) -> TaskEvent:
        """It has stopped for a move; its end is written when it is handed out, or stays."""
        task.exit_status = process.exit_status()
        task.ended = Ended(process.run, definition(task.config), task.exit_status, process)
        task.process, task.members = None, ()
        task.phase, task.releasing = "away", False
        return TaskEvent(task.config.name, "has stopped here, to move")

    def _stopped(self, task: LocalTask, process: TaskProcess) -> TaskEvent:
        status = self._close(task, process, "stopped")
        if task.wanted:
            task.wait_here()
        return TaskEvent(task.config.name, f"stopped: it {describe_exit(status)}")

    def _ended(self, task: LocalTask, process: TaskProcess, now: float) -> TaskEvent:
        status = process.exit_status()
        self._close(task, process, "completed" if status == 0 else "failed")
        task.releasing = False
        return self._judge(task, status, now)

    def _judge(self, task: LocalTask, status: int | None, now: float) -> TaskEvent:
        """What becomes of a task that has ended by itself."""
        task.exit_status = status
        again = task.config.restart
        if status == 0 and again != "always":
            task.phase = "done"
            return TaskEvent(task.config.name, "completed (exit status 0)")
        if again == "never" or not task.wanted:
            task.phase = "failed"
            return TaskEvent(task.config.name, f"{describe_exit(status)}; not restarted", True)
        what = describe_exit(status)
        return self._restart_later(task, what, now, since=task.since, failed=status != 0)

    def _restart_later(
        self, task: LocalTask, what: str, now: float, since: float, *, failed: bool = True
    ) -> TaskEvent:
        lasted = max(0.0, now - since)
        delay = task.wait_longer(now, lasted, failed=failed)
        row = f", {task.failures} times in a row" if task.failures > 1 else ""
        return TaskEvent(
            task.config.name,
            f"{what} after {lasted:.1f} s{row}; starting it again in {delay:g} s "
            f"(its output: {self.log(task.config)})",
            failure=failed,
        )

    def _close(self, task: LocalTask, process: TaskProcess, outcome: str) -> int | None:
        status = task.exit_status = process.exit_status()
        wall = self._clock.wall()
        self._endings.add(task.config.name, process.run, wall, status, outcome, process)
        task.process, task.members = None, ()
        return status
