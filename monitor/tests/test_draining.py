# SPDX-License-Identifier: GPL-3.0-or-later
"""`drain`, against a monitor that answers what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from cloudspill_monitor.control import NOT_READY, ControlRefusal, ControlServer
from cloudspill_monitor.draining import DrainError, order, watch
from cloudspill_monitor.lock import StateLock
from cloudspill_monitor.snapshot import FailureView, Snapshot

from .test_metrics import SNAPSHOT, VM

HOME = replace(SNAPSHOT, tasks=(replace(SNAPSHOT.tasks[0], name="Task 3", place="local"),))
AWAY = replace(
    SNAPSHOT, tasks=(replace(SNAPSHOT.tasks[0], name="Task 3", place=VM.name),), vms=(VM,)
)
FAILED = FailureView(1.7e9, "scale in", "lost", "no connection", "")


def drained(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, drained_wall=1.7e9)


@dataclass
class Monitor:
    """Answers with one snapshot after the other, and the last one for ever."""

    directory: Path
    snapshots: list[Snapshot | None]
    orders: list[bool] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def status(self, _: dict[str, Any]) -> dict[str, Any]:
        snapshot = self.snapshots.pop(0) if len(self.snapshots) > 1 else self.snapshots[0]
        if snapshot is None:
            raise ControlRefusal(NOT_READY, "the monitor has taken no sample yet")
        return snapshot.as_json()

    def drain(self, request: dict[str, Any]) -> dict[str, Any]:
        self.orders.append(request["on"])
        return {}

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        with StateLock(self.directory, 1.0):
            server = ControlServer(self.directory, {"status": self.status, "drain": self.drain})
            await server.start()
            try:
                yield
            finally:
                await server.stop()

    async def watched(self, seconds: float | None = 20.0) -> list[str]:
        async with self.serve():
            await asyncio.to_thread(watch, self.directory, self.said.append, seconds)
        return self.said


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "monitor.yml"
    path.write_text("state_dir: state\ntasks: [{name: Task 3, command: sleep 1}]\n")
    (tmp_path / "state").mkdir()
    return path


@pytest.mark.parametrize("on", [True, False])
async def test_the_order_reaches_the_monitor(config: Path, on: bool) -> None:
    monitor = Monitor(config.parent / "state", [HOME])
    async with monitor.serve():
        assert await asyncio.to_thread(order, config, on=on) == monitor.directory
    assert monitor.orders == [on]


def test_without_a_monitor_it_says_where_to_look(config: Path) -> None:
    with pytest.raises(DrainError, match=r"no monitor runs on .*status"):
        order(config, on=True)


async def test_each_step_is_told_until_all_are_home_and_all_vms_gone(tmp_path: Path) -> None:
    deleting = replace(HOME, vms=(replace(VM, state="deleting", age=200.0),))
    later = replace(AWAY, vms=(replace(VM, age=188.0, cost=0.1),))
    states = [None, HOME, AWAY, *(drained(s) for s in (AWAY, later, deleting, HOME))]
    assert await Monitor(tmp_path, [*states]).watched() == [
        "Task 3: at burst-3f2a9c-1",
        "burst-3f2a9c-1: up",
        "burst-3f2a9c-1: being deleted",
        "Task 3: home",
        "burst-3f2a9c-1: gone",
    ]


async def test_a_sample_from_before_the_order_does_not_end_the_waiting(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, [HOME])
    with pytest.raises(DrainError, match=r"not done after 0\.2 s .*the order holds"):
        await monitor.watched(0.2)


async def test_a_failure_is_told_once_and_waited_out(tmp_path: Path) -> None:
    failed = drained(replace(AWAY, failure=FAILED))
    said = await Monitor(tmp_path, [failed, failed, drained(HOME)]).watched()
    assert said.count("scale in failed: no connection; it is tried again") == 1
    assert said[-1] == "burst-3f2a9c-1: gone"


async def test_what_is_left_is_named_when_the_time_is_over(tmp_path: Path) -> None:
    with pytest.raises(DrainError, match=r"after 0 s \(Task 3, burst-3f2a9c-1\); the order holds"):
        await Monitor(tmp_path, [drained(AWAY)]).watched(0.0)


async def test_an_order_that_is_taken_back_ends_the_waiting(tmp_path: Path) -> None:
    with pytest.raises(DrainError, match="taken back"):
        await Monitor(tmp_path, [drained(AWAY), AWAY]).watched()


def test_a_monitor_that_has_ended_ends_the_waiting(tmp_path: Path) -> None:
    with pytest.raises(DrainError, match="does not answer any more"):
        watch(tmp_path, lambda _: None, None)
