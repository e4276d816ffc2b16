# SPDX-License-Identifier: GPL-3.0-or-later
"""Local tasks as real processes: started, adopted, restarted, stopped, and never two of one."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from cloudspill_monitor import task_process
from cloudspill_monitor.clock import boot_id
from cloudspill_monitor.journal import JournalError
from cloudspill_monitor.task_logs import LogTail
from cloudspill_monitor.workload import Workload

from .conftest import FakeClock, Host, gone, task


def test_output_goes_to_the_tasks_log(host: Host) -> None:
    config = task("echo out; echo err >&2; exec sleep 60")
    tail = LogTail(host.workload.log(config))
    host.begin(config)
    host.until(lambda: host.workload.log(config).read_text().count("\n") == 2)
    assert tail.lines() == ["out", "err"]
    host.stop()


def test_environment_and_directory_are_the_tasks_own(host: Host, tmp_path: Path) -> None:
    config = task('pwd; echo "$COLOUR $CLOUDSPILL_TASK"', env={"COLOUR": "blue"}, cwd=tmp_path)
    host.begin(config)
    host.until(lambda: host.task().phase == "done")
    assert host.workload.log(config).read_text() == f"{tmp_path}\nblue t\n"


def test_a_stopped_task_leaves_no_process(host: Host) -> None:
    host.begin(task("sleep 60 & sleep 60 & wait"))
    pid = host.pid()
    host.until(lambda: len(host.task().members) == 4)
    host.stop()
    assert gone(pid)
    assert host.journal.last_runs()["t"].outcome == "stopped"


def test_a_log_holds_what_the_task_wrote_and_nothing_else(host: Host) -> None:
    config = task("echo mine >&2; sleep 60")
    host.begin(config)
    host.until(lambda: host.workload.log(config).read_text() == "mine\n")
    host.stop()
    assert host.workload.log(config).read_text() == "mine\n"


def test_a_task_that_ignores_the_signal_is_killed_after_its_grace(
    host: Host, clock: FakeClock
) -> None:
    config = task("trap '' TERM; echo ready; while :; do sleep 60; done", stop_grace=7)
    host.begin(config)
    host.until(lambda: host.workload.log(config).read_text() == "ready\n")
    pid = host.pid()
    host.workload.stop_all()
    clock.now += 6.9
    host.events += host.workload.poll()
    assert not gone(pid)
    clock.now += 0.2
    host.until(lambda: not host.workload.stopping)
    assert gone(pid)


def test_a_task_that_has_hardly_begun_can_be_stopped(host: Host) -> None:
    for _ in range(20):
        host.begin(task("exec sleep 60"))
        host.stop()
        host.journal.end_watch(2e9)
        host.workload = Workload(host.journal, host.clock, host.directory, boot_id())


def test_the_stop_signal_is_the_configured_one(host: Host) -> None:
    config = task(
        "trap 'echo saw USR1; exit 0' USR1; echo ready; while :; do sleep 0.05; done",
        stop_signal="USR1",
    )
    host.begin(config)
    host.until(lambda: host.workload.log(config).read_text() == "ready\n")
    host.stop()
    assert host.workload.log(config).read_text().endswith("saw USR1\n")


@pytest.mark.parametrize(
    ("script", "status", "words"),
    [("exit 3", 3, "exited with status 3"), ("kill -SEGV $$", 139, "was ended by SIGSEGV")],
)
def test_an_exit_status_is_kept(host: Host, script: str, status: int, words: str) -> None:
    host.begin(task(script, restart="never"))
    host.until(lambda: host.task().phase == "failed")
    last = host.journal.last_runs()["t"]
    assert (last.exit_status, last.outcome) == (status, "failed")
    assert words in host.said()


def test_a_task_that_dies_at_once_is_restarted_later_each_time(
    host: Host, clock: FakeClock
) -> None:
    host.begin(task("exit 1"))
    delays = []
    for _ in range(9):
        host.until(lambda: host.task().process is None)
        delays.append(host.task().start_at - clock.now)
        clock.now = host.task().start_at - 0.01
        assert host.workload.poll() == []
        clock.now += 0.01
        host.events += host.workload.poll()
    assert delays == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert "9 times in a row" in host.said()
    assert str(host.workload.log(host.task().config)) in host.said()


def test_a_run_that_lasted_starts_the_delays_afresh(host: Host, clock: FakeClock) -> None:
    host.begin(task("exec sleep 60"))
    host.until(lambda: len(host.task().members) == 2)
    host.task().failures = 5
    clock.now += 61.0
    os.kill(host.task().members[1].pid, signal.SIGKILL)
    host.until(lambda: host.task().process is None)
    assert host.task().start_at - clock.now == 1.0


@pytest.mark.parametrize(
    ("restart", "script", "phase"),
    [
        ("on-failure", "exit 0", "done"),
        ("never", "exit 1", "failed"),
        ("always", "exit 0", "waiting"),
        ("on-failure", "exit 1", "waiting"),
    ],
)
def test_restart_is_as_configured(host: Host, restart: str, script: str, phase: str) -> None:
    host.begin(task(script, restart=restart))
    host.until(lambda: host.task().process is None)
    assert host.task().phase == phase


def test_what_a_dead_task_leaves_behind_goes_too(host: Host) -> None:
    host.begin(task("sleep 60 & exit 0"))
    pid = host.pid()
    host.until(lambda: host.task().phase == "done" and gone(pid))


def test_a_success_is_no_failure_however_often(host: Host, clock: FakeClock) -> None:
    host.begin(task("exit 0", restart="always"))
    for _ in range(3):
        host.until(lambda: host.task().process is None)
        assert host.task().start_at - clock.now == 1.0
        clock.now += 1.0
        host.events += host.workload.poll()
    assert not any(event.failure for event in host.events)


def test_a_task_that_the_journal_could_not_take_is_started_later(
    host: Host, clock: FakeClock
) -> None:
    def full(*_: int) -> None:
        raise JournalError("the disk is full")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host.journal, "record_process", full)
        host.begin(task("sleep 60"))
    assert "t cannot be started: the disk is full" in host.said()
    clock.now += 1.0
    host.until(lambda: host.task().phase == "running")
    assert len(host.journal.live_runs()) == 1
    host.stop()


def test_one_task_that_cannot_be_written_down_does_not_keep_the_others(
    host: Host, clock: FakeClock
) -> None:
    stubborn = "trap '' TERM; echo ready; while :; do sleep 60; done"
    host.begin(task("sleep 60", name="first"), task(stubborn, name="second"))
    pids = host.pid("first"), host.pid("second")
    log = host.workload.log(host.task("second").config)
    host.until(lambda: log.read_text() == "ready\n")
    host.journal._db.execute("PRAGMA query_only = ON")
    host.workload.stop_all()
    clock.now += 60.0
    host.until(lambda: not host.workload.stopping)
    assert all(gone(pid) for pid in pids)
    assert host.said().count("cannot be kept") == 1
    host.journal._db.execute("PRAGMA query_only = OFF")
    host.events += host.workload.poll()
    assert host.journal.live_runs() == []


def test_an_exit_status_is_known_although_it_cannot_be_written(host: Host) -> None:
    host.begin(task("sleep 0.2; exit 0"))
    shutil.rmtree(host.directory / "exits")
    host.until(lambda: host.task().phase == "done")


def test_a_task_never_runs_before_the_journal_knows_its_process(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    pids: list[int] = []

    def fail(pid: int, _: int) -> None:
        pids.append(pid)
        time.sleep(0.3)  # a task that did not wait would have run by now
        raise JournalError("the disk is full")

    with pytest.raises(JournalError):
        task_process.start(task(f"touch {ran}"), 1, tmp_path / "log", tmp_path / "exit", fail)
    assert gone(pids[0])
    assert not ran.exists()


def test_a_reload_leaves_unchanged_tasks_alone(host: Host) -> None:
    stays, goes = task("sleep 60", name="stays"), task("sleep 60", name="goes")
    host.begin(stays, goes)
    kept, ended = host.pid("stays"), host.pid("goes")
    host.workload.apply((stays.model_copy(update={"movable": False}), task("sleep 60", name="new")))
    host.until(lambda: gone(ended) and not host.workload.stopping)
    assert host.pid("stays") == kept
    assert not host.task("stays").config.movable
    host.until(lambda: host.task("new").phase == "running")
    assert [t.config.name for t in host.workload.tasks] == ["stays", "new"]
    host.stop()


def test_a_task_that_is_removed_and_put_back_runs_once(host: Host) -> None:
    config = task("sleep 60")
    host.begin(config)
    old = host.pid()
    host.workload.apply((task("sleep 60", name="other"),))
    host.workload.apply((config,))
    host.until(lambda: host.task().phase == "running" and host.pid() != old)
    assert gone(old)
    assert len([r for r in host.journal.live_runs() if r.task == "t"]) == 1
    host.stop()


def test_a_log_that_is_truncated_is_followed_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    tail = LogTail(path)
    assert tail.lines() == []
    with path.open("a") as log:
        log.write("one\ntw")
    assert tail.lines() == ["one"]
    with path.open("a") as log:
        log.write("o\r\n\xff\n")
    assert tail.lines() == ["two", "ÿ"]
    path.write_text("anew\n")
    assert tail.lines() == ["anew"]
