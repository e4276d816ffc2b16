# SPDX-License-Identifier: GPL-3.0-or-later
"""The local tasks: started, adopted, restarted when they die, stopped when asked.

Nothing here waits. :meth:`Workload.poll` looks once and does what is due; the daemon calls it
every interval, and more often while something is stopping.
"""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from cloudspill_monitor import procfs, task_process
from cloudspill_monitor.clock import Clock
from cloudspill_monitor.config import TaskConfig
from cloudspill_monitor.journal import Journal, JournalError, Run
from cloudspill_monitor.policy_types import LOCAL
from cloudspill_monitor.procfs import ProcessStat
from cloudspill_monitor.task_process import TaskProcess, describe_exit

Phase = Literal["waiting", "running", "stopping", "done", "failed"]

_RESTART_DELAY = 1.0  # seconds, doubled per failure in a row
_RESTART_DELAY_MOST = 60.0
_SCAN_EVERY = 5  # polls: to list all processes is most of the cost of a poll
_STEADY = 60.0  # a run this long (seconds) ends a row of failures


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """Something that happened to a task, in words."""

    task: str
    text: str
    failure: bool = False


@dataclass(slots=True)
class LocalTask:
    """A task and what is known about it. Times are seconds since boot."""

    config: TaskConfig
    phase: Phase = "waiting"
    process: TaskProcess | None = None
    members: tuple[ProcessStat, ...] = ()
    since: float = 0.0
    start_at: float = 0.0
    kill_at: float = 0.0
    signalled: bool = False
    failures: int = 0
    restarts: int = 0
    exit_status: int | None = None
    successor: TaskConfig | None = None
    wanted: bool = True


@dataclass(slots=True)
class _Ending:
    """A run whose end is not in the journal yet; `told` once that had to be said."""

    task: str
    run: int
    wall: float
    exit_status: int | None
    outcome: str
    process: TaskProcess | None = None
    told: bool = False


