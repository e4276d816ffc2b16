# SPDX-License-Identifier: GPL-3.0-or-later
"""A daemon on a machine whose CPU and cloud are what a test says. Tasks are real, time is not."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from cloudspill_monitor.clock import boot_id
from cloudspill_monitor.config import MonitorConfig
from cloudspill_monitor.config_file import load
from cloudspill_monitor.control import Handler
from cloudspill_monitor.daemon import Daemon, Surroundings
from cloudspill_monitor.drain import DrainOrder
from cloudspill_monitor.executor import Announcer, AwayLoad, MoveError
from cloudspill_monitor.journal import Journal
from cloudspill_monitor.placement import Placement
from cloudspill_monitor.policy_types import LOCAL, ScaleIn, ScaleOut
from cloudspill_monitor.sampler import HostCpu, Sampler
from cloudspill_monitor.sd_notify import Notifier
from cloudspill_monitor.snapshot import Snapshot, VmView
from cloudspill_monitor.workload import TaskEvent, Workload

from .conftest import FakeClock
from .test_metrics import VM

CONFIG = """\
state_dir: state
stop: {}
tasks:
  - {name: stays, command: sleep 600, movable: false}
  - {name: moves, command: sleep 600}
""".replace("stop: {}\n", "")


@dataclass
class Listener:
    """A Reporter that remembers."""

    samples: list[Snapshot] = field(default_factory=list)
    decisions: list[tuple[str, str, str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    states: list[Snapshot] = field(default_factory=list)

    def sample(self, snapshot: Snapshot) -> None:
        self.samples.append(snapshot)

    def state(self, snapshot: Snapshot) -> None:
        self.states.append(snapshot)

    def decision(self, action: str, words: str, reason: str) -> None:
        self.decisions.append((action, words, reason))

    def task(self, event: TaskEvent) -> None:
        self.said.append(f"{event.task} {event.text}")

    def log(self, task: str, line: str, place: str = LOCAL) -> None:
        self.said.append(f"[{task}] {line}")

    def notice(self, text: str) -> None:
        self.said.append(text)

    def error(self, text: str) -> None:
        self.said.append(f"ERROR {text}")


class Cloud:
    """An executor whose moves take until they are let go, and may fail."""

    def __init__(self) -> None:
        self.asked: list[ScaleOut | ScaleIn] = []
        self.go = asyncio.Event()
        self.failure: str | None = None
        self.placement = Placement()
        self.drained = False
        self.closed: list[bool] = []

    def describe(self, action: ScaleOut | ScaleIn) -> str:
        return f"moving {', '.join(action.tasks)}"

    def configure(self, config: MonitorConfig) -> None:
        pass

    def handlers(self) -> dict[str, Handler]:
        return {}

    def loads(self) -> tuple[AwayLoad, ...]:
        return ()

    def vms(self, now: float, wall: float) -> tuple[VmView, ...]:
        return (VM,) if self.placement.away else ()

    def cost(self, wall: float) -> float:
        return 0.5

    async def start(self) -> None:
        pass

    async def carry_out(self, action: ScaleOut | ScaleIn, decision: int) -> None:
        self.asked.append(action)
        await self.go.wait()
        if self.failure:
            raise MoveError(self.failure, "stock-out", "Name zones.")
        place = "vm-1" if isinstance(action, ScaleOut) else LOCAL
        self.placement = self.placement.moved(action.tasks, place)

    async def close(self, *, hurry: bool) -> None:
        self.closed.append(hurry)


class Told(Notifier):
    """A notifier that remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def _say(self, *words: str) -> None:
        self.words += words


class Machine:
    """A monitor on a machine whose CPU is what the test says, one interval a tick."""

    def __init__(self, directory: Path, clock: FakeClock) -> None:
        self.clock = clock
        self.cpu = 0.0
        self.listener = Listener()
        self.notifier = Told()
        self.cloud: Cloud | Announcer = Cloud()
        self.path = directory / "monitor.yml"
        self.path.write_text(CONFIG)
        config = load(self.path)
        config.state_dir.mkdir()
        self.journal = Journal(config.state_dir / "journal.db")
        self.workload = Workload(self.journal, clock, config.state_dir, boot_id())
        self._busy = self._total = 0.0
        self.config = config

    def start(self) -> Daemon:
        given = Surroundings(
            journal=self.journal,
            workload=self.workload,
            make_executor=lambda _, __: self.cloud,
            clock=self.clock,
            reporter=self.listener,
            boot_id=boot_id(),
            make_sampler=self._sampler,
            load_config=lambda: load(self.path),
            drain_order=DrainOrder(self.config.state_dir),
            notifier=self.notifier,
            config_path=self.path,
            dry_run=False,
        )
        self.daemon = Daemon(self.config, given)
        if not self.workload.tasks:
            self.workload.adopt(self.config.tasks, 1)
        self.daemon.tick()
        return self.daemon

    async def run(self, cpu: float, seconds: int) -> None:
        self.cpu = cpu
        for _ in range(seconds):
            self.clock.now += 1.0
            self.daemon.tick()
            await asyncio.sleep(0)  # lets a move go on
            await asyncio.sleep(0)

    def _sampler(self, _: MonitorConfig) -> Sampler:
        def read() -> HostCpu:
            self._total += 4.0
            self._busy += 4.0 * self.cpu / 100.0
            return HostCpu(self._busy, self._total)

        return Sampler((), read, lambda: 10.0, cores=4)

    def close(self) -> None:
        """End the tasks, whatever they say to that."""
        self.workload.stop_all()
        self.clock.now += 3600.0
        while self.workload.stopping:
            self.workload.poll()
        self.journal.close()
