# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks that are let go and taken back: not lost, not twice, not without their checkpoint."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from cloudspill_monitor.checkpoints import pack
from cloudspill_monitor.config import TaskConfig
from cloudspill_monitor.journal import JournalError
from cloudspill_monitor.policy_types import LOCAL
from cloudspill_monitor.workload import Ended, NotReleasedError

from .conftest import FakeClock, Host, gone, task

VM = "burst-1"
POLITE = "trap 'exit 0' TERM; while :; do sleep 0.02; done"


def stop_for_move(host: Host, name: str = "t") -> Ended:
    host.workload.release(name)
    host.until(lambda: host.workload.released(name) is not None)
    ended = host.workload.released(name)
    assert ended is not None
    return ended


def send(host: Host, name: str = "t") -> int:
    """What the hand-over does, in its order; returns the run at the VM."""
    process = host.task(name).process
    if process is not None:
        host.journal.mark_stopping(process.run, 1)
    ended = stop_for_move(host, name)
    run = host.journal.hand_out(
        ended.run, name, VM, ended.definition, 1, "boot", 1.0, 1e9, ended.exit_status
    )
    host.workload.gone_to(name, VM)
    return run


def fetch(host: Host, run: int, name: str = "t") -> None:
    host.journal.hand_back(run, 2e9, None, "came home")
    host.workload.take_back(name)


def polls(host: Host, clock: FakeClock, number: int = 10) -> None:
    for _ in range(number):
        clock.now += 60.0
        host.events += host.workload.poll()


def test_a_task_that_is_away_has_no_process_and_is_not_started(
    host: Host, clock: FakeClock
) -> None:
    host.begin(task(POLITE), task("sleep 60", name="stays"))
    pid, local = host.pid(), host.journal.live_runs()[0].run
    run = send(host)
    assert gone(pid)
    polls(host, clock)
    assert (host.task().phase, host.task().place, host.task().process) == ("away", VM, None)
    assert {live.task: live.place for live in host.journal.live_runs()} == {
        "t": VM,
        "stays": LOCAL,
    }
    assert run > local
    assert [file.name for file in (host.directory / "exits").iterdir()] == []
    host.stop()
    assert [live.run for live in host.journal.live_runs()] == [run]


def test_a_run_does_not_end_in_the_journal_before_it_is_handed_out(
    host: Host, clock: FakeClock
) -> None:
    host.begin(task("trap 'exit 7' TERM; echo ready; while :; do sleep 0.02; done"))
    log = host.workload.log(host.task().config)
    host.until(lambda: log.read_text() == "ready\n")
    run = host.journal.live_runs()[0].run
    ended = stop_for_move(host)
    polls(host, clock)
    assert (ended.run, ended.exit_status) == (run, 7)
    assert host.workload.released("t") == ended
    assert [live.run for live in host.journal.live_runs()] == [run]
    assert host.task().place == LOCAL


@pytest.mark.parametrize("stopped", [True, False])
def test_a_release_that_is_called_off_starts_the_task_again(host: Host, stopped: bool) -> None:
    host.begin(task(POLITE))
    pid = host.pid()
    if stopped:
        stop_for_move(host)
    else:
        host.workload.release("t")
    host.workload.cancel_release("t")
    host.until(lambda: host.task().phase == "running" and host.pid() != pid)
    assert gone(pid)
    assert len(host.journal.live_runs()) == 1
    outcomes = host.journal.rows("SELECT outcome FROM runs ORDER BY run")
    assert outcomes == [("stopped",), (None,)]
    pid = host.pid()
    stop_for_move(host)
    assert gone(pid)
    host.workload.cancel_release("t")
    host.stop()


def test_a_stubborn_task_is_killed_after_its_grace_and_can_go(host: Host, clock: FakeClock) -> None:
    host.begin(task("trap '' TERM; echo ready; while :; do sleep 60; done", stop_grace=7))
    log = host.workload.log(host.task().config)
    host.until(lambda: log.read_text() == "ready\n")
    pid = host.pid()
    host.workload.release("t")
    host.events += host.workload.poll()
    assert host.workload.released("t") is None
    clock.now += 7.1
    host.until(lambda: host.workload.released("t") is not None)
    assert gone(pid)


