# SPDX-License-Identifier: GPL-3.0-or-later
"""What a monitor makes of the tasks that an earlier one left: none lost, none twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cloudspill_monitor import procfs
from cloudspill_monitor.clock import boot_id
from cloudspill_monitor.local_task import definition

from .conftest import Host, gone, task


def test_tasks_are_adopted_after_a_crash_and_none_runs_twice(host: Host, tmp_path: Path) -> None:
    configs = [task("sleep 60", name=f"t{n}") for n in range(4)]
    host.begin(*configs)
    before = {name: host.pid(name) for name in ("t0", "t1", "t2", "t3")}
    again = host.crash()
    again.begin(*configs)
    assert {name: again.pid(name) for name in before} == before
    assert "t0 goes on as process" in again.said()
    again.stop()
    assert all(gone(pid) for pid in before.values())


def test_the_exit_status_of_a_task_that_ended_unwatched_is_known(host: Host) -> None:
    config = task("sleep 0.2; exit 7", restart="never")
    host.begin(config)
    child = host.task().process
    assert child is not None
    again = host.crash()
    assert child.child is not None
    child.child.wait()  # as init does for an orphan
    again.begin(config)
    again.until(lambda: again.task().phase == "failed")
    assert again.task().exit_status == 7


def test_a_task_that_completed_unwatched_is_not_run_again(host: Host) -> None:
    config = task("exit 0")
    host.begin(config)
    host.until(lambda: host.task().phase == "done")
    again = host.crash()
    again.begin(config)
    again.until(lambda: again.task().phase == "done")
    assert len(again.journal.live_runs()) == 0
    again.journal.end_watch(2e9)
    fresh = again.crash()
    fresh.begin(config)
    assert "t started" in fresh.said()
    fresh.until(lambda: fresh.task().phase == "done")


def test_another_task_under_the_name_of_a_completed_one_is_run(host: Host) -> None:
    host.begin(task("exit 0"))
    host.until(lambda: host.task().phase == "done")
    again = host.crash()
    again.begin(task("sleep 60"))
    assert "t started" in again.said()
    again.stop()


def test_a_task_that_always_restarts_does_so_after_a_crash(host: Host) -> None:
    config = task("exit 0", restart="always")
    host.begin(config)
    host.until(lambda: host.task().phase == "waiting")
    again = host.crash()
    again.begin(config)
    assert "t started" in again.said()
    again.until(lambda: again.task().phase == "waiting")


def test_a_task_that_was_removed_and_ended_unwatched_is_forgotten(host: Host) -> None:
    host.begin(task("exit 1", name="old"))
    process = host.task("old").process
    assert process is not None
    again = host.crash()
    assert process.child is not None
    process.child.wait()
    again.begin(task("sleep 60", name="new"))
    again.events += again.workload.poll()
    assert [t.config.name for t in again.workload.tasks] == ["new"]
    again.stop()


def test_a_survivor_that_is_not_configured_is_ended(host: Host) -> None:
    host.begin(task("sleep 60", name="old"))
    pid = host.pid("old")
    again = host.crash()
    again.begin(task("sleep 60", name="new"))
    again.until(lambda: gone(pid) and not again.workload.stopping)
    assert [t.config.name for t in again.workload.tasks] == ["new"]
    again.stop()


def test_a_survivor_that_was_started_differently_is_restarted(host: Host) -> None:
    host.begin(task("sleep 60"))
    old = host.pid()
    again = host.crash()
    again.begin(task("sleep 61"))
    again.until(lambda: again.task().phase == "running" and again.pid() != old)
    assert gone(old)
    again.stop()


def test_a_process_id_that_was_used_again_is_not_touched(
    host: Host, spawn: Callable[..., int]
) -> None:
    stranger = spawn(["sleep", "60"])
    run = host.journal.begin_run("t", "local", "{}", boot_id(), 1.0, 1e9)
    host.journal.record_process(run, stranger, start_ticks=1)
    config = task("sleep 60")
    host.begin(config)
    host.until(lambda: host.task().process is None)
    assert not gone(stranger)
    assert host.journal.live_runs() == []


def test_runs_of_an_earlier_boot_are_over(host: Host, spawn: Callable[..., int]) -> None:
    stranger = spawn(["sleep", "60"])
    stat = procfs.read_stat(stranger)
    assert stat is not None
    run = host.journal.begin_run("t", "local", "{}", "an earlier boot", 1.0, 1e9)
    host.journal.record_process(run, stranger, stat.start_ticks)
    host.begin(task("sleep 60"))
    assert host.pid() != stranger
    assert not gone(stranger)
    assert "ended when the machine was restarted" in host.said()
    host.stop()


def test_a_monitor_that_dies_before_the_word_leaves_nothing_running(host: Host) -> None:
    host.journal.begin_run("t", "local", "{}", boot_id(), 1.0, 1e9)
    again = host.crash()
    again.begin(task("sleep 60"))
    assert "t was never started" in again.said()
    assert len(again.journal.live_runs()) == 1
    again.stop()


AWAY = "sleep 60"


def hand_out(host: Host, name: str = "t") -> int:
    process = host.task(name).process
    assert process is not None
    host.journal.mark_stopping(process.run, 1)
    host.workload.release(name)
    host.until(lambda: host.workload.released(name) is not None)
    return host.journal.hand_out(
        process.run, name, "burst-1", definition(task(AWAY)), 1, "boot", 1.0, 1e9, 143
    )


def test_a_task_that_is_at_a_vm_stays_there(host: Host) -> None:
    host.begin(task(AWAY))
    run = hand_out(host)
    with host.journal.transaction() as db:
        db.execute("UPDATE runs SET boot_id = 'an earlier boot'")  # VMs outlive ours
    again = host.crash()
    again.begin(task(AWAY))
    again.events += again.workload.poll()
    assert (again.task().phase, again.task().place) == ("away", "burst-1")
    assert again.workload.unwanted_away() == ()
    assert [live.run for live in again.journal.live_runs()] == [run]


def test_a_task_at_a_vm_that_was_changed_or_removed_is_to_come_home(host: Host) -> None:
    host.begin(task(AWAY))
    hand_out(host)
    again = host.crash()
    again.begin(task("sleep 61"))
    assert again.workload.unwanted_away() == ("t",)
    last = again.crash()
    last.begin(task("sleep 60", name="other"))
    last.events += last.workload.poll()
    assert last.workload.unwanted_away() == ("t",)
    last.stop()


@pytest.mark.parametrize("signalled", [True, False])
def test_a_task_that_was_about_to_move_goes_on_here(host: Host, signalled: bool) -> None:
    config = task("trap 'exit 0' TERM; echo ready; while :; do sleep 0.02; done")
    host.begin(config)
    host.until(lambda: host.workload.log(config).read_text().endswith("ready\n"))
    old, process = host.pid(), host.task().process
    assert process is not None
    host.journal.mark_stopping(process.run, 1)
    if signalled:
        host.workload.release("t")
    again = host.crash()
    again.begin(config)
    again.until(lambda: again.task().phase == "running" and again.pid() != old)
    assert gone(old)
    assert [live.place for live in again.journal.live_runs()] == ["local"]
    assert len(again.journal.last_runs()) == 1
    again.stop()


def test_a_task_that_had_stopped_to_move_is_started_again(host: Host) -> None:
    config = task("trap 'exit 0' TERM; echo ready; while :; do sleep 0.02; done")
    host.begin(config)
    host.until(lambda: host.workload.log(config).read_text().endswith("ready\n"))
    process = host.task().process
    assert process is not None
    host.journal.mark_stopping(process.run, 1)
    host.workload.release("t")
    host.until(lambda: host.workload.released("t") is not None)
    again = host.crash()
    assert process.child is not None
    again.begin(config)
    again.until(lambda: again.task().phase == "running")
    assert again.journal.rows("SELECT outcome FROM runs ORDER BY run") == [("stopped",), (None,)]
    again.stop()


def test_a_monitor_that_is_killed_while_it_ends_leaves_no_task_for_done(host: Host) -> None:
    config = task("trap 'exit 0' TERM; echo ready; while :; do sleep 0.02; done")
    host.begin(config)
    host.until(lambda: host.workload.log(config).read_text().endswith("ready\n"))
    process = host.task().process
    assert process is not None
    host.workload.stop_all()
    again = host.crash()
    assert process.child is not None
    process.child.wait()  # with status 0
    again.begin(config)
    again.until(lambda: again.task().phase == "running")
    again.stop()


def test_a_task_that_failed_for_good_is_not_run_again_after_a_crash(host: Host) -> None:
    config = task("exit 3", restart="never")
    host.begin(config)
    host.until(lambda: host.task().phase == "failed")
    again = host.crash()
    again.begin(config)
    again.events += again.workload.poll()
    assert (again.task().phase, again.task().exit_status) == ("failed", 3)
    assert again.journal.live_runs() == []
