# SPDX-License-Identifier: GPL-3.0-or-later
"""What the policy is told of tasks that are at a VM."""

from __future__ import annotations

import pytest

from cloudspill_monitor.loads import LoadMeters
from cloudspill_monitor.local_task import LocalTask
from cloudspill_monitor.placement import Placement
from cloudspill_monitor.policy_types import LOCAL, TaskLoad
from cloudspill_monitor.procfs import ProcessStat
from cloudspill_monitor.task_process import TaskProcess

from .conftest import task

WINDOW = 10.0


@pytest.fixture
def local() -> LocalTask:
    """A task that runs here."""
    here = LocalTask(task("true"), "running")
    here.process = TaskProcess(1, 40, 1, None)  # type: ignore[arg-type]
    return here


def look(meters: LoadMeters, local: LocalTask, at: float, cpu: float = 0.0) -> None:
    if local.process is not None:
        local.members = (
            _stat(40, 0.0, 1),
            _stat(41, cpu, 3),
        )
    meters.read([local], WINDOW, at, 50.0)


def _stat(pid: int, cpu: float, threads: int) -> ProcessStat:
    return ProcessStat(
        pid=pid,
        state="R",
        parent=1,
        group=40,
        session=40,
        start_ticks=1,
        cpu=cpu,
        threads=threads,
    )


def go(local: LocalTask) -> None:
    local.phase, local.place, local.process, local.members = "away", "burst-1", None, ()


def load(meters: LoadMeters, local: LocalTask) -> TaskLoad:
    (found,) = meters.loads([local], Placement(), 4)
    return found


def test_a_task_counts_where_it_is_as_it_was_measured_there(local: LocalTask) -> None:
    meters = LoadMeters()
    look(meters, local, 1.0, 0.0)
    look(meters, local, 2.0, 0.5)
    assert (load(meters, local).place, load(meters, local).cpu) == (LOCAL, 0.5)
    go(local)
    look(meters, local, 3.0)
    meters.read_away("t", 7.0, 3.0, False)
    assert (load(meters, local).place, load(meters, local).cpu) == ("burst-1", 0.5)
    meters.read_away("t", 7.0, 3.0, False)  # the same tick again
    assert load(meters, local).cpu == 0.5
    look(meters, local, 4.0)
    meters.read_away("t", 7.9, 4.0, True)
    there = load(meters, local)
    assert there.cpu == pytest.approx(0.9)
    assert (there.lower_bound, there.ceiling) == (True, 3.0)
    assert meters.cores("t") == there.cpu
    assert meters.elsewhere(Placement(), 4) == 0.0


def test_what_a_task_used_at_a_vm_is_forgotten_at_home(local: LocalTask) -> None:
    meters = LoadMeters()
    go(local)
    look(meters, local, 1.0)
    assert load(meters, local).cpu is None
    meters.read_away("t", 1.0, 1.0, False)
    meters.read_away("t", 2.0, 2.0, False)
    assert load(meters, local).cpu == 1.0
    local.phase, local.place = "running", LOCAL
    local.process = TaskProcess(2, 40, 1, None)  # type: ignore[arg-type]
    look(meters, local, 3.0)
    assert load(meters, local).cpu is None
    go(local)
    look(meters, local, 4.0)
    meters.read_away("t", 0.1, 4.0, False)
    assert load(meters, local).cpu is None


def test_a_task_that_has_stopped_and_not_arrived_is_no_load(local: LocalTask) -> None:
    meters = LoadMeters()
    go(local)
    local.place = LOCAL
    look(meters, local, 1.0)
    assert meters.loads([local], Placement(), 4) == ()


def test_a_move_that_is_only_pretended_counts_as_made(local: LocalTask) -> None:
    meters = LoadMeters()
    look(meters, local, 1.0, 0.0)
    look(meters, local, 2.0, 1.0)
    (found,) = meters.loads([local], Placement().moved(["t"], "vm"), 4)
    assert found.place == "vm"
    assert meters.elsewhere(Placement().moved(["t"], "vm"), 4) == 25.0
