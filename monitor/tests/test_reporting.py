# SPDX-License-Identifier: GPL-3.0-or-later
"""`status`, from a running monitor's words and from what a dead one wrote down."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from cloudspill_monitor.journal import Journal
from cloudspill_monitor.lock import MARK_EVERY, StateLock, holder, last_lived
from cloudspill_monitor.policy_types import ANNOUNCED
from cloudspill_monitor.reporting import NotRunning, Running, find
from cloudspill_monitor.running import Marker
from cloudspill_monitor.snapshot import DecisionView, FailureView, from_json

from .conftest import FakeClock
from .daemon_machine import Listener
from .test_metrics import SNAPSHOT, VM

NOW = 1.7e9


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "monitor.yml"
    path.write_text("state_dir: state\ntasks: [{name: Task 3, command: sleep 1}]\n")
    (tmp_path / "state").mkdir()
    return path


class Unwritable(StateLock):
    """A lock on a disk that takes nothing any more."""

    def mark(self, wall: float) -> None:
        raise OSError(30, "Read-only file system")


def plan(journal: Journal, wall: float) -> None:
    journal.plan_vm(
        "burst-1",
        boot_id="boot",
        at=1.0,
        wall=wall,
        spot=False,
        lease=120.0,
        max_lifetime=43200.0,
        price_per_hour=0.36,
    )


def dead(
    config: Path,
    *,
    up: float | None,
    planned: float = NOW - 1000.0,
    lived: float | None = NOW,
    looked: float = NOW,
) -> NotRunning:
    """What is `looked` at, and left of a monitor that died with a VM, and `lived` until then."""
    if lived is not None:
        with StateLock(config.parent / "state", NOW - 2000.0) as lock:
            lock.mark(lived)
    with closing(Journal(config.parent / "state" / "journal.db")) as journal:
        plan(journal, planned)
        if up is not None:
            journal.vm_up(
                "burst-1",
                zone="us-west1-b",
                machine_type="n1-standard-1",
                spot=False,
                instance_id="7",
                ssh_command=("ssh",),
                wall=up,
            )
    found = find(config, looked)
    assert isinstance(found, NotRunning)
    return found


def test_a_running_monitor_tells_of_its_vms_their_lease_and_their_cost() -> None:
    text = Running(replace(SNAPSHOT, vms=(VM,), cost=1.25)).text()
    assert (
        "burst-3f2a9c-1: n1-standard-1 (Spot) in us-west1-b, up for 3m07s, tasks: Task 3, "
        "lease 1m50s, Google Cloud deletes it in 11h40m, cost 0.0025\n" in text
    )
    assert "all VMs have cost 1.2500 so far, in the currency of price_per_hour\n" in text
    assert text.count("0.0025") == 1
    assert text.count("currency") == 1


def test_a_task_that_is_away_is_told_by_its_run_there() -> None:
    away = replace(
        SNAPSHOT.tasks[0],
        name="counter",
        place=VM.name,
        phase="away",
        pid=None,
        uptime=125.0,
        log="logs/counter.burst-3f2a9c-1.7.log",
        run=7,
    )
    lines = Running(replace(SNAPSHOT, tasks=(away,))).text().splitlines()
    assert (
        "  counter: at burst-3f2a9c-1 for 2m05s, run 7, log logs/counter.burst-3f2a9c-1.7.log"
        in lines
    )


def test_a_task_of_a_dry_run_is_told_as_here() -> None:
    announced = replace(SNAPSHOT.tasks[0], name="counter", place=ANNOUNCED)
    text = Running(replace(SNAPSHOT, tasks=(announced,))).text()
    assert "| here: counter (0.50 cores, would be at a VM)" in text
    assert "away:" not in text
    assert "  counter: running, here (would be at a VM), process 5, " in text


def test_decisions_say_in_which_order_they_are() -> None:
    decision = DecisionView(NOW, "scale out", "Task 3", "it was busy", "done")
    text = Running(replace(SNAPSHOT, decisions=(decision,))).text()
    assert "last decisions, the newest first:\n" in text


def test_the_last_failure_is_told_with_its_kind_and_what_to_do() -> None:
    failure = FailureView(NOW, "scale out", "stock-out", "no room in us-west1-b", "Name zones.")
    text = Running(replace(SNAPSHOT, failure=failure)).text()
    assert "scale out failed (stock-out): no room in us-west1-b\n  Name zones." in text


def test_a_drained_monitor_says_how_to_end_that() -> None:
    assert "drain --off" in Running(replace(SNAPSHOT, drained_wall=NOW)).text()
    assert "drain --off" not in Running(SNAPSHOT).text()


def test_a_snapshot_with_vms_survives_the_wire() -> None:
    failure = FailureView(NOW, "scale out", "stock-out", "no room", "")
    snapshot = replace(SNAPSHOT, vms=(VM,), failure=failure, drained_wall=NOW, cost=0.5)
    assert from_json(Running(snapshot).snapshot.as_json()) == snapshot


def test_a_dead_monitors_vm_is_told_until_when_it_may_live_and_what_to_do(config: Path) -> None:
    found = dead(config, up=NOW - 600.0)
    assert found.ends(found.vms[0]) == NOW + MARK_EVERY + 120.0  # renewed since its last mark
    text = found.text()
    assert "burst-1 (n1-standard-1 in us-west1-b): up since " in text
    assert "cost 0.0600 so far" in text
    assert "(lease 2m00s)" in text
    assert "`cloudspill-monitor reap`" in text
    (vm,) = found.as_json()["vms"]
    assert (vm["vm"], vm["ends_wall"], round(vm["cost"], 4)) == ("burst-1", NOW + 130.0, 0.06)


def test_when_a_dead_monitors_vm_ends_is_the_same_whenever_it_is_asked(config: Path) -> None:
    found = dead(config, up=NOW - 600.0, lived=NOW - 50.0)
    assert found.ends(found.vms[0]) == NOW - 50.0 + MARK_EVERY + 120.0
    sooner = find(config, NOW - 49.0)
    assert isinstance(sooner, NotRunning)
    assert sooner.ends(sooner.vms[0]) == found.ends(found.vms[0])
    later = find(config, NOW + 30.0)
    assert isinstance(later, NotRunning)
    assert later.ends(later.vms[0]) == found.ends(found.vms[0])
    assert later.as_json()["lived_wall"] == NOW - 50.0
    assert " at the latest (lease 2m00s)" in later.text()
    assert "; the last one was alive at " in later.text()
    over = find(config, NOW + 80.0).text()
    assert "it should have deleted itself by " in over
    assert "`cloudspill-monitor reap` tells" in over
    assert "at the latest" not in over


def test_a_vm_that_came_up_after_the_last_mark_has_its_lease_from_then_on(config: Path) -> None:
    found = dead(config, up=NOW - 20.0, lived=NOW - 500.0)
    assert found.ends(found.vms[0]) == NOW - 20.0 + MARK_EVERY + 120.0


def test_a_vm_of_a_monitor_that_left_no_mark_is_given_all_of_a_lease(config: Path) -> None:
    found = dead(config, up=NOW - 600.0, lived=None)
    assert found.ends(found.vms[0]) == NOW + 120.0


def test_a_monitor_marks_that_it_lives_only_while_it_has_a_vm(
    config: Path, clock: FakeClock
) -> None:
    state, listener = config.parent / "state", Listener()
    began = clock.wall()
    with (
        StateLock(state, began) as lock,
        closing(Journal(state / "journal.db")) as journal,
    ):
        marker = Marker(lock, journal, clock, listener)
        clock.now += 100.0
        marker.look()
        assert last_lived(state) == began
        plan(journal, began)
        for _ in range(25):
            clock.now += 1.0
            marker.look()
            assert 0.0 <= clock.wall() - (last_lived(state) or 0.0) <= MARK_EVERY
        assert holder(state) is not None
    assert listener.said == []


def test_a_mark_that_cannot_be_made_is_told_once(config: Path, clock: FakeClock) -> None:
    state, listener = config.parent / "state", Listener()
    with (
        Unwritable(state, NOW) as lock,
        closing(Journal(state / "journal.db")) as journal,
    ):
        plan(journal, NOW)
        marker = Marker(lock, journal, clock, listener)
        for _ in range(3):
            clock.now += 20.0
            marker.look()
    (said,) = listener.said
    assert "that the monitor lives cannot be written down" in said


def test_a_vm_never_seen_up_may_exist_all_the_same(config: Path) -> None:
    found = dead(config, up=None)
    text = found.text()
    assert "burst-1: never seen up, cost 0.0000" in text
    assert "deletes itself 2m00s after its start, and Google Cloud deletes it by " in text
    assert found.ends(found.vms[0]) == NOW - 1000.0 + 43200.0  # it may be made at any time


def test_no_vm_outlives_what_google_cloud_was_told(config: Path) -> None:
    found = dead(config, up=NOW - 43000.0, planned=NOW - 43190.0)
    assert found.ends(found.vms[0]) == NOW + 10.0


def test_a_vm_that_is_gone_is_not_told_of(config: Path) -> None:
    dead(config, up=NOW - 600.0)
    with closing(Journal(config.parent / "state" / "journal.db")) as journal:
        journal.vm_gone("burst-1", NOW)
    text = find(config, NOW).text()
    assert "may still exist" not in text
    assert "was alive" not in text  # without a VM it is not known until when


def test_a_task_that_was_away_is_not_told_as_a_process_of_this_machine(config: Path) -> None:
    with closing(Journal(config.parent / "state" / "journal.db")) as journal:
        journal.hand_out(
            None,
            "Task 3",
            "burst-1",
            "definition",
            1,
            "boot",
            1.0,
            NOW,
            None,
        )
    assert "Task 3: was at burst-1; `run` will bring it home" in find(config, NOW).text()
