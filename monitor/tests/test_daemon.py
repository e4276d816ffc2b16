# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop: what it makes of samples, moves, failures and reloads. Tasks are real, time is not."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudspill_monitor.config_file import ConfigError, load
from cloudspill_monitor.control import ControlRefusal
from cloudspill_monitor.executor import Announcer
from cloudspill_monitor.placement import Placement
from cloudspill_monitor.policy_types import LOCAL, ScaleIn, ScaleOut
from cloudspill_monitor.snapshot import from_json

from .conftest import FakeClock
from .daemon_machine import CONFIG, Cloud, Machine


@pytest.fixture
def machine(tmp_path: Path, clock: FakeClock) -> Iterator[Machine]:
    made = Machine(tmp_path, clock)
    yield made
    made.close()


async def test_a_move_is_written_down_before_it_is_begun(machine: Machine) -> None:
    cloud = Cloud()
    machine.cloud = cloud
    machine.start()
    await machine.run(90.0, 10)
    assert cloud.asked == []
    assert machine.journal.decisions(1) == []
    machine.clock.now += 1.0
    machine.daemon.tick()  # decides, but has not let the move begin
    (decision,) = machine.journal.decisions(1)
    assert (decision.action, decision.tasks, decision.outcome) == ("scale out", "moves", None)
    assert cloud.asked == []
    await machine.run(90.0, 1)
    assert [action.tasks for action in cloud.asked] == [("moves",)]


async def test_the_loop_goes_on_while_a_move_takes_its_time(machine: Machine) -> None:
    cloud = Cloud()
    machine.cloud = cloud
    machine.start()
    await machine.run(90.0, 60)
    assert len(cloud.asked) == 1
    assert len(machine.listener.samples) == 60
    assert "moving moves to a VM for 49 s" in machine.listener.samples[-1].judgement
    cloud.go.set()
    await machine.run(90.0, 2)
    assert machine.journal.decisions(1)[0].outcome == "done"
    assert [t.place for t in machine.listener.samples[-1].tasks] == [LOCAL, "vm-1"]
    await machine.run(20.0, 100)
    assert [type(action) for action in cloud.asked] == [ScaleOut, ScaleIn]
    assert [t.place for t in machine.listener.samples[-1].tasks] == [LOCAL, LOCAL]


async def test_a_failed_move_leaves_the_tasks_and_is_told(machine: Machine) -> None:
    cloud = Cloud()
    cloud.failure = "ZONE_RESOURCE_POOL_EXHAUSTED"
    cloud.go.set()
    machine.cloud = cloud
    machine.start()
    before = [task.process.pid for task in machine.workload.tasks if task.process]
    await machine.run(90.0, 30)
    assert len(cloud.asked) == 1
    assert [t.pid for t in machine.listener.samples[-1].tasks] == before
    assert machine.journal.decisions(1)[0].outcome == "failed: ZONE_RESOURCE_POOL_EXHAUSTED"
    failure = machine.listener.samples[-1].failure
    assert failure is not None
    assert (failure.action, failure.kind, failure.advice) == (
        "scale out",
        "stock-out",
        "Name zones.",
    )
    assert any("ZONE_RESOURCE_POOL_EXHAUSTED" in line for line in machine.listener.said)
    cloud.failure = None
    await machine.run(90.0, 30)
    assert len(cloud.asked) == 2
    assert machine.listener.samples[-1].failure is None


async def test_a_dry_run_says_what_and_why_and_moves_nothing(machine: Machine) -> None:
    machine.cloud = Announcer(machine.config.burst)
    machine.start()
    before = [task.process.pid for task in machine.workload.tasks if task.process]
    await machine.run(90.0, 30)
    ((action, words, reason),) = machine.listener.decisions
    assert action == "scale out"
    assert words == "would move moves to a VM (n1-standard-1 in us-west1-b)"
    assert reason == "CPU 90.0 % has been above 75 % for 10 s (the rule asks 10 s)"
    last = machine.listener.samples[-1]
    assert [t.pid for t in last.tasks] == before
    assert [t.name for t in last.tasks if t.announced] == ["moves"]
    assert last.away == ()
    assert "there is no further task to move" in last.judgement


