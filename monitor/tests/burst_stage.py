# SPDX-License-Identifier: GPL-3.0-or-later
"""The executor with a VM that does what a test says, and a playbook that does nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from cloudspill_monitor.burst.executor import BurstExecutor, BurstSurroundings
from cloudspill_monitor.burst.frames import GuestRun, Pulled, Tick
from cloudspill_monitor.burst.link_error import LinkError
from cloudspill_monitor.burst.vm import BurstVm
from cloudspill_monitor.checkpoints import pack
from cloudspill_monitor.config import MonitorConfig, TaskConfig
from cloudspill_monitor.journal import Run

from .conftest import FakeClock, Host, task
from .daemon_machine import Listener

DEADLINE = 20.0
POLITE = "trap 'exit 0' TERM; while :; do sleep 0.02; done"


class Link:
    """A stream to a VM that answers at once, or fails as `failing` says."""

    def __init__(self, archive: Path) -> None:
        self.archive = archive
        self.connected = True
        self.asked: list[str] = []
        self.failing: dict[str, LinkError] = {}
        self.log = asyncio.Event()
        self.log.set()
        self.pulling = asyncio.Event()
        self.pulling.set()
        self.runs: list[GuestRun] = []
        self.stopped = False
        self.on_stop: Callable[[], None] = lambda: None

    def start(self) -> None: ...

    async def stop(self) -> None:
        self.stopped = True

    def lease_over_at(self) -> float:
        return 1e9

    def follow(self, run: int, log: object) -> None:
        self.asked.append(f"follow {run}")

    def unfollow(self, run: int) -> None: ...

    async def log_home(self, run: int, size: int, timeout: float) -> None:  # noqa: ASYNC109
        await self.log.wait()

    async def request(self, do: str, timeout: float, **fields: Any) -> dict[str, Any]:  # noqa: ASYNC109
        self.asked.append(" ".join([do, *map(str, fields.values())]))
        if do in self.failing:
            raise self.failing[do]
        if do == "stop":
            self.on_stop()
        return {"runs": self.runs, "fenced_move": fields.get("move", 0)}

    async def pull(self, run: int, to: Path) -> Pulled:
        self.asked.append(f"pull {run}")
        await self.pulling.wait()
        if "pull" in self.failing:
            raise self.failing["pull"]
        packed = pack(self.archive.parent, [Path(self.archive.name)], to)
        return {"sha256": packed.sha256, "size": packed.size, "state": "stopped"}


class Stage:
    """An executor with one VM and one task, which a test sends there without a playbook."""

    def __init__(self, host: Host, clock: FakeClock) -> None:
        self.host, self.clock = host, clock
        self.listener = Listener()
        self.guest = host.directory / "guest"
        self.guest.mkdir()
        self.progress = self.guest / "progress"
        self.links: dict[str, Link] = {}
        self.plays: list[tuple[str, list[str]]] = []
        self.play_fails: Exception | None = None
        self.config = MonitorConfig(state_dir=host.directory, tasks=(self.task(),))
        self.executor = self.build()

    def task(self, name: str = "t") -> TaskConfig:
        home = self.host.directory / "home"
        home.mkdir(exist_ok=True)
        return task(POLITE, name, cwd=home, checkpoint_paths=["progress"])

    def build(self) -> BurstExecutor:
        given = BurstSurroundings(
            journal=self.host.journal,
            workload=self.host.workload,
            clock=self.clock,
            reporter=self.listener,
            boot_id="boot",
            state_dir=self.host.directory,
            control=self.host.directory / "control.sock",
            playbooks=self,
            make_link=self._link,
            poll=self.poll,
        )
        return BurstExecutor(self.config, given)

    def _link(self, vm: BurstVm, _: float) -> Any:
        self.links[vm.name] = Link(self.progress)
        return self.links[vm.name]

    def poll(self) -> None:
        self.host.events += self.host.workload.poll()

    async def run(
        self,
        playbook: str,
        move: int,
        variables: dict[str, Any],
        timeout: float,  # noqa: ASYNC109
    ) -> None:
        self.plays.append((playbook, [vm["name"] for vm in variables["burst_vms"]]))
        if self.play_fails is not None:
            raise self.play_fails

    async def begin(self) -> None:
        self.host.begin(self.task())
        await self.executor.start()

    def vm(self) -> BurstVm:
        """A VM that is up."""
        vms = self.executor._fleet
        vm = vms.plan()
        facts = {"zone": "z", "machine_type": "m", "spot": False, "instance_id": "1"}
        vms.up(vm, {**facts, "ssh_command": ["ssh"]})
        vms.open(vm)
        return vm

    async def send(self, vm: BurstVm) -> Run:
        """The task is at the VM now, and runs."""
        self.host.workload.release("t")
        self.host.until(lambda: self.host.workload.released("t") is not None)
        ended = self.host.workload.released("t")
        assert ended is not None
        number = self.host.journal.hand_out(
            ended.run, "t", vm.name, ended.definition, 1, "boot", 1.0, 1e9, ended.exit_status
        )
        self.host.journal.confirm_run(number)
        self.host.workload.gone_to("t", vm.name)
        self.tick(vm, number, "running")
        run = self.host.journal.run(number)
        assert run is not None
        return run

    def tick(self, vm: BurstVm, run: int, state: str, *, fenced: bool = False) -> None:
        guest = {"run": run, "task": "t", "state": state, "log_size": 1, "exit_status": None}
        self.links[vm.name].runs = [cast(GuestRun, guest)]
        tick = {"token": "1", "expires_in": 9.0, "cpu": 0.0, "preempted": False, "fenced": fenced}
        vm.on_tick(cast(Tick, {**tick, "runs": [guest]}))

    def archive(self, counter: int) -> tuple[Path, dict[str, Any]]:
        """A checkpoint that has come home, and what the VM says of it."""
        self.progress.write_text(str(counter))
        path = self.host.directory / f"{counter}.tar"
        packed = pack(self.guest, [Path("progress")], path)
        return path, {"sha256": packed.sha256, "state": "stopped"}

    def at_home(self) -> str:
        return (self.host.directory / "home" / "progress").read_text()

    def waiting(self) -> bool:
        return self.host.workload.waiting.path("t").exists()

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        self.host.journal._db.execute("PRAGMA query_only = ON")
        yield
        self.host.journal._db.execute("PRAGMA query_only = OFF")

    async def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < deadline, self.listener.said
            self.poll()
            await asyncio.sleep(0.01)
