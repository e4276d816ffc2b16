# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal: what runs where and what was decided, written before it is done.

A run is one process (or, on a VM, one unit) of a task. The index on live runs makes two live runs
of one task impossible. Times are kept three ways: boot id and seconds since boot, which decisions
may rely on, and wall time, for people.
"""

from __future__ import annotations

from dataclasses import replace

from cloudspill_monitor.journal_file import VERSION, Connection, JournalError
from cloudspill_monitor.journal_moves import MoveJournal
from cloudspill_monitor.journal_records import Decision, Move, Run, Vm, VmState

__all__ = ["VERSION", "Decision", "Journal", "JournalError", "Move", "Run", "Vm", "VmState"]

_KEPT_RUNS = 100  # of each task
_KEPT_DECISIONS = 1000


class Journal(MoveJournal):
    """The journal in the file `path`, which is made if it does not exist.

    Raises JournalError when the file is no journal, is of a later version, is damaged, or cannot
    be written.
    """

    def controller(self) -> str:
        """Eight hexadecimal digits that tell this journal's VMs from any other's."""
        return str(self.rows("SELECT controller FROM identity")[0][0])

    def begin_watch(self, wall: float) -> int:
        """A monitor starts to watch. Returns the number of the first run that belongs to it.

        One that takes over from a monitor which did not end cleanly also takes over its runs, so
        that a task which has completed since is not run once more.
        """
        with self.transaction() as db:
            last = db.execute(
                "SELECT first_run, ended_wall FROM watches ORDER BY watch DESC LIMIT 1"
            ).fetchone()
            newest = db.execute("SELECT COALESCE(MAX(run), 0) FROM runs").fetchone()[0]
            first = int(last[0]) if last is not None and last[1] is None else int(newest) + 1
            db.execute(
                "UPDATE decisions SET outcome = 'not known: the monitor was killed meanwhile'"
                " WHERE outcome IS NULL"
            )
            db.execute("INSERT INTO watches (begun_wall, first_run) VALUES (?, ?)", (wall, first))
        return first

    def end_watch(self, wall: float) -> None:
        """The monitor has ended everything that it started."""
        with self.transaction() as db:
            db.execute(
                "UPDATE watches SET ended_wall = ? WHERE watch = (SELECT MAX(watch) FROM watches)",
                (wall,),
            )

    def begin_run(
        self, task: str, place: str, definition: str, boot_id: str, at: float, wall: float
    ) -> int:
        """A run is about to be started; returns its number. JournalError if one is live."""
        with self.transaction() as db:
            return _begin(db, task, place, definition, boot_id, at, wall, None)

    def record_process(self, run: int, pid: int, start_ticks: int) -> None:
        """The run's process exists, but does nothing yet."""
        with self.transaction() as db:
            db.execute(
                "UPDATE runs SET pid = ?, start_ticks = ?, confirmed = 1 WHERE run = ?",
                (pid, start_ticks, run),
            )

    def end_run(self, run: int, wall: float, exit_status: int | None, outcome: str) -> None:
        """The run has ended; `exit_status` is None when nobody can know it."""
        with self.transaction() as db:
            _end(db, run, wall, exit_status, outcome)

    def mark_stopping(self, run: int, move: int | None) -> None:
        """This run is about to be stopped, to be handed over by `move` if that is given.

        However it ends from now on, it was stopped: an exit status of 0 does not mean that the
        task is done.
        """
        with self.transaction() as db:
            db.execute("UPDATE runs SET stopping = ? WHERE run = ?", (move or 0, run))

    def hand_out(  # noqa: PLR0913, PLR0917 - a row's columns
        self,
        run: int | None,
        task: str,
        vm: str,
        definition: str,
        move: int,
        boot_id: str,
        at: float,
        wall: float,
        exit_status: int | None,
    ) -> int:
        """The task belongs to `vm` from here on; returns the number of its run there.

        At once, so that it never belongs to two places or to none: the local run `run` (None: it
        was not running) ends as moved, and the one on the VM begins, not confirmed yet.
        """
        with self.transaction() as db:
            if run is not None:
                _end(db, run, wall, exit_status, "moved")
            return _begin(db, task, vm, definition, boot_id, at, wall, move)

    def confirm_run(self, run: int) -> None:
        """The VM has started the run."""
        with self.transaction() as db:
            db.execute("UPDATE runs SET confirmed = 1 WHERE run = ?", (run,))

    def hand_back(self, run: int, wall: float, exit_status: int | None, outcome: str) -> None:
        """The VM's run has ended and its checkpoint is here: the task belongs here again."""
        self.end_run(run, wall, exit_status, outcome)

    def live_runs(self) -> list[Run]:
        """Runs that have not ended as far as is known."""
        return self._runs("WHERE ended_wall IS NULL ORDER BY run")

    def run(self, number: int) -> Run | None:
        """The run of that number, if it is remembered."""
        return next(iter(self._runs(f"WHERE run = {int(number)}")), None)

    def last_runs(self) -> dict[str, Run]:
        """The newest run of each task."""
        rows = self._runs("WHERE run IN (SELECT MAX(run) FROM runs GROUP BY task)")
        return {row.task: row for row in rows}

    def record_decision(
        self, boot_id: str, at: float, wall: float, action: str, tasks: str, reason: str
    ) -> int:
        """A move is about to be carried out; returns its number."""
        with self.transaction() as db:
            cursor = db.execute(
                "INSERT INTO decisions (boot_id, at, wall, action, tasks, reason)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (boot_id, at, wall, action, tasks, reason),
            )
            assert cursor.lastrowid is not None
            db.execute(
                "DELETE FROM decisions WHERE decision <= ?", (cursor.lastrowid - _KEPT_DECISIONS,)
            )
        return cursor.lastrowid

    def end_decision(self, decision: int, outcome: str) -> None:
        """The move has ended, `outcome` says how."""
        with self.transaction() as db:
            db.execute("UPDATE decisions SET outcome = ? WHERE decision = ?", (outcome, decision))

    def decisions(self, limit: int) -> list[Decision]:
        """The last decisions, the newest first."""
        rows = self.rows("SELECT * FROM decisions ORDER BY decision DESC LIMIT ?", limit)
        return [Decision(*row) for row in rows]

    def _runs(self, where: str) -> list[Run]:
        rows = self.rows(f"SELECT * FROM runs {where}")
        return [replace(Run(*row), confirmed=bool(row[-1])) for row in rows]


def _begin(
    db: Connection,
    task: str,
    place: str,
    definition: str,
    boot_id: str,
    at: float,
    wall: float,
    move: int | None,
) -> int:
    run = db.execute(
        "INSERT INTO runs (task, place, definition, boot_id, begun, begun_wall, move)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (task, place, definition, boot_id, at, wall, move),
    ).lastrowid
    assert run is not None
    db.execute(
        "DELETE FROM runs WHERE task = ? AND ended_wall IS NOT NULL AND run NOT IN"
        " (SELECT run FROM runs WHERE task = ? ORDER BY run DESC LIMIT ?)",
        (task, task, _KEPT_RUNS),
    )
    return run


def _end(db: Connection, run: int, wall: float, exit_status: int | None, outcome: str) -> None:
    db.execute(
        "UPDATE runs SET ended_wall = ?, exit_status = ?, outcome = ?"
        " WHERE run = ? AND ended_wall IS NULL",
        (wall, exit_status, outcome, run),
    )
