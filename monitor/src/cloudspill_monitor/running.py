# SPDX-License-Identifier: GPL-3.0-or-later
"""`run`: puts the daemon's parts together and gives them up again in order."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from cloudspill_monitor.cgroups import CgroupCpu, find_hierarchies
from cloudspill_monitor.clock import Clock, SystemClock, boot_id
from cloudspill_monitor.config import MonitorConfig
from cloudspill_monitor.config_file import ConfigError, load
from cloudspill_monitor.console import JsonReporter, PlainReporter, Reporter
from cloudspill_monitor.control import ControlServer
from cloudspill_monitor.daemon import Daemon, Surroundings
from cloudspill_monitor.drain import DrainOrder
from cloudspill_monitor.executor import Announcer, Executor
from cloudspill_monitor.journal import Journal, JournalError
from cloudspill_monitor.lock import MARK_EVERY, LockedError, StateLock
from cloudspill_monitor.policy_types import LOCAL
from cloudspill_monitor.sampler import CpuDelta, Sampler
from cloudspill_monitor.sd_notify import take
from cloudspill_monitor.workload import Workload

_MARKER_LOOKS = 1.0  # seconds

MakeExecutor = Callable[[MonitorConfig, Callable[[], None]], Executor]


class RunError(Exception):
    """The monitor cannot run; the message says why and what to do."""


class LeftBehindError(Exception):
    """The monitor has ended as asked, but a VM may be left, as it has said."""


@dataclass(frozen=True, slots=True)
class View:
    """How `run` shows itself; `every` is the seconds between plain status lines."""

    json: bool = False
    plain: bool = False
    every: float = 10.0


def run(path: Path, *, dry_run: bool, view: View) -> None:
    """Run the monitor until it is asked to stop. Raises RunError, LeftBehindError."""
    config = _load(path)
    clock = SystemClock()
    with ExitStack() as stack:
        try:
            config.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = stack.enter_context(StateLock(config.state_dir, clock.wall()))
            journal = Journal(config.state_dir / "journal.db")
            stack.callback(journal.close)
            workload = Workload(journal, clock, config.state_dir, boot_id())
        except (LockedError, JournalError) as error:
            raise RunError(str(error)) from error
        except OSError as error:
            raise RunError(f"state_dir {config.state_dir} cannot be used: {error}") from error
        reporter = _reporter(view, clock, stack)
        make_executor: MakeExecutor = _announcing
        own_cpu: tuple[CpuDelta, ...] = ()
        inventory = config.burst.inventory
        if inventory is not None and not dry_run:
            # Not imported where nothing moves: what it needs is not small.
            from cloudspill_monitor.burst import building

            playbooks, make_executor = building.build(
                config, inventory, journal, workload, clock, reporter, boot_id()
            )
            own_cpu = (playbooks.cpu,)
        given = Surroundings(
            journal=journal,
            workload=workload,
            make_executor=make_executor,
            clock=clock,
            reporter=reporter,
            boot_id=boot_id(),
            make_sampler=lambda config: make_sampler(config, own_cpu),
            load_config=lambda: _checked(path),
            drain_order=DrainOrder(config.state_dir),
            notifier=take(os.environ, os.getpid()),
            config_path=path,
            dry_run=dry_run or inventory is None,
        )
        if not dry_run and inventory is None:
            reporter.notice("moves are only announced: burst.inventory names no inventory")
        if given.dry_run and (away := [run for run in journal.live_runs() if run.place != LOCAL]):
            where = ", ".join(f"{run.task} at {run.place}" for run in away)
            reporter.error(f"{where}: only a monitor that moves tasks brings them home")
        daemon = Daemon(config, given)
        if config.metrics is not None:
            _serve_metrics(config, daemon, clock, reporter, stack)
        # In a dry run nobody renews the lease of a VM that an earlier monitor left.
        marker = None if given.dry_run else Marker(lock, journal, clock, reporter)
        try:
            asyncio.run(_watch(daemon, config.state_dir, marker))
        except JournalError as error:
            raise RunError(str(error)) from error
        if daemon.left:
            raise LeftBehindError


def _announcing(config: MonitorConfig, poll: Callable[[], None]) -> Announcer:
    del poll  # nothing is done to the tasks
    return Announcer(config.burst)


def make_sampler(config: MonitorConfig, own: tuple[CpuDelta, ...] = ()) -> Sampler:
    """The sampler that `config` asks for; what `own` has used does not count either."""
    if not config.ignore_cgroups:
        return Sampler(own)
    return Sampler((CgroupCpu(config.ignore_cgroups, find_hierarchies()), *own))


def _load(path: Path) -> MonitorConfig:
    try:
        return _checked(path)
    except ConfigError as error:
        raise RunError(str(error)) from error


def _checked(path: Path) -> MonitorConfig:
    config = load(path)
    missing = [(task.name, task.missing()) for task in config.tasks]
    if any(reason for _, reason in missing):
        raise ConfigError(
            "\n".join(f"{path}: task {name!r}: {reason}" for name, reason in missing if reason)
        )
    return config


def _reporter(view: View, clock: SystemClock, stack: ExitStack) -> Reporter:
    if view.json:
        return JsonReporter(sys.stdout, clock)
    if view.plain or not _can_draw(sys.stdout):
        return PlainReporter(sys.stdout, clock, view.every)
    # Not imported without a terminal: a daemon has no use for rich, and memory to save.
    from cloudspill_monitor.live_view import LiveReporter

    return stack.enter_context(LiveReporter())


def _can_draw(out: TextIO) -> bool:
    # An editor's shell and the like call themselves dumb: the cursor cannot be moved there.
    return out.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


def _serve_metrics(
    config: MonitorConfig,
    daemon: Daemon,
    clock: SystemClock,
    reporter: Reporter,
    stack: ExitStack,
) -> None:
    assert config.metrics is not None
    try:
        from cloudspill_monitor import metrics
    except ImportError as error:
        raise RunError(
            f"metrics: {error}; install cloudspill-monitor[metrics] or leave `metrics` out"
        ) from error
    try:
        server = metrics.MetricsServer(config.metrics, lambda: daemon.snapshot, clock.boottime)
    except metrics.MetricsError as error:
        raise RunError(str(error)) from error
    stack.enter_context(server)
    reporter.notice(f"metrics on http://{config.metrics.address}:{server.port}/metrics")


class Marker:
    """Marks in the lock that the monitor lives while it has a VM, for `status` when it is gone."""

    def __init__(self, lock: StateLock, journal: Journal, clock: Clock, reporter: Reporter) -> None:
        self._lock = lock
        self._journal = journal
        self._clock = clock
        self._reporter = reporter
        self._marked: float | None = None
        self._trouble = ""

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            self.look()
            # Often: a clock that was set, or a suspended machine, is seen soon.
            await asyncio.sleep(_MARKER_LOOKS)

    def look(self) -> None:
        """Mark, if it is time to."""
        wall = self._clock.wall()
        if self._marked is not None and 0.0 <= wall - self._marked < MARK_EVERY - _MARKER_LOOKS:
            return
        trouble = ""
        try:
            if self._journal.vms():
                self._lock.mark(wall)
                self._marked = wall
        except (OSError, JournalError) as error:
            trouble = f"that the monitor lives cannot be written down: {error}"
        if trouble and trouble != self._trouble:
            self._reporter.error(trouble)
        self._trouble = trouble


async def _watch(daemon: Daemon, state_dir: Path, marker: Marker | None) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, daemon.ask_to_stop)
    loop.add_signal_handler(signal.SIGHUP, daemon.ask_to_reload)
    async with AsyncExitStack() as stack:
        control = ControlServer(state_dir, daemon.handlers())
        await control.start()
        stack.push_async_callback(control.stop)
        if marker is not None:
            marking = asyncio.create_task(marker.run())
            stack.callback(marking.cancel)
        await daemon.run()