async def test_a_task_that_is_away_is_shown_by_its_run_there(machine: Machine) -> None:
    cloud = Cloud()
    machine.cloud = cloud
    machine.start()
    workload, journal, wall = machine.workload, machine.journal, machine.clock.wall()
    workload.release("moves")
    deadline = time.monotonic() + 20.0
    while (ended := workload.released("moves")) is None:
        assert time.monotonic() < deadline
        workload.poll()
        await asyncio.sleep(0.01)
    run = journal.hand_out(
        ended.run, "moves", "vm-1", ended.definition, 1, "boot", 1.0, wall, ended.exit_status
    )
    workload.gone_to("moves", "vm-1")
    cloud.placement = Placement({"moves": "vm-1"})
    await machine.run(70.0, 30)
    (away,) = machine.listener.samples[-1].away
    assert (away.run, away.pid, away.exit_status) == (run, None, None)
    assert away.uptime == pytest.approx(30.0)
    assert away.log == str(machine.config.state_dir / "logs" / f"moves.vm-1.{run}.log")


async def test_what_has_ended_is_shown_so_before_the_next_sample(machine: Machine) -> None:
    machine.start()
    await machine.run(10.0, 1)
    sampled = len(machine.listener.samples)
    for task in machine.workload.tasks:
        assert task.process is not None
        os.killpg(task.process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 20.0
    while any(task.process for task in machine.workload.tasks):
        assert time.monotonic() < deadline
        machine.daemon._poll()
        await asyncio.sleep(0.01)
    assert len(machine.listener.samples) == sampled
    assert machine.daemon.snapshot is machine.listener.states[-1]
    assert {task.phase for task in machine.listener.states[-1].tasks} == {"waiting"}


async def test_a_missing_stretch_of_samples_is_noticed(machine: Machine) -> None:
    machine.start()
    await machine.run(90.0, 9)
    machine.clock.now += 30.0
    await machine.run(90.0, 9)
    assert machine.listener.decisions == []
    assert any("no sample for 31.0 s" in line for line in machine.listener.said)
    assert machine.listener.samples[-1].gaps == 1


async def test_a_journal_that_cannot_be_written_stops_moves_but_not_the_watch(
    machine: Machine,
) -> None:
    cloud = Cloud()
    machine.cloud = cloud
    machine.start()
    machine.journal._db.execute("PRAGMA query_only = ON")
    await machine.run(90.0, 20)
    assert cloud.asked == []
    assert len(machine.listener.samples) >= 18
    assert any("readonly" in line for line in machine.listener.said)
    machine.journal._db.execute("PRAGMA query_only = OFF")
    await machine.run(90.0, 40)
    assert len(cloud.asked) == 1


async def test_a_snapshot_survives_the_wire(machine: Machine) -> None:
    machine.start()
    with pytest.raises(ControlRefusal, match="no sample yet"):
        machine.daemon.status()
    await machine.run(50.0, 1)
    assert from_json(machine.daemon.status()) == machine.daemon.snapshot


@pytest.mark.parametrize("text", ["threshold_low: 90\n" + CONFIG, "nonsense: 1\n" + CONFIG, "- x"])
async def test_a_bad_reload_changes_nothing(machine: Machine, text: str) -> None:
    daemon = machine.start()
    before = [task.process for task in machine.workload.tasks]
    machine.path.write_text(text)
    with pytest.raises(ConfigError):
        load(machine.path)
    daemon._reload()
    await machine.run(90.0, 12)
    (error,) = [line for line in machine.listener.said if "kept as it was" in line]
    assert "kept as it was: " in error
    assert [task.process for task in machine.workload.tasks] == before
    assert len(machine.listener.decisions) == 1


async def test_a_reload_changes_the_thresholds(machine: Machine) -> None:
    daemon = machine.start()
    machine.path.write_text("threshold_high: 95\n" + CONFIG)
    daemon._reload()
    await machine.run(90.0, 60)
    assert machine.listener.decisions == []
    assert machine.listener.samples[-1].threshold_high == 95.0


async def test_what_was_measured_by_other_thresholds_does_not_count_after_a_reload(
    machine: Machine,
) -> None:
    daemon = machine.start()
    await machine.run(80.0, 9)
    machine.path.write_text("threshold_high: 95\n" + CONFIG)
    daemon._reload()
    await machine.run(96.0, 10)
    assert machine.listener.decisions == []
    assert machine.listener.samples[-1].gaps == 0
    await machine.run(96.0, 1)
    assert len(machine.listener.decisions) == 1


async def test_a_shorter_interval_holds_as_soon_as_it_is_read(machine: Machine) -> None:
    machine.path.write_text("interval: 1h\n" + CONFIG)
    machine.config = load(machine.path)
    daemon = machine.start()
    pause = asyncio.create_task(daemon._pause(since=machine.clock.now))
    await asyncio.sleep(0)
    machine.clock.now += 2.0
    machine.path.write_text(CONFIG)
    daemon.ask_to_reload()
    await asyncio.wait_for(pause, 5.0)


async def test_it_ends_although_the_journal_cannot_be_written(machine: Machine) -> None:
    daemon = machine.start()
    daemon.tick()
    machine.journal._db.execute("PRAGMA query_only = ON")
    await asyncio.wait_for(daemon._stop(), 30.0)
    assert not machine.workload.stopping
    assert any("readonly" in line for line in machine.listener.said)
    machine.journal._db.execute("PRAGMA query_only = OFF")


async def test_first_and_last_words_of_a_task_are_shown(machine: Machine) -> None:
    words = "sh -c 'trap \"echo last; exit\" TERM; echo first; while :; do sleep 0.05; done'"
    machine.path.write_text(CONFIG.replace("sleep 600}", f"{words}}}", 1))
    machine.config = load(machine.path)
    daemon = machine.start()
    log = machine.workload.log(machine.config.tasks[1])
    deadline = time.monotonic() + 20.0
    while "first" not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)  # noqa: ASYNC251 - nothing else is to run meanwhile
    daemon.tick()
    assert machine.listener.said.count("[moves] first") == 1
    await daemon._stop()
    assert machine.listener.said.count("[moves] last") == 1
    stopped = next(n for n, said in enumerate(machine.listener.said) if "moves stopped" in said)
    assert machine.listener.said.index("[moves] last") < stopped


