# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal's second version: moves, VMs, hand-overs, and how a version 1 file comes to it."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cloudspill_monitor.journal import VERSION, Journal, JournalError

# As version 1 made it, to the letter.
VERSION_1 = """
CREATE TABLE runs (
    run INTEGER PRIMARY KEY,
    task TEXT NOT NULL,
    place TEXT NOT NULL,
    definition TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    begun REAL NOT NULL,
    begun_wall REAL NOT NULL,
    pid INTEGER,
    start_ticks INTEGER,
    ended_wall REAL,
    exit_status INTEGER,
    outcome TEXT
);
CREATE UNIQUE INDEX one_live_run_per_task ON runs (task) WHERE ended_wall IS NULL;
CREATE INDEX runs_by_task ON runs (task, run);
CREATE TABLE watches (
    watch INTEGER PRIMARY KEY,
    begun_wall REAL NOT NULL,
    first_run INTEGER NOT NULL,
    ended_wall REAL
);
CREATE TABLE decisions (
    decision INTEGER PRIMARY KEY,
    boot_id TEXT NOT NULL,
    at REAL NOT NULL,
    wall REAL NOT NULL,
    action TEXT NOT NULL,
    tasks TEXT NOT NULL,
    reason TEXT NOT NULL,
    outcome TEXT
);
INSERT INTO runs VALUES (3, 'a', 'local', '{}', 'boot', 1.0, 1e9, 42, 777, NULL, NULL, NULL);
INSERT INTO runs VALUES (4, 'b', 'local', '{}', 'boot', 1.0, 1e9, NULL, NULL, NULL, NULL, NULL);
INSERT INTO runs VALUES (2, 'c', 'local', '{}', 'boot', 1.0, 1e9, 41, 776, 2e9, 0, 'completed');
INSERT INTO watches VALUES (1, 1e9, 1, NULL);
INSERT INTO decisions VALUES (1, 'boot', 1.0, 1e9, 'scale out', 'a', 'why', 'announced');
PRAGMA application_id = 0x43535031;
PRAGMA user_version = 1;
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with Journal(path) as made:
        yield made


def make_version_1(path: Path, more: str = "") -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(VERSION_1 + more)


def begin_local(journal: Journal, task: str = "a") -> int:
    run = journal.begin_run(task, "local", "{}", "boot", 1.0, 1e9)
    journal.record_process(run, 42, 777)
    return run


def begin_move(journal: Journal) -> int:
    return journal.begin_move(5, "out", ["a", "b"], ["burst-1"], "boot", 3.0, 1e9)


def hand_out(journal: Journal, run: int | None, task: str = "a", move: int = 7) -> int:
    return journal.hand_out(run, task, "burst-1", "{x}", move, "boot", 9.0, 1e9 + 9, 143)


def plan(journal: Journal, name: str) -> None:
    journal.plan_vm(
        name,
        spot=False,
        lease=120.0,
        max_lifetime=3600.0,
        price_per_hour=0.05,
        boot_id="boot",
        at=1.0,
        wall=1e9,
    )


def up(journal: Journal, name: str, wall: float = 1e9 + 5) -> None:
    journal.vm_up(
        name,
        zone="z-a",
        machine_type="n1-standard-1",
        spot=True,
        instance_id="77",
        ssh_command=["ssh", "-p", "22", "u@h"],
        wall=wall,
    )


def test_a_journal_of_version_1_is_taken_over_with_all_that_it_holds(path: Path) -> None:
    make_version_1(path)
    with Journal(path) as journal:
        live = {run.task: run for run in journal.live_runs()}
        assert (live["a"].run, live["a"].pid, live["a"].confirmed) == (3, 42, True)
        assert (live["b"].run, live["b"].confirmed) == (4, False)
        assert (live["a"].move, live["a"].stopping) == (None, None)
        assert journal.last_runs()["c"].outcome == "completed"
        assert [decision.reason for decision in journal.decisions(9)] == ["why"]
        assert journal.begin_watch(3e9) == 1
        assert begin_local(journal, "d") == 5
        with pytest.raises(JournalError, match="already live"):
            begin_local(journal, "a")
        assert (journal.last_move(), journal.vm_count(), journal.vms()) == (0, 0, [])


def test_a_migrated_journal_is_like_a_new_one(path: Path, tmp_path: Path) -> None:
    make_version_1(path)
    Journal(path).close()
    Journal(tmp_path / "new.db").close()
    kept = []
    for file in (path, tmp_path / "new.db"):
        with closing(sqlite3.connect(file)) as db:
            rows = db.execute("SELECT name, sql FROM sqlite_schema ORDER BY name")
            schema = [(name, " ".join((sql or "").split())) for name, sql in rows]
            kept.append((schema, db.execute("PRAGMA user_version").fetchone()))
    assert kept[0] == kept[1]
    assert kept[0][1] == (VERSION,)


def test_a_migration_that_fails_leaves_version_1(path: Path) -> None:
    make_version_1(path, "CREATE TABLE vms (in_the_way);")
    with pytest.raises(JournalError, match="vms already exists"):
        Journal(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert len(db.execute("SELECT * FROM runs").fetchone()) == 12
        db.execute("DROP TABLE vms")
    with Journal(path) as journal:
        assert len(journal.live_runs()) == 2


def test_a_controller_has_one_identity_and_no_two_have_the_same(path: Path, tmp_path: Path) -> None:
    with Journal(path) as journal, Journal(tmp_path / "other.db") as other:
        mine = journal.controller()
        assert other.controller() != mine
    assert len(bytes.fromhex(mine)) == 4
    with Journal(path) as journal:
        assert journal.controller() == mine


def test_moves_are_open_until_they_are_settled(journal: Journal) -> None:
    assert (journal.last_move(), journal.open_moves()) == (0, [])
    first, second = begin_move(journal), begin_move(journal)
    (move, _) = journal.open_moves()
    assert (move.move, move.decision, move.direction) == (first, 5, "out")
    assert (move.tasks, move.vms, move.boot_id, move.at) == (("a", "b"), ("burst-1",), "boot", 3.0)
    journal.end_move(first, 2e9, "done")
    journal.end_move(first, 3e9, "again")
    assert [move.move for move in journal.open_moves()] == [second]
    rows = journal.rows("SELECT ended_wall, outcome FROM moves WHERE move = ?", first)
    assert rows == [(2e9, "done")]


def test_numbers_go_on_whatever_is_forgotten(path: Path) -> None:
    with Journal(path) as journal:
        move = begin_move(journal)
        plan(journal, "burst-1")
        with journal.transaction() as db:
            db.execute("DELETE FROM moves")
            db.execute("DELETE FROM vms")
    with Journal(path) as journal:
        assert (journal.last_move(), journal.vm_count()) == (move, 1)
        assert begin_move(journal) == move + 1
        plan(journal, "burst-2")
        assert journal.vm_count() == 2


def test_a_hand_over_ends_one_run_and_begins_the_other_at_once(journal: Journal) -> None:
    local = begin_local(journal)
    journal.mark_stopping(local, 7)
    assert journal.live_runs()[0].stopping == 7
    remote = hand_out(journal, local)
    (run,) = journal.live_runs()
    assert (run.run, run.task, run.place, run.definition) == (remote, "a", "burst-1", "{x}")
    assert (run.move, run.confirmed, run.pid, run.begun) == (7, False, None, 9.0)
    ended = journal.rows("SELECT outcome, exit_status FROM runs WHERE run = ?", local)
    assert ended == [("moved", 143)]
    journal.confirm_run(remote)
    assert journal.live_runs()[0].confirmed
    journal.hand_back(remote, 2e9, None, "came home")
    assert journal.live_runs() == []
    assert journal.last_runs()["a"].outcome == "came home"
    assert begin_local(journal) > remote


def test_a_hand_over_that_cannot_be_written_changes_nothing(journal: Journal) -> None:
    begin_local(journal, "b")
    local = begin_local(journal)
    before = journal.live_runs()
    with pytest.raises(JournalError, match="already live"):
        hand_out(journal, local, task="b")
    assert journal.live_runs() == before
    assert not journal._db.in_transaction


KILL = """
import os, pathlib, signal, sys
from contextlib import contextmanager
from cloudspill_monitor.journal import Journal
original, when = Journal.transaction, sys.argv[2]
journal = Journal(pathlib.Path(sys.argv[1]))
@contextmanager
def killing(self):
    with original(self) as db:
        yield db
        if when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