def test_a_task_that_ends_by_itself_has_ended_and_does_not_go(host: Host) -> None:
    host.begin(task("exit 0"))
    process = host.task().process
    assert process is not None
    deadline = time.monotonic() + 20.0
    while process.members([process.pid]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    host.workload.release("t")
    host.until(lambda: host.task().phase == "done")
    with pytest.raises(NotReleasedError, match="ended by itself"):
        host.workload.released("t")
    with pytest.raises(NotReleasedError, match="does not run here"):
        host.workload.release("t")
    assert host.journal.last_runs()["t"].outcome == "completed"


def test_a_task_that_waits_to_be_started_can_go(host: Host, clock: FakeClock) -> None:
    host.begin(task("exit 1"))
    host.until(lambda: host.task().phase == "waiting")
    assert stop_for_move(host).run is None
    run = send(host)
    polls(host, clock)
    assert [live.run for live in host.journal.live_runs()] == [run]
    assert host.task().phase == "away"


def test_what_is_not_wanted_here_any_more_does_not_go(host: Host) -> None:
    host.begin(task(POLITE), task("sleep 60", name="other"))
    host.workload.apply((task("sleep 60", name="other"),))
    with pytest.raises(NotReleasedError):
        host.workload.release("t")
    host.workload.release("other")
    host.workload.apply((task("sleep 61", name="other"),))  # changed while it stops
    with pytest.raises(NotReleasedError, match="was changed"):
        host.workload.released("other")
    host.until(lambda: [t.phase for t in host.workload.tasks] == ["running"])
    host.stop()


def counting(directory: Path) -> TaskConfig:
    script = "cat progress; trap 'exit 0' TERM; while :; do sleep 0.02; done"
    return task(script, cwd=directory, checkpoint_paths=["progress"])


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    (tmp_path / "cwd").mkdir()
    (tmp_path / "cwd" / "progress").write_text("first\n")
    return tmp_path / "cwd"


def bring(host: Host, text: str) -> None:
    """A checkpoint with `text` in it comes home."""
    folder = host.directory / "vm"
    folder.mkdir(exist_ok=True)
    (folder / "progress").write_text(text)
    packed = pack(folder, (Path("progress"),), host.directory / "came.tar")
    host.workload.waiting.receive("t", host.directory / "came.tar", packed.sha256)


def test_a_task_goes_on_at_home_from_the_checkpoint_that_came(host: Host, cwd: Path) -> None:
    config = counting(cwd)
    host.begin(config)
    pid = host.pid()
    host.until(lambda: host.workload.log(config).read_text() == "first\n")
    run = send(host)
    bring(host, "second\n")
    assert (cwd / "progress").read_text() == "first\n"
    fetch(host, run)
    host.until(lambda: host.task().phase == "running" and host.pid() != pid)
    host.until(lambda: host.workload.log(config).read_text().endswith("second\n"))
    assert host.task().place == LOCAL
    assert not host.workload.waiting.path("t").exists()
    host.stop()


def test_a_task_is_never_started_without_its_checkpoint(
    host: Host, clock: FakeClock, cwd: Path
) -> None:
    host.begin(counting(cwd))
    run = send(host)
    bring(host, "second\n")
    (cwd / "progress").unlink()
    (cwd / "progress").mkdir()  # it cannot be replaced
    fetch(host, run)
    delays = []
    for _ in range(3):
        host.until(lambda: host.task().start_at > clock.now)
        delays.append(host.task().start_at - clock.now)
        with pytest.raises(NotReleasedError, match="checkpoint, which is not installed"):
            host.workload.release("t")
        clock.now = host.task().start_at
    assert delays == [1.0, 2.0, 4.0]
    assert host.journal.live_runs() == []
    assert host.said().count("cannot be installed") == 3
    (cwd / "progress").rmdir()
    host.until(lambda: host.task().phase == "running")
    assert (cwd / "progress").read_text() == "second\n"
    host.stop()


def test_a_checkpoint_that_takes_its_time_holds_nothing_up(host: Host, cwd: Path) -> None:
    host.begin(counting(cwd))
    run = send(host)
    bring(host, "second\n")
    with host.workload.waiting._changing:  # as a large one would
        fetch(host, run)
        for _ in range(3):
            host.events += host.workload.poll()
        assert (host.task().phase, host.workload.busy) == ("waiting", True)
        assert host.journal.live_runs() == []
    host.until(lambda: host.task().phase == "running")
    assert not host.workload.busy
    host.stop()


@pytest.mark.parametrize(
    ("restart", "status", "phase"),
    [
        ("on-failure", 0, "done"),
        ("never", 3, "failed"),
        ("never", None, "failed"),
        ("on-failure", 3, "waiting"),
        ("on-failure", None, "waiting"),
        ("always", 0, "waiting"),
    ],
)
def test_a_task_that_ended_at_the_vm_is_restarted_as_configured(
    host: Host, restart: str, status: int | None, phase: str
) -> None:
    host.begin(task(POLITE, restart=restart))
    run = send(host)
    host.journal.hand_back(run, 2e9, status, "completed" if status == 0 else "failed")
    event = host.workload.take_back("t", ended=True, exit_status=status)
    assert event is not None
    host.events += host.workload.poll()
    assert (host.task().phase, host.task().place) == (phase, LOCAL)
    assert host.task().exit_status == status
    assert host.journal.live_runs() == []


def test_after_the_end_what_comes_home_is_installed_and_not_started(host: Host, cwd: Path) -> None:
    host.begin(counting(cwd))
    run = send(host)
    host.stop()
    assert [live.run for live in host.journal.live_runs()] == [run]
    assert host.workload.unwanted_away() == ("t",)
    bring(host, "second\n")
    with host.workload.waiting._changing:  # as a large one would
        fetch(host, run)
        host.events += host.workload.poll()
        assert host.workload.busy
    host.until(lambda: not host.workload.busy)
    assert host.workload.tasks == []
    assert host.journal.live_runs() == []
    assert (cwd / "progress").read_text() == "second\n"
    assert not host.workload.waiting.path("t").exists()


def test_what_cannot_be_installed_at_the_end_is_kept_and_said(host: Host, cwd: Path) -> None:
    host.begin(counting(cwd))
    run = send(host)
    host.workload.stop_all()
    bring(host, "second\n")
    shutil.rmtree(cwd)
    cwd.touch()
    fetch(host, run)
    host.until(lambda: not host.workload.tasks)
    assert host.said().count("cannot be installed") == 1
    assert host.workload.waiting.path("t").exists()


def test_what_a_task_has_completed_at_a_vm_is_at_home(
    host: Host, clock: FakeClock, cwd: Path
) -> None:
    host.begin(counting(cwd))
    run = send(host)
    bring(host, "all of it\n")
    host.journal.hand_back(run, 2e9, 0, "completed")
    host.workload.take_back("t", ended=True, exit_status=0)
    with host.workload.waiting._changing:
        polls(host, clock, 1)
        assert host.workload.busy
    host.until(lambda: not host.workload.busy)
    assert host.task().phase == "done"
    assert (cwd / "progress").read_text() == "all of it\n"


def test_the_checkpoint_of_a_task_that_nobody_knows_is_kept(host: Host, cwd: Path) -> None:
    host.begin(counting(cwd))
    run = send(host)
    again = host.crash()
    again.begin(task("sleep 60", name="other"))
    bring(again, "second\n")
    fetch(again, run)
    again.events += again.workload.poll()
    assert [each.config.name for each in again.workload.tasks] == ["other"]
    assert again.workload.waiting.path("t").exists()
    again.stop()


def test_what_is_removed_while_it_is_away_stays_until_it_is_brought_home(
    host: Host, clock: FakeClock
) -> None:
    config, other = task(POLITE), task("sleep 60", name="other")
    host.begin(config, other)
    run = send(host)
    assert host.workload.unwanted_away() == ()
    host.workload.apply((other,))
    polls(host, clock)
    assert host.task().phase == "away"
    assert host.workload.unwanted_away() == ("t",)
    host.workload.apply((config, other))
    assert host.workload.unwanted_away() == ()
    host.workload.apply((other,))
    fetch(host, run)
    host.events += host.workload.poll()
    assert [each.config.name for each in host.workload.tasks] == ["other"]
    host.stop()


def test_what_is_changed_while_it_is_away_starts_at_home_as_it_is_now(host: Host) -> None:
    host.begin(task(POLITE))
    run = send(host)
    host.workload.apply((task(POLITE, movable=False),))
    assert host.workload.unwanted_away() == ("t",)
    changed = task("echo anew; sleep 60")
    host.workload.apply((changed,))
    assert host.workload.unwanted_away() == ("t",)
    host.journal.hand_back(run, 2e9, 0, "completed")
    host.workload.take_back("t", ended=True, exit_status=0)
    host.until(lambda: host.workload.log(changed).read_text().endswith("anew\n"))
    assert host.workload.unwanted_away() == ()
    host.stop()


def test_a_hand_over_that_cannot_be_written_can_be_called_off(host: Host) -> None:
    host.begin(task(POLITE))
    pid = host.pid()
    host.journal._db.execute("PRAGMA query_only = ON")
    with pytest.raises(JournalError):
        send(host)
    ended = stop_for_move(host)
    with pytest.raises(JournalError):
        host.journal.hand_out(ended.run, "t", VM, ended.definition, 1, "boot", 1.0, 1e9, 0)
    host.workload.cancel_release("t")
    host.events += host.workload.poll()
    host.journal._db.execute("PRAGMA query_only = OFF")
    host.clock.now += 60.0
    host.until(lambda: host.task().phase == "running" and host.pid() != pid)
    assert [run.place for run in host.journal.live_runs()] == [LOCAL]
    host.stop()


def test_only_the_last_logs_of_runs_on_vms_are_kept(host: Host) -> None:
    logs = host.directory / "logs"
    host.begin(task(POLITE), task(POLITE, name="t.x"))
    others = [logs / "t.log", logs / "t.x.log", logs / "t.x.burst-1a2b-1.5.log"]
    for path in others:
        path.touch()
    for run in range(100, 130):
        host.workload.remote_log("t", "burst-1a2b-1", run).write_text("words\n")
    kept = sorted(set(logs.iterdir()) - set(others))
    assert [int(path.name.split(".")[2]) for path in kept] == list(range(109, 130))
    assert all(path.exists() for path in others)
    host.stop()
    shutil.rmtree(logs)
    assert not os.path.lexists(logs)