async def test_a_fault_in_a_move_leaves_the_next_one_possible(machine: Machine) -> None:
    class Faulty(Cloud):
        async def carry_out(self, action: ScaleOut | ScaleIn, decision: int) -> None:
            self.asked.append(action)
            raise KeyError("moves")

    machine.cloud = cloud = Faulty()
    machine.start()
    await machine.run(90.0, 60)
    assert len(cloud.asked) == 2
    assert any("a fault: KeyError('moves')" in line for line in machine.listener.said)
    assert (
        machine.journal.decisions(2)[1].outcome
        == "failed: the monitor has a fault: KeyError('moves')"
    )


async def test_a_move_that_is_cut_short_is_written_down(machine: Machine) -> None:
    machine.cloud = Cloud()
    daemon = machine.start()
    await machine.run(90.0, 12)
    assert machine.journal.decisions(1)[0].outcome is None
    await daemon._stop()
    assert machine.journal.decisions(1)[0].outcome == "cut short: the monitor ends"


async def test_a_reload_cannot_move_the_state(machine: Machine) -> None:
    daemon = machine.start()
    machine.path.write_text(CONFIG.replace("state_dir: state", "state_dir: elsewhere"))
    daemon._reload()
    assert any("restart of the monitor" in line for line in machine.listener.said)


def test_a_task_has_one_place() -> None:
    placement = Placement().moved(["a", "b"], "vm-1").moved(["a"], "vm-2")
    assert (placement.of("a"), placement.of("b"), placement.of("c")) == ("vm-2", "vm-1", LOCAL)
    assert dict(placement.moved(["a", "b"], LOCAL).away) == {}
