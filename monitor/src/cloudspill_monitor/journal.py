# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal: what runs where and what was decided, written before it is done.

A run is one process (or, on a VM, one unit) of a task. The index on live runs makes two live runs
of one task impossible. Times are kept three ways: boot id and seconds since boot, which decisions
may rely on, and wall time, for people.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

VERSION = 1
_APPLICATION_ID = 0x43535031  # "CSP1": tells a journal from any other SQLite file

_SCHEMA = """
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
"""
_KEPT_RUNS = 100  # of each task
_KEPT_DECISIONS = 1000


class JournalError(Exception):
    """The journal cannot be used; the message says why and what to do. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run of a task. `pid` and `start_ticks` (since boot) are None until its process exists."""

    run: int
    task: str
    place: str
    definition: str
    boot_id: str
    begun: float
    begun_wall: float
    pid: int | None
    start_ticks: int | None
    ended_wall: float | None
    exit_status: int | None
    outcome: str | None


@dataclass(frozen=True, slots=True)
class Decision:
    """A move that was decided, why, and (once known) how it ended."""

    decision: int
    boot_id: str
    at: float
    wall: float
    action: str
    tasks: str
    reason: str
    outcome: str | None


class Journal:
    """The journal in the file `path`, which is made if it does not exist.

    Raises JournalError when the file is no journal, is one of another version, is damaged, or
    cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._explained():
            self._db = _open(path)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def begin_watch(self, wall: float) -> int:
        """A monitor starts to watch. Returns the number of the first run that belongs to it.

        One that takes over from a monitor which did not end cleanly also takes over its runs, so
        that a task which has completed since is not run once more.
        """
        with self._explained(), self._db:
            last = self._db.execute(
                "SELECT first_run, ended_wall FROM watches ORDER BY watch DESC LIMIT 1"
            ).fetchone()
            newest = self._db.execute("SELECT COALESCE(MAX(run), 0) FROM runs").fetchone()[0]
            first = int(last[0]) if last is not None and last[1] is None else int(newest) + 1
            self._db.execute(
                "UPDATE decisions SET outcome = 'not known: the monitor was killed meanwhile'"
                " WHERE outcome IS NULL"
            )
            self._db.execute(
                "INSERT INTO watches (begun_wall, first_run) VALUES (?, ?)", (wall, first)
            )
        return first

    def end_watch(self, wall: float) -> None:
        """The monitor has ended everything that it started."""
        with self._explained(), self._db:
            self._db.execute(
                "UPDATE watches SET ended_wall = ? WHERE watch = (SELECT MAX(watch) FROM watches)",
                (wall,),
            )

    def begin_run(
        self, task: str, place: str, definition: str, boot_id: str, at: float, wall: float
    ) -> int:
        """A run is about to be started; returns its number. JournalError if one is live."""
        with self._explained(), self._db:
            cursor = self._db.execute(
                "INSERT INTO runs (task, place, definition, boot_id, begun, begun_wall)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (task, place, definition, boot_id, at, wall),
            )
            self._db.execute(
                "DELETE FROM runs WHERE task = ? AND ended_wall IS NOT NULL AND run NOT IN"
                " (SELECT run FROM runs WHERE task = ? ORDER BY run DESC LIMIT ?)",
                (task, task, _KEPT_RUNS),
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def record_process(self, run: int, pid: int, start_ticks: int) -> None:
        """The run's process exists, but does nothing yet."""
        with self._explained(), self._db:
            self._db.execute(
                "UPDATE runs SET pid = ?, start_ticks = ? WHERE run = ?", (pid, start_ticks, run)
            )

    def end_run(self, run: int, wall: float, exit_status: int | None, outcome: str) -> None:
        """The run has ended; `exit_status` is None when nobody can know it."""
        with self._explained(), self._db:
            self._db.execute(
                "UPDATE runs SET ended_wall = ?, exit_status = ?, outcome = ?"
                " WHERE run = ? AND ended_wall IS NULL",
                (wall, exit_status, outcome, run),
            )

    def live_runs(self) -> list[Run]:
        """Runs that have not ended as far as is known."""
        return self._runs("WHERE ended_wall IS NULL ORDER BY run")

    def last_runs(self) -> dict[str, Run]:
        """The newest run of each task."""
        rows = self._runs("WHERE run IN (SELECT MAX(run) FROM runs GROUP BY task)")
        return {row.task: row for row in rows}

    def record_decision(
        self, boot_id: str, at: float, wall: float, action: str, tasks: str, reason: str
    ) -> int:
        """A move is about to be carried out; returns its number."""
        with self._explained(), self._db:
            cursor = self._db.execute(
                "INSERT INTO decisions (boot_id, at, wall, action, tasks, reason)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (boot_id, at, wall, action, tasks, reason),
            )
            assert cursor.lastrowid is not None
            self._db.execute(
                "DELETE FROM decisions WHERE decision <= ?", (cursor.lastrowid - _KEPT_DECISIONS,)
            )
        return cursor.lastrowid

    def end_decision(self, decision: int, outcome: str) -> None:
        """The move has ended, `outcome` says how."""
        with self._explained(), self._db:
            self._db.execute(
                "UPDATE decisions SET outcome = ? WHERE decision = ?", (outcome, decision)
            )

    def decisions(self, limit: int) -> list[Decision]:
        """The last decisions, the newest first."""
        with self._explained():
            rows = self._db.execute(
                "SELECT * FROM decisions ORDER BY decision DESC LIMIT ?", (limit,)
            )
            return [Decision(*row) for row in rows]

    def _runs(self, where: str) -> list[Run]:
        with self._explained():
            return [Run(*row) for row in self._db.execute(f"SELECT * FROM runs {where}")]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError as error:
            raise JournalError(
                f"{self._path}: a run of this task is already live, so no second one is begun"
            ) from error
        except sqlite3.OperationalError as error:
            raise JournalError(
                f"{self._path}: {error}. Nothing was changed; see that the disk has room and that "
                "this user may write the file"
            ) from error
        except sqlite3.DatabaseError as error:
            raise JournalError(
                f"{self._path}: {error}. It was left as it is; move it away to start afresh "
                "(end the tasks that it knows first), or give another state_dir"
            ) from error


def _open(path: Path) -> sqlite3.Connection:
    path.touch(mode=0o600)
    # Autocommit outside `with`: reads never hold a transaction open.
    db = sqlite3.connect(path, isolation_level="IMMEDIATE", timeout=5.0)
    try:
        _check(path, db)
    except BaseException:
        db.close()
        raise
    return db


def _check(path: Path, db: sqlite3.Connection) -> None:
    with closing(db.execute("SELECT COUNT(*) FROM sqlite_schema")) as cursor:
        empty = cursor.fetchone()[0] == 0
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if not empty and application != _APPLICATION_ID:
        raise JournalError(f"{path}: is not a monitor's journal; give another state_dir")
    if not empty and version != VERSION:
        raise JournalError(
            f"{path}: is a journal of version {version}, and this monitor keeps version {VERSION}. "
            f"Run the monitor that wrote it to end its tasks, then move the file away"
        )
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")  # a decision must outlive a power cut
    if empty:
        db.executescript(
            f"BEGIN; {_SCHEMA} PRAGMA application_id = {_APPLICATION_ID};"
            f" PRAGMA user_version = {VERSION}; COMMIT;"
        )
