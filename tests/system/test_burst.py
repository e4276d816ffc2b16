# SPDX-License-Identifier: GPL-3.0-or-later
"""The burst as an operator lives it: tasks spill into the cloud, and come home.

The tests tell one story in order; each begins where the one before it ended. The monitor is the
real one, with real playbooks, ssh and machines; only what it takes for the machine's CPU is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.burst_lab import BUSY, QUIET, BurstLab, wait_until
from tests.system.sandbox import Sandbox

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(280)]


@pytest.fixture(scope="module")
def lab(running: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BurstLab]:
    """The classic four tasks."""
    made = BurstLab(running, tmp_path_factory.mktemp("burst"))
    made.configure()
    try:
        yield made
    finally:
        made.destroy()


def test_two_tasks_spill_when_the_load_rises(lab: BurstLab) -> None:
    lab.start()
    lab.all_say([rf"Task {n} started as process" for n in range(1, 5)])
    lab.cpu(BUSY)
    lab.says(r"SCALE OUT: moving Task 3, Task 4 to 1 new VM")
    lab.all_say([r"Task 3 runs on burst-\w+-1", r"Task 4 runs on burst-\w+-1"])
    places = lab.places()
    assert places["Task 1"] == places["Task 2"] == "local"
    assert places["Task 3"] == places["Task 4"] == lab.machines()[0]


def test_their_logs_come_home(lab: BurstLab) -> None:
    vm = lab.places()["Task 3"]
    lab.all_say([rf"\[{vm} Task {n}\] Task {n} goes on from \d+" for n in (3, 4)])


def test_they_come_home_with_their_progress_when_the_load_falls(lab: BurstLab) -> None:
    since = len(lab.lines)
    lab.cpu(QUIET)
    lab.says(r"SCALE IN: bringing home Task")  # both, or one after the other
    lab.all_say([rf"Task {n} is home from burst-\w+-1; it ran nowhere for" for n in (3, 4)])
    lab.all_say([rf"\[Task {n}\] Task {n} goes on from" for n in (3, 4)], since=since)
    found = lab.audit()
    for task in ("Task 3", "Task 4"):
        here, there, again = (one for one in found if one.task == task)
        assert here.counter == 0 < here.reached == there.counter < there.reached == again.counter
        assert here.place == again.place != there.place
        assert here.run != again.run


def test_the_same_vm_is_used_again(lab: BurstLab) -> None:
    machines = lab.machines()
    since = len(lab.lines)
    lab.cpu(BUSY)
    lab.says(rf"SCALE OUT: moving Task 3, Task 4 to {machines[0]}", since=since)
    lab.all_say([rf"Task {n} runs on {machines[0]}; it ran nowhere" for n in (3, 4)], since=since)
    assert lab.machines() == machines


def test_status_shows_vm_lease_and_cost(lab: BurstLab) -> None:
    (vm,) = lab.status()["vms"]
    assert vm["state"] == "up"
    assert vm["connected"]
    assert 0 < vm["lease"] <= 20 + 3
    assert vm["cost"] > 0
    assert sorted(vm["tasks"]) == ["Task 3", "Task 4"]


def test_sigterm_leaves_no_process_and_no_vm(lab: BurstLab) -> None:
    assert lab.end() == 0, lab.tail()
    assert lab.machines() == []
    assert lab.sandbox.resources()["disks"] == []
    assert lab.status()["running"] is False
    wait_until(lambda: not processes_in(lab.folder), 30, "no process is left")
    found = lab.audit()
    for number in (1, 2, 3, 4):
        kept = int((lab.folder / f"task-{number}" / "progress").read_text())
        assert kept == [one.reached for one in found if one.task == f"Task {number}"][-1]


def processes_in(folder: Path) -> list[str]:
    """Command lines of what works in the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "cwd").resolve().is_relative_to(folder):
                    found.append((entry / "cmdline").read_text())
            except OSError:
                continue
    return found
