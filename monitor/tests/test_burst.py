# SPDX-License-Identifier: GPL-3.0-or-later
"""VMs and runs when things go wrong between them: nothing is lost, doubled, or left to bill."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cloudspill_monitor.burst import fleet
from cloudspill_monitor.burst.failures import FailureKind
from cloudspill_monitor.burst.link_error import LinkError
from cloudspill_monitor.burst.playbooks import PlayError
from cloudspill_monitor.config import BurstConfig
from cloudspill_monitor.control import ControlRefusal
from cloudspill_monitor.executor import MoveError
from cloudspill_monitor.journal import JournalError
from cloudspill_monitor.policy_types import LOCAL, ScaleIn, ScaleOut

from .burst_stage import Stage
from .conftest import FakeClock, Host


@pytest.fixture
async def stage(
    host: Host, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stage]:
    monkeypatch.setattr(fleet, "_TEND_EVERY", 0.02)
    made = Stage(host, clock)
    await made.begin()
    yield made
    await made.executor._fleet.stop()
    host.stop()


async def test_of_two_arrivals_of_a_task_the_later_one_does_nothing(stage: Stage) -> None:
    vm = stage.vm()
    homecoming = stage.executor._settling.homecoming
    run = await stage.send(vm)
    older, said_then = stage.archive(3)
    newer, said = stage.archive(7)
    await homecoming.arrive(run, said, newer)
    await stage.until(lambda: stage.host.task().phase == "running")
    await homecoming.arrive(run, said_then, older)
    await homecoming.keep(run, stage.archive(4)[0])
    await homecoming.without_word(run)
    assert not stage.waiting()  # it would take the place of what the task does now
    assert stage.at_home() == "7"
    assert stage.host.task().phase == "running"
    assert [live.place for live in stage.host.journal.live_runs()] == [LOCAL]


async def test_a_checkpoint_that_is_fetched_while_its_task_comes_home_is_dropped(
    stage: Stage,
) -> None:
    vm = stage.vm()
    run = await stage.send(vm)
    stage.progress.write_text("5")
    stage.links[vm.name].pulling.clear()
    stage.tick(vm, run.run, "stopped")
    await stage.until(lambda: f"pull {run.run}" in stage.links[vm.name].asked)
    archive, said = stage.archive(5)
    await stage.executor._settling.homecoming.arrive(run, said, archive)  # the play was faster
    await stage.until(lambda: stage.host.task().phase == "running")
    (stage.host.directory / "home" / "progress").write_text("9")
    stage.links[vm.name].pulling.set()
    await stage.until(lambda: f"release {run.run}" in stage.links[vm.name].asked)
    assert not stage.waiting()
    assert stage.at_home() == "9"


async def test_a_run_is_released_only_after_the_end_of_its_log_is_home(stage: Stage) -> None:
    vm = stage.vm()
    run = await stage.send(vm)
    link = stage.links[vm.name]
    link.log.clear()
    stage.progress.write_text("5")
    stage.tick(vm, run.run, "stopped")
    await stage.until(lambda: stage.host.task().phase == "running")
    looks = len(stage.listener.said) + 10
    for _ in range(looks):
        vm.changed.set()
        await asyncio.sleep(0.01)
    assert f"release {run.run}" not in link.asked
    link.log.set()
    await stage.until(lambda: f"release {run.run}" in link.asked)


async def test_a_run_whose_release_was_lost_is_released_with_its_log(stage: Stage) -> None:
    vm = stage.vm()
    run = await stage.send(vm)
    link = stage.links[vm.name]
    link.failing["release"] = LinkError("lost", "the connection broke")
    stage.progress.write_text("5")
    stage.tick(vm, run.run, "stopped")
    await stage.until(lambda: f"release {run.run}" in link.asked)
    link.failing.clear()
    link.asked.clear()
    await stage.until(lambda: f"release {run.run}" in link.asked)
    assert link.asked.index(f"follow {run.run}") < link.asked.index(f"release {run.run}")


@pytest.mark.parametrize("kind", ["no-space", "timeout", "corrupt", "disk-full-here"])
async def test_a_checkpoint_that_cannot_be_had_leaves_its_task_running_at_the_vm(
    stage: Stage, kind: str
) -> None:
    vm = stage.vm()
    run = await stage.send(vm)
    link = stage.links[vm.name]
    link.failing["pull"] = LinkError(kind, "it cannot be had")
    stage.tick(vm, run.run, "stopped")
    await stage.until(lambda: f"resume {run.run}" in link.asked)
    for _ in range(10):
        vm.changed.set()
        await asyncio.sleep(0.01)
    assert link.asked.count(f"pull {run.run}") == 1  # not again at once
    link.failing.clear()
    stage.progress.write_text("5")
    stage.clock.now += 10.0
    await stage.until(lambda: stage.host.task().phase == "running")


async def test_a_stop_that_the_journal_cannot_take_leaves_the_task_running_at_the_vm(
    stage: Stage,
) -> None:
    vm = stage.vm()
    run = await stage.send(vm)
    stage.progress.write_text("5")
    with stage.full_disk():
        stage.tick(vm, run.run, "stopped")
        await stage.until(lambda: f"resume {run.run}" in stage.links[vm.name].asked)


async def test_a_vm_that_is_killing_its_tasks_is_not_taken_for_one_that_has(stage: Stage) -> None:
    vm = stage.vm()
    run = await stage.send(vm)
    stage.tick(vm, run.run, "running", fenced=True)
    assert not vm.state.lease_over
    stage.tick(vm, run.run, "stopped", fenced=True)
    assert vm.state.lease_over


async def test_a_task_goes_on_here_if_nobody_knows_how_it_ended_there(stage: Stage) -> None:
    vm = stage.vm()
    run = await stage.send(vm)
    archive, said = stage.archive(5)
    stage.host.task().config = stage.task().model_copy(update={"restart": "never"})
    rebooted = {**said, "state": "ended", "exit_status": None}
    await stage.executor._settling.homecoming.arrive(run, rebooted, archive)
    await stage.until(lambda: stage.host.task().phase == "running")


async def test_a_full_disk_ends_neither_the_watch_over_vms_nor_their_deletion(
    stage: Stage,
) -> None:
    vm = stage.vm()
    await stage.until(lambda: vm.idle_since is not None)
    with stage.full_disk():
        stage.clock.now += 700.0
        await stage.until(lambda: any("readonly" in said for said in stage.listener.said))
        for _ in range(10):
            vm.changed.set()
            await asyncio.sleep(0.01)
    stage.clock.now += 700.0
    await stage.until(lambda: stage.host.journal.vms() == [])
    assert ("scale_in", [vm.name]) in stage.plays
    await stage.until(lambda: stage.links[vm.name].stopped)


async def test_a_deletion_that_cannot_be_written_down_is_tried_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> int:
        raise JournalError("the disk is full")

    vm = stage.vm()
    with monkeypatch.context() as patch:
        patch.setattr(stage.host.journal, "begin_move", full)
        stage.executor._fleet.doom(vm)
        await stage.until(lambda: any("disk is full" in said for said in stage.listener.said))
    stage.clock.now += 100.0
    await stage.until(lambda: stage.host.journal.vms() == [])


async def test_a_vm_that_a_full_disk_kept_from_being_made_bars_no_other(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_move = stage.host.journal.begin_move

    def full(*args: Any) -> int:
        stage.host.journal._db.execute("PRAGMA query_only = ON")
        return begin_move(*args)

    with monkeypatch.context() as patch:
        patch.setattr(stage.host.journal, "begin_move", full)
        with pytest.raises(MoveError, match="readonly"):
            await stage.executor.carry_out(ScaleOut(("t",), "why"))
    stage.host.journal._db.execute("PRAGMA query_only = OFF")
    with pytest.raises(MoveError, match="did not get there"):
        await stage.executor.carry_out(ScaleOut(("t",), "why"))
    assert stage.plays[-1][0] == "scale_out"


async def test_a_task_that_was_removed_while_its_move_waited_is_left_out(stage: Stage) -> None:
    stage.host.workload.apply(())
    stage.host.until(lambda: stage.host.workload.task("t") is None)
    await stage.executor.carry_out(ScaleOut(("t",), "why"))
    await stage.executor.carry_out(ScaleIn(("t",), "why"))
    assert stage.plays == []


async def test_a_vm_is_made_with_what_it_was_planned_with(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    share, leases = stage.executor._share, []

    async def reloaded(*given: Any) -> Any:
        burst = BurstConfig(lease=300.0)
        stage.executor.configure(stage.config.model_copy(update={"burst": burst}))
        return await share(*given)

    async def run(_: str, __: int, variables: dict[str, Any], timeout: float) -> None:  # noqa: ASYNC109
        leases.append(variables["burst_vm_lease"])

    monkeypatch.setattr(stage.executor, "_share", reloaded)
    monkeypatch.setattr(stage, "run", run)
    with pytest.raises(MoveError):
        await stage.executor.carry_out(ScaleOut(("t",), "why"))
    assert leases[0] == stage.host.journal.vms()[0].lease == 120.0


async def test_what_a_failed_play_left_comes_home_before_its_vm_goes(stage: Stage) -> None:
    vm = stage.vm()
    run = await stage.send(vm)
    link = stage.links[vm.name]
    link.on_stop = lambda: stage.tick(vm, run.run, "stopped")
    link.pulling.clear()
    stage.progress.write_text("5")
    stage.play_fails = PlayError(FailureKind.PLAYBOOK, "another task cannot come home")
    stage.host.workload.stop_all()
    closing = asyncio.create_task(stage.executor.close(hurry=False))
    await stage.until(lambda: f"pull {run.run}" in link.asked)
    await asyncio.wait([closing], timeout=0.3)
    assert len(stage.plays) <= 1  # not yet the one that only deletes
    link.pulling.set()
    with pytest.raises(MoveError):
        await closing
    await stage.until(lambda: stage.host.workload.task("t") is None)
    assert (len(stage.plays), stage.at_home()) == (2, "5")


async def test_a_vm_whose_play_has_not_begun_is_forgotten(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unpacked(*_: Any) -> None:
        raise MoveError("the files of t cannot be packed")

    monkeypatch.setattr(stage.executor, "_share", unpacked)
    with pytest.raises(MoveError, match="cannot be packed"):
        await stage.executor.carry_out(ScaleOut(("t",), "why"))
    assert (stage.host.journal.vms(), stage.plays) == ([], [])


@pytest.mark.parametrize("asked", [True, False])
async def test_a_vm_that_nobody_asked_for_is_forgotten(stage: Stage, asked: bool) -> None:
    stage.play_fails = PlayError(FailureKind.PLAYBOOK, "there is no such account", asked=asked)
    with pytest.raises(MoveError):
        await stage.executor.carry_out(ScaleOut(("t",), "why"))
    (name,) = stage.plays[0][1]
    await stage.until(lambda: ("scale_in", [name]) in stage.plays or not asked)
    assert (stage.host.journal.vms() == []) is not asked


async def test_news_of_a_vm_at_the_end_do_not_hold_it_up(stage: Stage) -> None:
    vm = stage.vm()
    await asyncio.sleep(0.05)
    vm.changed.set()
    await asyncio.sleep(0)
    await asyncio.wait_for(stage.executor._fleet.stop(), 5.0)


async def test_an_idle_vm_goes_although_plays_are_made_meanwhile(stage: Stage) -> None:
    vm = stage.vm()
    await stage.until(lambda: vm.idle_since is not None)
    for _ in range(3):
        async with stage.executor._plays:
            stage.clock.now += 250.0
            vm.changed.set()
            await asyncio.sleep(0.05)
        vm.changed.set()
        await asyncio.sleep(0.05)
    await stage.until(lambda: stage.host.journal.vms() == [])


async def test_a_play_is_told_that_the_journal_cannot_be_written(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals: list[str] = []

    async def run(_: str, move: int, variables: dict[str, Any], timeout: float) -> None:  # noqa: ASYNC109
        vm = variables["burst_vms"][0]["name"]
        facts = {"zone": "z", "machine_type": "m", "spot": False, "instance_id": "1"}
        asked = {"move": move, "vm": vm, "ssh_command": ["ssh"], **facts}
        with stage.full_disk():
            try:
                await stage.executor.handlers()["vm_ready"](asked)  # type: ignore[misc]
            except ControlRefusal as refusal:
                refusals.append(refusal.kind)

    monkeypatch.setattr(stage, "run", run)
    with pytest.raises(MoveError):
        await stage.executor.carry_out(ScaleOut(("t",), "why"))
    assert refusals == ["disk-full-here"]


@pytest.mark.parametrize("why", ["closing", "idle"])
async def test_the_end_of_a_stream_to_a_vm_that_is_being_deleted_is_not_told(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    vm = stage.vm()

    async def run(*_: object) -> None:
        vm.on_lost("ssh ended with status 0")

    monkeypatch.setattr(stage, "run", run)
    if why == "closing":
        await stage.executor.close(hurry=False)
    else:
        await stage.until(lambda: vm.idle_since is not None)
        stage.clock.now += 1000.0
        vm.changed.set()
        await stage.until(lambda: stage.host.journal.vms() == [])
    assert f"{vm.name} is deleted" in stage.listener.said
    assert not any("does not answer" in line for line in stage.listener.said)


async def test_a_vm_that_is_lost_before_it_may_be_deleted_is_told(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm = stage.vm()
    vm.on_lost("ssh ended with status 255")
    assert stage.listener.said[-1] == f"{vm.name} does not answer: ssh ended with status 255"
    await stage.send(vm)

    async def run(*_: object) -> None:
        vm.on_lost("it has not ticked for 5 s")
        raise PlayError(FailureKind.PLAYBOOK, "t is not reached")

    monkeypatch.setattr(stage, "run", run)
    with pytest.raises(MoveError, match="t is not reached"):
        await stage.executor.close(hurry=False)
    assert f"{vm.name} does not answer: it has not ticked for 5 s" in stage.listener.said