class Workload:
    """The tasks of one configuration, as processes of this machine.

    Logs are in `state_dir`/logs, one file a task. :meth:`adopt` raises JournalError. Later on a
    journal that cannot be written keeps tasks from being started, but nothing from being stopped:
    the ends of runs wait until they can be written.
    """

    def __init__(self, journal: Journal, clock: Clock, state_dir: Path, boot_id: str) -> None:
        self._journal = journal
        self._clock = clock
        self._boot_id = boot_id
        self._logs = state_dir / "logs"
        self._exits = state_dir / "exits"
        for directory in (self._logs, self._exits):
            directory.mkdir(mode=0o700, exist_ok=True)
        self._tasks: dict[str, LocalTask] = {}
        self._sessions: dict[int, list[int]] = {}
        self._polls = 0
        self._endings: list[_Ending] = []

    @property
    def tasks(self) -> list[LocalTask]:
        """All tasks, in the order of the configuration."""
        return list(self._tasks.values())

    @property
    def stopping(self) -> bool:
        """Whether a task has been asked to stop and has not ended."""
        return any(task.phase == "stopping" for task in self._tasks.values())

    def log(self, task: TaskConfig) -> Path:
        """Where the task's output goes."""
        return self._logs / f"{task.slug}.log"

    def adopt(self, configs: tuple[TaskConfig, ...], first_run: int) -> list[TaskEvent]:
        """Take over what an earlier monitor left, then apply `configs` to it.

        A task that completed in a run from `first_run` on is not run again. Raises JournalError.
        """
        known = {config.name: config for config in configs}
        for name, last in self._journal.last_runs().items():
            done = last.run >= first_run and last.outcome == "completed"
            if name in known and done and _is_over(last, known[name]):
                task = LocalTask(known[name], "done", exit_status=last.exit_status)
                self._tasks[name] = task
        events = [self._take_over(r, known.get(r.task)) for r in self._journal.live_runs()]
        self._order(configs)
        return events + self.apply(configs)

    def apply(self, configs: tuple[TaskConfig, ...]) -> list[TaskEvent]:
        """Make these the tasks: start new ones, stop removed ones, restart changed ones."""
        events: list[TaskEvent] = []
        names = {config.name for config in configs}
        for name, task in list(self._tasks.items()):
            if name in names:
                continue
            if task.process is None:
                del self._tasks[name]
            elif task.wanted:
                task.wanted = False
                self._ask_to_stop(task)
                events.append(TaskEvent(name, "is no longer configured: stopping it"))
        for config in configs:
            events += self._apply_one(config)
        self._order(configs)
        return events

    def stop_all(self) -> None:
        """Ask every task to stop, and start none again."""
        for task in self._tasks.values():
            task.wanted = False
            if task.process is not None and task.phase != "stopping":
                self._ask_to_stop(task)

    def kill_all(self) -> None:
        """End what is still stopping, without grace."""
        for task in self._tasks.values():
            task.kill_at = 0.0

    def poll(self) -> list[TaskEvent]:
        """Look at every task once, and do what is due."""
        now = self._clock.boottime()
        self._polls += 1
        if self._polls % _SCAN_EVERY == 0 or self.stopping:
            self._sessions = procfs.sessions()
        events: list[TaskEvent] = []
        for name, task in list(self._tasks.items()):
            if task.process is not None:
                events += self._watch(task, task.process, now)
            elif task.wanted and task.phase == "waiting" and now >= task.start_at:
                events.append(self._start(task, now))
            if not task.wanted and task.process is None:
                del self._tasks[name]
        return events + self._write_endings()

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
        changed = _definition(task.config) != _definition(config)
        if task.process is None:
            restart = changed and task.phase in ("done", "failed")
            task.config = config
            if restart:
                task.phase, task.failures = "waiting", 0
            return []
        task.wanted = True
        if not changed and task.phase != "stopping":
            task.config = config
            return []
        task.successor = config
        if task.phase == "stopping":
            return []
        self._ask_to_stop(task)
        return [TaskEvent(config.name, "has another command, cwd or env now: restarting it")]

    def _take_over(self, run: Run, config: TaskConfig | None) -> TaskEvent:
        status_file = self._exits / str(run.run)
        same_boot = run.boot_id == self._boot_id
        wall = self._clock.wall()
        if not same_boot or run.pid is None or run.start_ticks is None:
            why = "was never started" if same_boot else "ended when the machine was restarted"
            status_file.unlink(missing_ok=True)
            self._journal.end_run(run.run, wall, None, why)
            return TaskEvent(run.task, why)
        process = TaskProcess(run.run, run.pid, run.start_ticks, status_file)
        task = LocalTask(
            config or _unknown(run), "running", process, since=run.begun, wanted=config is not None
        )
        self._tasks[run.task] = task
        task.members = tuple(process.members(self._session(run.pid, fresh=True)))
        if not process.leads(task.members):
            return TaskEvent(run.task, "ended while no monitor was running")
        if config is None:
            self._ask_to_stop(task)
            return TaskEvent(run.task, f"(process {run.pid}) is not configured: stopping it")
        if run.definition != _definition(config):
            task.successor = config
            self._ask_to_stop(task)
            return TaskEvent(run.task, f"(process {run.pid}) was started differently: restarting")
        return TaskEvent(run.task, f"goes on as process {run.pid}")

    def _start(self, task: LocalTask, now: float) -> TaskEvent:
        name = task.config.name
        run: int | None = None
        try:
            run = self._journal.begin_run(
                name, LOCAL, _definition(task.config), self._boot_id, now, self._clock.wall()
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
                self._endings.append(_Ending(name, run, self._clock.wall(), None, what))
            return self._restart_later(task, what, now, since=now)
        task.phase, task.since = "running", now
        return TaskEvent(name, f"started as process {task.process.pid}")

    def _session(self, leader: int, *, fresh: bool) -> list[int]:
        """The processes of a session: as last seen, unless that cannot be all of them."""
        if fresh or len(self._sessions.get(leader, ())) < 2:
            self._sessions = procfs.sessions()
        return self._sessions.get(leader, [])

    def _watch(self, task: LocalTask, process: TaskProcess, now: float) -> list[TaskEvent]:
        task.members = tuple(process.members(self._session(process.pid, fresh=False)))
        alive = process.leads(task.members)
        if not alive:
            task.members = tuple(process.members(self._session(process.pid, fresh=True)))
        if task.phase == "stopping":
            self._signal_once(task, process)
            if task.members and now >= task.kill_at:
                procfs.send_signal(task.members, signal.SIGKILL)
            if alive or task.members:
                return []
            return [self._stopped(task, process)]
        if alive:
            return []
        if task.members:  # what it has left behind goes with it
            procfs.send_signal(task.members, signal.SIGKILL)
            task.members = ()
        return [self._ended(task, process, now)]

    def _stopped(self, task: LocalTask, process: TaskProcess) -> TaskEvent:
        status = self._close(task, process, "stopped")
        if task.successor is not None and task.wanted:
            task.config, task.successor = task.successor, None
            task.phase, task.start_at, task.failures = "waiting", 0.0, 0
        return TaskEvent(task.config.name, f"stopped: it {describe_exit(status)}")

    def _ended(self, task: LocalTask, process: TaskProcess, now: float) -> TaskEvent:
        status = process.exit_status()
        outcome = "completed" if status == 0 else "failed"
        self._close(task, process, outcome)
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
        lasted = now - since
        task.failures = (1 if lasted >= _STEADY else task.failures + 1) if failed else 0
        task.restarts += 1
        doublings = min(max(task.failures - 1, 0), 16)
        delay = min(_RESTART_DELAY * 2.0**doublings, _RESTART_DELAY_MOST)
        task.phase, task.start_at = "waiting", now + delay
        row = f", {task.failures} times in a row" if task.failures > 1 else ""
        return TaskEvent(
            task.config.name,
            f"{what} after {lasted:.1f} s{row}; starting it again in {delay:g} s "
            f"(its output: {self.log(task.config)})",
            failure=failed,
        )

    def _close(self, task: LocalTask, process: TaskProcess, outcome: str) -> int | None:
        task.exit_status = process.exit_status()
        self._endings.append(
            _Ending(
                task.config.name,
                process.run,
                self._clock.wall(),
                task.exit_status,
                outcome,
                process,
            )
        )
        task.process, task.members = None, ()
        return task.exit_status

    def _write_endings(self) -> list[TaskEvent]:
        while self._endings:
            end = self._endings[0]
            try:
                self._journal.end_run(end.run, end.wall, end.exit_status, end.outcome)
            except JournalError as error:
                if end.told:
                    return []
                end.told = True
                return [TaskEvent(end.task, f"has ended, which cannot be kept: {error}", True)]
            if end.process is not None:
                end.process.forget()
            del self._endings[0]
        return []

    def _ask_to_stop(self, task: LocalTask) -> None:
        assert task.process is not None
        task.phase = "stopping"
        task.kill_at = self._clock.boottime() + task.config.stop_grace
        task.signalled = False
        task.members = tuple(task.process.members(self._session(task.process.pid, fresh=True)))
        self._signal_once(task, task.process)

    def _signal_once(self, task: LocalTask, process: TaskProcess) -> None:
        # The shell may not have begun the task yet; then the signal waits for the next poll.
        if not task.signalled and process.begun(task.members):
            task.signalled = True
            procfs.send_signal(task.members, signal.Signals[task.config.stop_signal])


def _definition(config: TaskConfig) -> str:
    """What makes a process another one when it changes."""
    return json.dumps(
        {"command": config.command, "cwd": str(config.cwd), "env": config.env}, sort_keys=True
    )


def _is_over(completed: Run, config: TaskConfig) -> bool:
    """Whether that run was all there is to do for `config`."""
    return config.restart != "always" and completed.definition == _definition(config)


def _unknown(run: Run) -> TaskConfig:
    """Enough of a configuration to end a task that has none any more."""
    return TaskConfig(name=run.task, command=("false",), movable=False)
