# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal's file: its tables, its versions, and the one way to change it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeAlias

Connection: TypeAlias = sqlite3.Connection

VERSION = 2
_APPLICATION_ID = 0x43535031  # "CSP1": tells a journal from any other SQLite file

# One list of statements for each version, from the version before it. A new journal takes them
# all, so that what was migrated and what was made new cannot differ.
_STEPS: dict[int, tuple[str, ...]] = {
    1: (
        """CREATE TABLE runs (
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
        )""",
        "CREATE UNIQUE INDEX one_live_run_per_task ON runs (task) WHERE ended_wall IS NULL",
        "CREATE INDEX runs_by_task ON runs (task, run)",
        """CREATE TABLE watches (
            watch INTEGER PRIMARY KEY,
            begun_wall REAL NOT NULL,
            first_run INTEGER NOT NULL,
            ended_wall REAL
        )""",
        """CREATE TABLE decisions (
            decision INTEGER PRIMARY KEY,
            boot_id TEXT NOT NULL,
            at REAL NOT NULL,
            wall REAL NOT NULL,
            action TEXT NOT NULL,
            tasks TEXT NOT NULL,
            reason TEXT NOT NULL,
            outcome TEXT
        )""",
    ),
    2: (
        "ALTER TABLE runs ADD COLUMN move INTEGER",
        "ALTER TABLE runs ADD COLUMN stopping INTEGER",
        "ALTER TABLE runs ADD COLUMN confirmed INTEGER NOT NULL DEFAULT 0",
        "UPDATE runs SET confirmed = 1 WHERE pid IS NOT NULL",
        "CREATE TABLE identity (controller TEXT NOT NULL)",
        "INSERT INTO identity VALUES (lower(hex(randomblob(4))))",
        # AUTOINCREMENT: a number is never given twice, whatever rows were dropped. A VM refuses
        # what comes from a move that is not newer than the last; names of VMs have theirs in them.
        """CREATE TABLE moves (
            move INTEGER PRIMARY KEY AUTOINCREMENT,
            decision INTEGER,
            direction TEXT NOT NULL,
            tasks TEXT NOT NULL,
            vms TEXT NOT NULL,
            boot_id TEXT NOT NULL,
            at REAL NOT NULL,
            wall REAL NOT NULL,
            ended_wall REAL,
            outcome TEXT
        )""",
        """CREATE TABLE vms (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            vm TEXT NOT NULL UNIQUE,
            zone TEXT,
            machine_type TEXT,
            spot INTEGER NOT NULL,
            instance_id TEXT,
            ssh_command TEXT NOT NULL DEFAULT '[]',
            state TEXT NOT NULL DEFAULT 'planned',
            boot_id TEXT NOT NULL,
            planned_at REAL NOT NULL,
            planned_wall REAL NOT NULL,
            up_wall REAL,
            gone_wall REAL,
            lease REAL NOT NULL,
            max_lifetime REAL NOT NULL,
            price_per_hour REAL NOT NULL
        )""",
    ),
}


class JournalError(Exception):
    """The journal cannot be used; the message says why and what to do. Nothing was changed."""


class JournalFile:
    """The file `path`, which is made if it does not exist, and brought to the present version.

    Raises JournalError when the file is no journal, is of a later version, is damaged, or cannot
    be written. It is then as it was.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._explained():
            path.touch(mode=0o600)
            # Autocommit: a read never holds a transaction open.
            self._db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """What is done inside is done altogether when it is left, or not at all.

        Every change of the journal goes through here. Raises JournalError.
        """
        with self._explained():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """What `query` finds. Raises JournalError."""
        with self._explained():
            return self._db.execute(query, parameters).fetchall()

    def _prepare(self) -> None:
        empty = self._value("SELECT COUNT(*) FROM sqlite_schema") == 0
        version = 0 if empty else self._value("PRAGMA user_version")
        if not empty and self._value("PRAGMA application_id") != _APPLICATION_ID:
            raise JournalError(f"{self._path}: is not a monitor's journal; give another state_dir")
        if version > VERSION or (version < 1 and not empty):
            raise JournalError(
                f"{self._path}: is a journal of version {version}, and this monitor keeps version "
                f"{VERSION}. Run the monitor that wrote it to end its tasks, then move the file "
                "away"
            )
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")  # a decision must outlive a power cut
        if version == VERSION:
            return
        with self.transaction() as db:
            for step in range(version + 1, VERSION + 1):
                for statement in _STEPS[step]:
                    db.execute(statement)
            db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {VERSION}")

    def _value(self, query: str) -> int:
        return int(self._db.execute(query).fetchone()[0])

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError as error:
            what = (
                "a VM of this name was made before, so none is made by it again"
                if "vms." in str(error)
                else "a run of this task is already live, so no second one is begun"
            )
            raise JournalError(f"{self._path}: {what}") from error
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
