# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal's part on the cloud: moves, and the VMs that they use."""

from __future__ import annotations

import json
from collections.abc import Sequence

from cloudspill_monitor.journal_file import JournalError, JournalFile
from cloudspill_monitor.journal_records import Move, Vm

_KEPT = 1000  # moves, and VMs that are gone
_VM = (
    "vm, zone, machine_type, spot, instance_id, ssh_command, state, boot_id, planned_at,"
    " planned_wall, up_wall, gone_wall, lease, max_lifetime, price_per_hour"
)


class MoveJournal(JournalFile):
    """Moves have increasing numbers, for ever. A VM's name is used once."""

    def begin_move(
        self,
        decision: int | None,
        direction: str,
        tasks: Sequence[str],
        vms: Sequence[str],
        boot_id: str,
        at: float,
        wall: float,
    ) -> int:
        """A playbook is about to move `tasks`; returns the move's number."""
        with self.transaction() as db:
            move = db.execute(
                "INSERT INTO moves (decision, direction, tasks, vms, boot_id, at, wall)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (decision, direction, json.dumps([*tasks]), json.dumps([*vms]), boot_id, at, wall),
            ).lastrowid
            assert move is not None
            db.execute(
                "DELETE FROM moves WHERE move <= ? AND ended_wall IS NOT NULL", (move - _KEPT,)
            )
        return move

    def end_move(self, move: int, wall: float, outcome: str) -> None:
        """The move is settled: for each of its tasks it is known where it is."""
        with self.transaction() as db:
            db.execute(
                "UPDATE moves SET ended_wall = ?, outcome = ?"
                " WHERE move = ? AND ended_wall IS NULL",
                (wall, outcome, move),
            )

    def open_moves(self) -> list[Move]:
        """Moves that are not settled, the oldest first."""
        rows = self.rows("SELECT * FROM moves WHERE ended_wall IS NULL ORDER BY move")
        return [
            Move(move, decision, way, tuple(json.loads(tasks)), tuple(json.loads(vms)), *rest)
            for move, decision, way, tasks, vms, *rest in rows
        ]

    def last_move(self) -> int:
        """The highest number that a move was ever given; 0 before the first."""
        return self._given("moves")

    def plan_vm(
        self,
        vm: str,
        *,
        spot: bool,
        lease: float,
        max_lifetime: float,
        price_per_hour: float,
        boot_id: str,
        at: float,
        wall: float,
    ) -> None:
        """A VM is about to be made. JournalError if its name was ever used."""
        with self.transaction() as db:
            number = db.execute(
                "INSERT INTO vms (vm, spot, boot_id, planned_at, planned_wall, lease,"
                " max_lifetime, price_per_hour) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (vm, spot, boot_id, at, wall, lease, max_lifetime, price_per_hour),
            ).lastrowid
            assert number is not None
            db.execute("DELETE FROM vms WHERE number <= ? AND state = 'gone'", (number - _KEPT,))

    def vm_up(
        self,
        vm: str,
        *,
        zone: str,
        machine_type: str,
        spot: bool,
        instance_id: str,
        ssh_command: Sequence[str],
        wall: float,
    ) -> None:
        """The VM can be reached. JournalError if none of this name was planned, or it is to go."""
        with self.transaction() as db:
            changed = db.execute(
                "UPDATE vms SET state = 'up', zone = ?, machine_type = ?, spot = ?,"
                " instance_id = ?, ssh_command = ?, up_wall = COALESCE(up_wall, ?)"
                " WHERE vm = ? AND state IN ('planned', 'up')",
                (zone, machine_type, spot, instance_id, json.dumps([*ssh_command]), wall, vm),
            ).rowcount
            if changed != 1:
                raise JournalError(f"{self._path}: no VM {vm} is expected to come up")

    def vm_deleting(self, vm: str) -> None:
        """The VM is about to be deleted; nothing is moved to it any more."""
        with self.transaction() as db:
            db.execute("UPDATE vms SET state = 'deleting' WHERE vm = ? AND state != 'gone'", (vm,))

    def vm_gone(self, vm: str, wall: float) -> None:
        """The VM is known not to exist (any more)."""
        with self.transaction() as db:
            db.execute(
                "UPDATE vms SET state = 'gone', gone_wall = ? WHERE vm = ? AND state != 'gone'",
                (wall, vm),
            )

    def vms(self, *, living: bool = True) -> list[Vm]:
        """VMs that may exist (or, with `living` false, all that are remembered), oldest first."""
        which = "WHERE state != 'gone'" if living else ""
        rows = self.rows(f"SELECT {_VM} FROM vms {which} ORDER BY number")
        return [
            Vm(vm, zone, machine_type, bool(spot), instance, tuple(json.loads(ssh)), *rest)
            for vm, zone, machine_type, spot, instance, ssh, *rest in rows
        ]

    def vm_count(self) -> int:
        """How many VMs were ever planned: the next one is number `vm_count() + 1`."""
        return self._given("vms")

    def _given(self, table: str) -> int:
        rows = self.rows("SELECT seq FROM sqlite_sequence WHERE name = ?", table)
        return int(rows[0][0]) if rows else 0
