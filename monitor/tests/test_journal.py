# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal, the lock and the control socket: what a state directory holds."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from cloudspill_monitor.control import ControlError, ControlServer, ask
from cloudspill_monitor.journal import VERSION, Journal, JournalError
from cloudspill_monitor.lock import LockedError, StateLock, holder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def begin(journal: Journal, task: str = "a", at: float = 1.0) -> int:
    return journal.begin_run(task, "local", "{}", "boot", at, 1e9 + at)


def test_runs_survive_the_process(path: Path) -> None:
    with closing(Journal(path)) as journal:
        run = begin(journal)
        journal.record_process(run, 42, 777)
    with closing(Journal(path)) as journal:
        (found,) = journal.live_runs()
    assert (found.run, found.task, found.pid, found.start_ticks) == (run, "a", 42, 777)


def test_a_second_live_run_of_a_task_is_impossible(path: Path) -> None:
    with closing(Journal(path)) as journal:
        run = begin(journal)
        journal.record_process(run, 42, 777)
        with pytest.raises(JournalError, match="already live"):
            begin(journal)
        journal.end_run(run, 2e9, 0, "completed")
        begin(journal)
        assert len(journal.live_runs()) == 1


def test_the_end_of_a_run_is_kept_as_it_was_first_written(path: Path) -> None:
    with closing(Journal(path)) as journal:
        run = begin(journal)
        journal.end_run(run, 2e9, 3, "failed")
        journal.end_run(run, 3e9, 0, "completed")
        assert (journal.last_runs()["a"].exit_status, journal.last_runs()["a"].outcome) == (
            3,
            "failed",
        )


def test_old_runs_and_decisions_are_dropped(path: Path) -> None:
    with closing(Journal(path)) as journal:
        for _ in range(130):
            journal.end_run(begin(journal), 2e9, 0, "completed")
        for number in range(1020):
            journal.record_decision("boot", 1.0, 1e9, "scale out", "a", f"reason {number}")
        assert len(journal.decisions(5000)) == 1000
        assert journal.decisions(1)[0].reason == "reason 1019"
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT COUNT(*) FROM runs").fetchone()[0] <= 101


def test_a_watch_that_did_not_end_hands_on_its_runs(path: Path) -> None:
    with closing(Journal(path)) as journal:
        first = journal.begin_watch(1e9)
        journal.end_run(begin(journal), 2e9, 0, "completed")
        assert journal.begin_watch(1e9) == first
        journal.end_watch(2e9)
        assert journal.begin_watch(3e9) == first + 1


def test_a_decision_of_a_killed_monitor_is_not_under_way_for_ever(path: Path) -> None:
    with closing(Journal(path)) as journal:
        journal.end_decision(journal.record_decision("b", 1.0, 1e9, "scale out", "a", "r"), "done")
        journal.record_decision("boot", 1.0, 1e9, "scale in", "a", "reason")
        journal.begin_watch(2e9)
        assert [d.outcome for d in journal.decisions(2)] == [
            "not known: the monitor was killed meanwhile",
            "done",
        ]


def test_a_journal_is_for_its_user_only(path: Path) -> None:
    Journal(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_journal_of_another_version_is_refused_and_left_alone(path: Path) -> None:
    Journal(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(JournalError, match=f"version {VERSION + 1}.* keeps version {VERSION}"):
        Journal(path)
    assert path.read_bytes() == before


def test_another_programs_database_is_refused_and_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(JournalError, match="not a monitor's journal"):
        Journal(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    path.write_text("not a database at all, but long enough to be looked at as one" * 20)
    before = path.read_bytes()
    with pytest.raises(JournalError, match="left as it is"):
        Journal(path)
    assert path.read_bytes() == before


def test_the_second_holder_is_told_who_the_first_is(tmp_path: Path) -> None:
    with StateLock(tmp_path, 1.7e9):
        with pytest.raises(LockedError, match=f"process id {os.getpid()} on "):
            StateLock(tmp_path, 1.7e9)
        assert f"process id {os.getpid()}" in (holder(tmp_path) or "")
    assert holder(tmp_path) is None


def test_a_lock_goes_with_its_process(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, signal, sys; from cloudspill_monitor.lock import StateLock;"
        "lock = StateLock(pathlib.Path(sys.argv[1]), 1.0); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert (tmp_path / "lock").exists()
    with StateLock(tmp_path, 1.7e9):
        assert holder(tmp_path) is not None


def test_asking_who_holds_a_directory_never_keeps_a_monitor_from_taking_it(tmp_path: Path) -> None:
    StateLock(tmp_path, 1.7e9).__exit__(None, None, None)
    over = threading.Event()

    def ask_on() -> None:
        while not over.is_set():
            holder(tmp_path)

    asker = threading.Thread(target=ask_on)
    asker.start()
    try:
        for _ in range(3000):
            with StateLock(tmp_path, 1.7e9):
                pass
    finally:
        over.set()
        asker.join()


def test_a_full_disk_is_no_reason_to_move_the_journal_away(path: Path) -> None:
    with closing(Journal(path)) as journal:
        pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
        journal._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(JournalError, match="full") as caught:
            journal.record_decision("boot", 1.0, 1e9, "scale out", "a", "reason " * 10_000)
    assert "move it away" not in str(caught.value)


async def test_a_client_that_says_nothing_is_hung_up_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = ControlServer(tmp_path, {}, patience=0.05)
    await server.start()
    try:
        reader, writer = await asyncio.open_unix_connection(tmp_path / "control.sock")
        assert await asyncio.wait_for(reader.read(), 5.0) == b""
        writer.close()
        assert caplog.text == ""
    finally:
        await server.stop()


async def test_the_control_socket_answers(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)  # longer than an address of a socket may be
    deep.mkdir()
    server = ControlServer(deep, {"status": lambda request: {"asked": request["do"]}})
    await server.start()
    try:
        assert stat.S_IMODE((deep / "control.sock").stat().st_mode) == 0o600
        assert await asyncio.to_thread(ask, deep, {"do": "status"}) == {"asked": "status"}
        with pytest.raises(ControlError, match=r"not a request.*status"):
            await asyncio.to_thread(ask, deep, {"do": "nonsense"})
    finally:
        await server.stop()
    with pytest.raises(ControlError, match="no answer"):
        ask(deep, {"do": "status"})
