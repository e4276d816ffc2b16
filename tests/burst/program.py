# SPDX-License-Identifier: GPL-3.0-or-later
"""The monitor's own program with hooks that the product does not have.

Environment: `BURST_CPU_FILE` names a file with a percentage, which the monitor then takes for the
machine's CPU (a machine that runs tests beside is never quiet). `BURST_KILL_AT` is `NUMBER:before`
or `NUMBER:after`: at that transaction of the journal, before or after its commit, the monitor is
killed as by `kill -9`. `BURST_STEPS_FILE` is given one line for each transaction: its number and
the method that made it. `BURST_STOP_FIRST` has tasks stopped before anything else of a move out, as
the forerunner did. `BURST_SCRIPTS` lets `play.py` take the playbooks' place, and hastens what
takes whole seconds, for VMs made of processes; `BURST_WALL_STEP_FILE` then says by how many
seconds the wall clock is wrong.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from cloudspill_monitor import cli, clock, running
from cloudspill_monitor.clock import SystemClock
from cloudspill_monitor.config import MonitorConfig
from cloudspill_monitor.journal import Journal
from cloudspill_monitor.sampler import CpuDelta, HostCpu, Sampler
from tests.burst.stop_first import stop_first


class StagedCpu:
    """Counters that rise as the file `path` says, in percent of one core."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = time.monotonic()
        self._busy = self._total = 0.0

    def read(self) -> HostCpu:
        now = time.monotonic()
        passed, self._at = now - self._at, now
        self._total += passed
        self._busy += passed * float(self._path.read_text() or "0") / 100.0
        return HostCpu(self._busy, self._total)


def stage_cpu(path: Path) -> None:
    """Let the monitor see the CPU that the file says."""

    def make_sampler(config: MonitorConfig, own: tuple[CpuDelta, ...] = ()) -> Sampler:
        return Sampler(read_cpu=StagedCpu(path).read)

    running.make_sampler = make_sampler


def watch_journal(kill_at: str | None, steps: Path | None) -> None:
    """Count the journal's transactions; at one of them, die."""
    number, _, when = (kill_at or "0:").partition(":")
    original = Journal.transaction
    count = 0

    @contextmanager
    def transaction(journal: Journal) -> Iterator[Any]:
        nonlocal count
        count += 1
        mine = count
        with original(journal) as db:
            yield db
            if mine == int(number) and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
        if steps is not None:
            caller = sys._getframe(2).f_code.co_name
            with steps.open("a") as file:
                file.write(f"{mine} {caller}\n")
        if mine == int(number) and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)

    Journal.transaction = transaction  # type: ignore[method-assign,assignment]


def play_by_scripts() -> None:
    """VMs made of processes, and what goes with them."""
    from cloudspill_monitor.burst import building, fleet
    from cloudspill_monitor.burst.link import VmLink
    from tests.burst.play_scripts import PlayScripts

    # Not by assignment: the names are those that the module imports for itself.
    vars(building).update(AnsiblePlaybooks=PlayScripts, VmLink=partial(VmLink, patience=1.0))
    building._FIRST_LEASE = 0.0
    fleet._TEND_EVERY = 0.1
    fleet._DELETE_RETRY = 0.5
    step = Path(os.environ["BURST_WALL_STEP_FILE"])

    def wall(_: SystemClock) -> float:
        return time.time() + float(step.read_text() if step.exists() else 0)

    vars(clock)["SystemClock"].wall = wall


def tell_tasks() -> None:
    """On SIGUSR1, say what everything waits for."""

    def tell(*_: object) -> None:
        for task in asyncio.all_tasks():
            task.print_stack(file=sys.stderr)
        faulthandler.dump_traceback(all_threads=True)

    signal.signal(signal.SIGUSR1, tell)


def main() -> None:
    tell_tasks()
    if cpu := os.environ.get("BURST_CPU_FILE"):
        stage_cpu(Path(cpu))
    if "BURST_SCRIPTS" in os.environ:
        play_by_scripts()
    if "BURST_STOP_FIRST" in os.environ:
        stop_first()
    steps = os.environ.get("BURST_STEPS_FILE")
    kill_at = os.environ.get("BURST_KILL_AT")
    if kill_at or steps:
        watch_journal(kill_at, Path(steps) if steps else None)
    sys.argv[0] = "cloudspill-monitor"
    cli.app()


if __name__ == "__main__":
    main()
