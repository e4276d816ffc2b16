# SPDX-License-Identifier: GPL-3.0-or-later
"""What several tests need: a clock moved by hand, a host for monitors, processes ended at last."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from cloudspill_monitor import procfs
from cloudspill_monitor.clock import boot_id
from cloudspill_monitor.config import TaskConfig
from cloudspill_monitor.journal import Journal
from cloudspill_monitor.workload import LocalTask, TaskEvent, Workload

from .stream_guest import StreamGuest, stream_guest


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def boottime(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + 1.7e9


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def guest() -> AsyncIterator[StreamGuest]:
    """A VM whose end of the stream the test speaks."""
    async with stream_guest() as made:
        yield made


@pytest.fixture
def spawn() -> Iterator[Callable[..., int]]:
    """Starts a command in a session of its own; returns its process id."""
    started: list[subprocess.Popen[bytes]] = []

    def start(command: list[str]) -> int:
        process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
        started.append(process)
        return process.pid

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


DEADLINE = 20.0


class Host:
    """A state directory, and as many monitors after one another as a test wants."""

    def __init__(self, directory: Path, clock: FakeClock) -> None:
        self.directory = directory
        self.clock = clock
        self.events: list[TaskEvent] = []
        self.orphans: list[subprocess.Popen[bytes]] = []
        self.journal = Journal(directory / "journal.db")
        self.workload = Workload(self.journal, clock, directory, boot_id())

    def begin(self, *tasks: TaskConfig) -> None:
        first = self.journal.begin_watch(self.clock.wall())
        self.events += self.workload.adopt(tasks, first)
        self.events += self.workload.poll()

    def crash(self) -> Host:
        """What is left when the monitor is killed: no word to anybody."""
        self.journal.close()
        processes = [t.process for t in self.workload.tasks if t.process is not None]
        self.orphans += [process.child for process in processes if process.child is not None]
        heir = Host(self.directory, self.clock)
        heir.orphans = self.orphans
        return heir

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < deadline, [event.text for event in self.events]
            self.events += self.workload.poll()
            time.sleep(0.01)

    def task(self, name: str = "t") -> LocalTask:
        return next(task for task in self.workload.tasks if task.config.name == name)

    def pid(self, name: str = "t") -> int:
        process = self.task(name).process
        assert process is not None
        return process.pid

    def stop(self) -> None:
        self.workload.stop_all()
        self.until(lambda: not self.workload.stopping)

    def said(self) -> str:
        return "\n".join(f"{event.task} {event.text}" for event in self.events)


@pytest.fixture
def host(tmp_path: Path, clock: FakeClock) -> Iterator[Host]:
    made = Host(tmp_path, clock)
    yield made
    final = made.crash()
    for run in final.journal.live_runs():
        if run.pid is not None:
            for member in procfs.live(procfs.sessions().get(run.pid, [])):
                os.kill(member.pid, signal.SIGKILL)
    final.journal.close()
    for orphan in final.orphans:
        orphan.wait()


def task(script: str, name: str = "t", **options: object) -> TaskConfig:
    return TaskConfig.model_validate(
        {"name": name, "command": ["sh", "-c", script], "stop_grace": 5, **options}
    )


def gone(pid: int) -> bool:
    return not procfs.live(procfs.sessions().get(pid, []))