Journal.transaction = killing
journal.hand_out(1, "a", "burst-1", "{}", 7, "boot", 9.0, 1e9, 0)
"""


@pytest.mark.parametrize(("when", "place"), [("before", "local"), ("after", "burst-1")])
def test_a_task_belongs_to_one_place_whenever_the_monitor_is_killed(
    path: Path, when: str, place: str
) -> None:
    with Journal(path) as journal:
        assert begin_local(journal) == 1
    arguments = [sys.executable, "-c", KILL, str(path), when]
    ended = subprocess.run(arguments, check=False)
    assert ended.returncode == -signal.SIGKILL
    with Journal(path) as journal:
        assert [run.place for run in journal.live_runs()] == [place]


def test_a_vm_is_remembered_from_its_plan_until_it_is_gone(path: Path) -> None:
    with Journal(path) as journal:
        plan(journal, "burst-1")
        (vm,) = journal.vms()
        assert (vm.state, vm.zone, vm.ssh_command, vm.lease) == ("planned", None, (), 120.0)
        up(journal, "burst-1")
        up(journal, "burst-1", wall=2e9)
    with Journal(path) as journal:
        (vm,) = journal.vms()
        assert (vm.state, vm.zone, vm.instance_id) == ("up", "z-a", "77")
        assert vm.machine_type == "n1-standard-1"
        assert (vm.spot, vm.ssh_command, vm.up_wall) == (True, ("ssh", "-p", "22", "u@h"), 1e9 + 5)
        assert (vm.max_lifetime, vm.price_per_hour, vm.planned_at) == (3600.0, 0.05, 1.0)
        journal.vm_deleting("burst-1")
        assert [vm.state for vm in journal.vms()] == ["deleting"]
        journal.vm_gone("burst-1", 2e9)
        journal.vm_gone("burst-1", 3e9)
        journal.vm_deleting("burst-1")
        assert journal.vms() == []
        (vm,) = journal.vms(living=False)
        assert (vm.state, vm.gone_wall) == ("gone", 2e9)


def test_a_name_of_a_vm_is_used_once(journal: Journal) -> None:
    plan(journal, "burst-1")
    journal.vm_gone("burst-1", 2e9)
    with pytest.raises(JournalError, match="of this name was made before"):
        plan(journal, "burst-1")


@pytest.mark.parametrize("state", ["unknown", "deleting", "gone"])
def test_a_vm_that_is_not_expected_does_not_come_up(journal: Journal, state: str) -> None:
    if state != "unknown":
        plan(journal, "burst-1")
        journal.vm_deleting("burst-1")
    if state == "gone":
        journal.vm_gone("burst-1", 2e9)
    before = journal.vms(living=False)
    with pytest.raises(JournalError, match="no VM burst-1 is expected"):
        up(journal, "burst-1")
    assert journal.vms(living=False) == before


def test_what_is_over_is_forgotten_in_the_end_and_what_is_open_is_not(journal: Journal) -> None:
    opened, settled = begin_move(journal), begin_move(journal)
    journal.end_move(settled, 2e9, "done")
    plan(journal, "burst-1")
    plan(journal, "burst-2")
    journal.vm_gone("burst-2", 2e9)
    with journal.transaction() as db:
        db.execute("UPDATE sqlite_sequence SET seq = 2000")
    begin_move(journal)
    plan(journal, "burst-2001")
    assert journal.rows("SELECT move FROM moves") == [(opened,), (2001,)]
    assert [vm.vm for vm in journal.vms(living=False)] == ["burst-1", "burst-2001"]
