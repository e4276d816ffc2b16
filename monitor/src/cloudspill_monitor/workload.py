# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks: started, adopted, restarted when they die, stopped when asked, let go and taken back.

Nothing here waits. :meth:`Workload.poll` looks once and does what is due; the daemon calls it
every interval, and more often while it is :attr:`Workload.busy`.
"""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path

from cloudspill_monitor import procfs, task_process
from cloudspill_monitor.checkpoints import CheckpointError
from cloudspill_monitor.clock import Clock
from cloudspill_monitor.configured_tasks import ConfiguredTasks
from cloudspill_monitor.journal import Journal, JournalError
from cloudspill_monitor.local_task import (
    Ended,
    LocalTask,
    Phase,
    TaskEvent,
    definition,
)
from cloudspill_monitor.policy_types import LOCAL
from cloudspill_monitor.task_process import TaskProcess, describe_exit

__all__ = ["Ended", "LocalTask", "NotReleasedError", "Phase", "TaskEvent", "Workload"]

_SCAN_EVERY = 5  # polls


class NotReleasedError(Exception):
    """The task cannot be handed over; the message says why. It is where it was."""


class Workload(ConfiguredTasks):
    """The tasks of one configuration, as processes of this machine, or away.

    :meth:`adopt` raises JournalError. Later on a journal that cannot be written keeps tasks from
    being started, but nothing from being stopped: the ends of runs wait until they can be written.
    """

    def __init__(self, journal: Journal, clock: Clock, state_dir: Path, boot_id: str) -> None:
        super().__init__(journal, clock, state_dir, boot_id)
        self._polls = 0

    @property
    def busy(self) -> bool:
        """Whether the next poll should come soon: something stops, or is due at home."""
        now = self._clock.boottime()
        return (
            self.stopping
            or self.waiting.installing
            or any(_is_due(task, now) and task.phase == "waiting" for task in self.tasks)
        )

    def poll(self) -> list[TaskEvent]:
        """Look at every task once, and do what is due."""
        now = self._clock.boottime()
        self._polls += 1
        if self._polls % _SCAN_EVERY == 0 or self.stopping:
            self._sessions.refresh()
        events = self._endings.write()  # a run that is live in the journal bars the next one
        for task in self.tasks:
            if task.process is not None:
                events += self._watch(task, task.process, now)
            elif _is_due(task, now):
                events += self._at_home(task, now)
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

    def _at_home(self, task: LocalTask, now: float) -> list[TaskEvent]:
        """Install what came home, of whatever does not run; then start it, if it is to run."""
        try:
            # Of what is not configured it is not known where to: it stays in the state directory.
            configured = task.wanted or task.config.checkpoint_paths
            if configured and not self.waiting.ready(task.config):
                return []
        except CheckpointError as error:
            if not task.wanted:
                del self._tasks[task.config.name]
                return [TaskEvent(task.config.name, f"{error}; it stays where it is", True)]
            delay = task.delay(now, 0.0, failed=True)
            return [TaskEvent(task.config.name, f"{error}; trying again in {delay:g} s", True)]
        if not task.wanted:
            del self._tasks[task.config.name]
        elif task.phase == "waiting":
            return [self._start(task, now)]
        return []

    def _start(self, task: LocalTask, now: float) -> TaskEvent:
        name = task.config.name
        run: int | None = None
        try:
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
        except (OSError, JournalError) as error:
            what = f"cannot be started: {error}"
            if run is not None:
                self._endings.add(name, run, self._clock.wall(), None, what)
            return self._restart_later(task, what, now, since=now)
        task.phase, task.since = "running", now
        return TaskEvent(name, f"started as process {task.process.pid}")

    def _watch(self, task: LocalTask, process: TaskProcess, now: float) -> list[TaskEvent]:
        alive = task.look(process, self._sessions)
        if task.phase == "stopping":
            task.signal_once(process)
            if task.members and now >= task.kill_at:
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
        else:
            del self._tasks[task.config.name]
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
        task.phase, task.restarts = "waiting", task.restarts + 1
        delay = task.delay(now, lasted, failed=failed)
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


def _is_due(task: LocalTask, now: float) -> bool:
    """Whether something is to be done for a task that is here and does not run."""
    if task.process is not None or task.phase == "away":
        return False
    return now >= task.start_at or not task.wanted
