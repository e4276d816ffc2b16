# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop: sample, decide, act. A move that is under way never holds it up."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cloudspill_monitor import policy
from cloudspill_monitor.clock import Clock
from cloudspill_monitor.config import MonitorConfig
from cloudspill_monitor.config_file import ConfigError
from cloudspill_monitor.console import Reporter, summary
from cloudspill_monitor.control import NOT_READY, ControlRefusal, Handler
from cloudspill_monitor.drain import DrainOrder
from cloudspill_monitor.executor import Executor, MoveError
from cloudspill_monitor.journal import Journal, JournalError
from cloudspill_monitor.loads import LoadMeters
from cloudspill_monitor.policy_types import Hold, Sample, ScaleIn, ScaleOut, State, TimersReset
from cloudspill_monitor.sampler import HostSample, Sampler
from cloudspill_monitor.sd_notify import Notifier
from cloudspill_monitor.snapshot import DecisionView, FailureView, Snapshot, TaskView
from cloudspill_monitor.task_logs import LogTails
from cloudspill_monitor.task_views import task_views
from cloudspill_monitor.workload import TaskEvent, Workload

_STOPPING_POLL = 0.05  # seconds between looks at tasks that were asked to stop
_STOP_LOOK = 1.0
_STOP_PATIENCE = 60.0  # seconds without a word that a service manager is asked for meanwhile
_SHOWN_DECISIONS = 10


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the daemon is given: nothing of it is made inside, so that tests can give their own.

    `make_executor` is given the daemon's own way to look at its tasks at once.
    """

    journal: Journal
    workload: Workload
    make_executor: Callable[[MonitorConfig, Callable[[], None]], Executor]
    clock: Clock
    reporter: Reporter
    boot_id: str
    make_sampler: Callable[[MonitorConfig], Sampler]
    load_config: Callable[[], MonitorConfig]
    drain_order: DrainOrder
    notifier: Notifier
    config_path: Path
    dry_run: bool


class Daemon:
    """The monitor of one machine: `tick` is an interval, `run` all; `left`: a VM may bill on."""

    def __init__(self, config: MonitorConfig, given: Surroundings) -> None:
        self._config = config
        self._given = given
        self._policy = config.policy()
        self._sampler = given.make_sampler(config)
        self._executor = given.make_executor(config, self._poll)
        drained = given.drain_order.since is not None
        self._state = policy.drain(State(), on=drained)
        self._executor.drained = drained
        self._meters = LoadMeters()
        self._tails = LogTails()
        self._move: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._signals = 0
        self._reload_asked = False
        self._started_wall = given.clock.wall()
        self._samples = self._gaps = 0
        self._moves = {"out": 0, "in": 0, "failed": 0}
        self._decisions: tuple[DecisionView, ...] = ()
        self._failure: FailureView | None = None
        self.snapshot: Snapshot | None = None
        self.left = False

    def ask_to_stop(self) -> None:
        """Stop every task and end; asked twice, without grace."""
        self._signals += 1
        if self._signals > 1:
            self._given.workload.kill_all()
        self._wake.set()

    def ask_to_reload(self) -> None:
        """Read the configuration again, between two samples."""
        self._reload_asked = True
        self._wake.set()

    def handlers(self) -> dict[str, Handler]:
        """What the control socket answers to people and to playbooks."""
        return {
            "status": lambda _: self.status(),
            "drain": self.drain,
            **self._executor.handlers(),
        }

    def status(self) -> dict[str, Any]:
        """The last snapshot. Raises ControlRefusal while there is none."""
        if self.snapshot is None:
            raise ControlRefusal(NOT_READY, "the monitor has taken no sample yet; ask again soon")
        return self.snapshot.as_json()

    def drain(self, request: dict[str, Any]) -> dict[str, Any]:
        """The operator's order to bring all tasks home and keep them here, or to end that.

        Raises ControlRefusal when the order cannot be kept.
        """
        given, on = self._given, request.get("on") is True
        try:
            if on:
                given.drain_order.give(given.clock.wall())
            else:
                given.drain_order.take_back()
        except OSError as error:
            raise ControlRefusal("failed", f"the order cannot be kept: {error}") from error
        self._state = policy.drain(self._state, on=on)
        self._executor.drained = on
        words = "every task comes home and stays here" if on else "tasks may go out again"
        given.reporter.notice(f"asked by the operator: {words}")
        return {"drained_wall": given.drain_order.since}

    async def run(self) -> None:
        """Adopt or start the tasks, watch until asked to stop, stop the tasks."""
        given = self._given
        first_run = given.journal.begin_watch(given.clock.wall())
        self._refresh_decisions()
        self._say(given.workload.adopt(self._config.tasks, first_run))
        await self._executor.start()
        if given.drain_order.since is not None:
            given.reporter.notice("tasks stay here until `cloudspill-monitor drain --off`")
        given.notifier.ready(self._config.interval)
        while not self._signals:
            started = given.clock.boottime()
            self.tick()
            # From the sample just taken, not on a fixed grid: so N intervals never measure less
            # than N intervals, and a duration is full at the sample at which it should be.
            await self._pause(since=started)
        await self._stop()

    def tick(self) -> None:
        """One look at the machine and the tasks, one judgement."""
        self._poll()
        host = self._sampler.sample()
        self._meters.read(
            self._given.workload.tasks,
            self._config.high_duration,
            self._given.clock.boottime(),
            host.cpu + host.ignored if host else 100.0,
        )
        for load in self._executor.loads():
            self._meters.read_away(load.task, load.cpu_seconds, load.at, load.saturated)
        if host is not None:
            self._attempt(lambda: self._judge(host))
        self._given.notifier.alive(summary(self.snapshot) if self.snapshot else None)

    def _judge(self, host: HostSample) -> None:
        now, placement = self._given.clock.boottime(), self._executor.placement
        elsewhere = min(host.cpu, self._meters.elsewhere(placement, host.cores))
        loads = self._meters.loads(self._given.workload.tasks, placement, host.cores)
        sample = Sample(host.cpu - elsewhere, host.cores, loads)
        self._state, actions = policy.decide(self._policy, self._state, sample, now)
        self._samples += 1
        judgement = actions[-1]
        for action in actions:
            if isinstance(action, TimersReset):
                self._gaps += 1
                self._given.reporter.notice(action.reason)
        if isinstance(judgement, ScaleOut | ScaleIn):
            self._begin_move(judgement, now)
        assert isinstance(judgement, ScaleOut | ScaleIn | Hold)
        self.snapshot = self._describe(host, elsewhere, judgement.reason, now)
        self._given.reporter.sample(self.snapshot)

    def _begin_move(self, action: ScaleOut | ScaleIn, now: float) -> None:
        given = self._given
        direction = "out" if isinstance(action, ScaleOut) else "in"
        try:
            words = self._executor.describe(action)
            decision = given.journal.record_decision(
                given.boot_id,
                now,
                given.clock.wall(),
                f"scale {direction}",
                ", ".join(action.tasks),
                action.reason,
            )
        except JournalError:
            self._state = policy.completed(
                self._policy, self._state, now, failure="the journal cannot be used"
            )
            raise
        given.reporter.decision(f"scale {direction}", words, action.reason)
        self._move = asyncio.create_task(self._carry_out(action, direction, decision))

    async def _carry_out(self, action: ScaleOut | ScaleIn, direction: str, decision: int) -> None:
        given = self._given
        failure: str | None = None
        try:
            await self._executor.carry_out(action, decision)
        except asyncio.CancelledError:
            self._attempt(
                lambda: given.journal.end_decision(decision, "cut short: the monitor ends")
            )
            raise
        except Exception as error:  # noqa: BLE001 - else this move would be under way for ever
            failure = self._tell_failure(f"scale {direction}", error)
        self._state = policy.completed(
            self._policy, self._state, given.clock.boottime(), failure=failure
        )
        if failure is None:
            self._failure = None
        self._moves["failed" if failure else direction] += 1
        done = "announced" if given.dry_run else "done"
        try:
            given.journal.end_decision(decision, f"failed: {failure}" if failure else done)
            self._refresh_decisions()
        except JournalError as error:
            given.reporter.error(str(error))

    def _tell_failure(self, move: str, error: Exception) -> str:
        if not isinstance(error, MoveError):
            asyncio.get_running_loop().call_exception_handler({"message": move, "exception": error})
            error = MoveError(f"the monitor has a fault: {error!r}")
        failure = str(error)
        self._failure = FailureView(
            self._given.clock.wall(), move, error.kind, failure, error.advice
        )
        kind = f" ({error.kind})" if error.kind else ""
        advice = f"; {error.advice}" if error.advice else ""
        self._given.reporter.error(f"{move} failed{kind}: {failure}{advice}")
        return failure.partition("\n")[0]  # what is said at every sample is one line

    def _reload(self) -> None:
        self._reload_asked = False
        reporter = self._given.reporter
        try:
            fresh = self._given.load_config()
        except ConfigError as error:
            reporter.error(f"the configuration is kept as it was: {error}")
            return
        if _fixed(fresh) != _fixed(self._config):
            reporter.error(
                "the configuration is kept as it was: state_dir, metrics and burst.inventory only "
                "change with a restart of the monitor"
            )
            return
        measured_otherwise = fresh.ignore_cgroups != self._config.ignore_cgroups
        if measured_otherwise:
            self._sampler = self._given.make_sampler(fresh)
        if measured_otherwise or fresh.policy() != self._policy:
            self._state = policy.reset(self._state, None)
        self._config, self._policy = fresh, fresh.policy()
        self._executor.configure(fresh)
        reporter.notice(f"{self._given.config_path} was read again")
        self._given.notifier.ready(fresh.interval)
        self._say(self._given.workload.apply(fresh.tasks))

    def _describe(self, host: HostSample, elsewhere: float, judgement: str, now: float) -> Snapshot:
        config = self._config
        return Snapshot(
            pid=os.getpid(),
            at=now,
            wall=self._given.clock.wall(),
            started_wall=self._started_wall,
            interval=config.interval,
            config=str(self._given.config_path),
            dry_run=self._given.dry_run,
            cpu=host.cpu - elsewhere,
            ignored=host.ignored,
            elsewhere=elsewhere,
            memory=host.memory,
            threshold_high=config.threshold_high,
            threshold_low=config.threshold_low,
            judgement=judgement,
            samples=self._samples,
            gaps=self._gaps,
            moves_out=self._moves["out"],
            moves_in=self._moves["in"],
            moves_failed=self._moves["failed"],
            tasks=self._task_views(),
            decisions=self._decisions,
            vms=self._executor.vms(now, self._given.clock.wall()),
            failure=self._failure,
            drained_wall=self._given.drain_order.since,
            cost=self._executor.cost(self._given.clock.wall()),
        )

    def _task_views(self) -> tuple[TaskView, ...]:
        given, live = self._given, self._given.journal.live_runs()
        return task_views(given.workload, self._executor.placement, self._meters, live, given.clock)

    def _refresh(self) -> None:
        """What is shown holds between two samples too, and while all of it ends."""
        if self.snapshot is not None:
            now, wall = self._given.clock.boottime(), self._given.clock.wall()
            vms = self._executor.vms(now, wall)
            self.snapshot = replace(self.snapshot, tasks=self._task_views(), vms=vms)
            self._given.reporter.state(self.snapshot)

    def _refresh_decisions(self) -> None:
        self._decisions = tuple(
            DecisionView(d.wall, d.action, d.tasks, d.reason, d.outcome)
            for d in self._given.journal.decisions(_SHOWN_DECISIONS)
        )

    def _tell_logs(self) -> None:
        workload, reporter = self._given.workload, self._given.reporter
        for name, line in self._tails.lines():  # of tasks that are gone by now too
            reporter.log(name, line)
        self._tails.follow({t.config.name: workload.log(t.config) for t in workload.tasks})

    def _say(self, events: list[TaskEvent]) -> None:
        if events:
            self._attempt(self._refresh)
        for event in events:
            self._given.reporter.task(event)

    async def _pause(self, since: float) -> None:
        """Wait until the next sample is due, by the interval of the moment."""
        clock, workload = self._given.clock, self._given.workload
        while not self._signals and (left := since + self._config.interval - clock.boottime()) > 0:
            if workload.busy:
                self._poll()
                left = min(left, _STOPPING_POLL)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), left)
            self._wake.clear()
            if self._reload_asked:
                self._reload()

    def _poll(self) -> None:
        self._tell_logs()  # first, to follow what is started now from its first word on
        events = self._given.workload.poll()
        self._tell_logs()  # the last words of what has ended, before that is said
        self._say(events)

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except JournalError as error:
            # Nothing is done that could not be written down first; the next tick tries again.
            self._given.reporter.error(str(error))

    async def _stop(self) -> None:
        given = self._given
        if self._move is not None:
            self._move.cancel()
            while not self._move.done():  # a task that is on its way out has its grace first
                given.notifier.stopping(_STOP_PATIENCE, "ending a move")
                await asyncio.wait([self._move], timeout=_STOP_LOOK)
        given.reporter.notice("stopping every task (ask again to stop without grace)")
        given.workload.stop_all()
        closing = asyncio.create_task(self._close())
        over = False
        while not over:
            over = closing.done()  # before the look: what has come home is installed by it
            given.notifier.stopping(_STOP_PATIENCE, "stopping tasks, deleting VMs")
            self._poll()
            over = over and not given.workload.busy
            await asyncio.sleep(_STOPPING_POLL)
        await closing
        self._attempt(self._refresh)
        self._attempt(lambda: given.journal.end_watch(given.clock.wall()))

    async def _close(self) -> None:
        """Every VM goes; once asked twice to stop, what its tasks have to say is not waited for."""
        hurry = self._signals > 1
        while True:
            closing = asyncio.create_task(self._executor.close(hurry=hurry))
            while not closing.done() and hurry == (self._signals > 1):
                await asyncio.wait([closing], timeout=_STOPPING_POLL)
            if closing.done():
                break
            hurry = True
            closing.cancel()
            await asyncio.wait([closing])
        try:
            await closing
        except (MoveError, JournalError, OSError) as error:
            self._given.reporter.error(f"a VM may be left, until its lease ends: {error}")
            self.left = True


def _fixed(config: MonitorConfig) -> tuple[object, ...]:
    """What holds until the monitor ends."""
    return config.state_dir, config.metrics, config.burst.inventory
