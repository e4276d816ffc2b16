# SPDX-License-Identifier: GPL-3.0-or-later
"""Monitors, links and VMs that are lost: no task runs twice, and no VM is left billing."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import pairwise

import pytest

from tests.system.burst_lab import QUIET, BurstLab, wait_until
from tests.system.sandbox import Sandbox

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(280)]

LEASE, MARGIN = 10, 2
BETWEEN = QUIET + 45  # percent: neither threshold is passed


@pytest.fixture(scope="module")
def account(running: Sandbox) -> str:
    """The service account by which a VM may delete itself, as project_setup makes it."""
    done = running.play("project_setup.yml")
    assert done.status == 0, done.output
    return f"cloudspill-burst@{running.client_environment()['GCP_PROJECT']}.iam.gserviceaccount.com"


@pytest.fixture
def lab(
    running: Sandbox, account: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BurstLab]:
    """A monitor with a short lease, whose tasks 3 and 4 are away."""
    made = BurstLab(running, tmp_path_factory.mktemp("burst"))
    made.configure(burst={"service_account": account, "lease": LEASE, "lease_margin": MARGIN})
    try:
        made.start()
        made.spill()
        made.cpu(BETWEEN)
        yield made
    finally:
        made.destroy()
        made.sandbox.cli("faults", "clear")


def gone_within(lab: BurstLab, seconds: float) -> None:
    wait_until(lambda: lab.machines() == [], seconds, "the VM has deleted itself")


def ended_by(lab: BurstLab, moment: float) -> None:
    """No task of a VM ran after the moment (CLOCK_BOOTTIME)."""
    remote = [one for one in lab.intervals() if "cloudspill-burst" in one.place]
    assert remote
    assert max(one.last for one in remote) < moment


def now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def test_a_vm_whose_monitor_is_gone_for_good_ends_its_tasks_and_itself(lab: BurstLab) -> None:
    lab.end(signal.SIGKILL)
    killed = now()
    gone_within(lab, LEASE + 60)
    ended_by(lab, killed + LEASE + MARGIN)


@pytest.mark.exhaustive
def test_one_that_may_not_delete_itself_goes_at_max_lifetime(
    running: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lab = BurstLab(running, tmp_path_factory.mktemp("burst"))
    lab.configure(burst={"lease": LEASE, "lease_margin": MARGIN, "max_lifetime": 60})
    try:
        lab.start()
        lab.spill()
        made = now()
        lab.end(signal.SIGKILL)
        killed = now()
        gone_within(lab, 60 + 30)
        assert now() - made < 60 + 30
        ended_by(lab, killed + LEASE + MARGIN)
    finally:
        lab.destroy()


def test_a_killed_monitor_takes_its_tasks_up_where_they_are(lab: BurstLab) -> None:
    vm = lab.places()["Task 3"]
    lab.end(signal.SIGKILL)
    since = len(lab.lines)
    lab.start()
    lab.says(rf"VMs: {vm} \(", since=since)
    wait_until(lambda: lab.status()["vms"][0]["connected"], 20, "the stream is there again")
    assert lab.places()["Task 3"] == vm
    assert lab.end() == 0
    assert lab.machines() == []
    lab.audit()


def test_a_link_that_is_cut_for_a_moment_loses_no_line_and_repeats_none(
    running: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lab = BurstLab(running, tmp_path_factory.mktemp("burst"))
    lab.configure(burst={"lease": 60})  # far longer than the cut
    try:
        lab.start()
        vm = lab.spill()
        lab.cpu(BETWEEN)
        lab.fault("network-cut", "--match", vm, "--for", "10")
        lab.says(rf"{vm} does not answer", 20)
        wait_until(lambda: lab.status()["vms"][0]["connected"], 40, "the stream is there again")
        assert lab.places()["Task 3"] == vm
        assert lab.end() == 0
        (log,) = (lab.folder / "state" / "logs").glob(f"Task_3.{vm}.*.log")
        told = [int(line.split()[-1]) for line in log.read_text().splitlines()]
        steps = [later - earlier for earlier, later in pairwise(told[1:-1])]
        assert set(steps) == {50}, told  # a line each 50 counts
        lab.audit()
    finally:
        lab.destroy()


def test_a_link_that_heals_after_the_lease_makes_nothing_run_twice(lab: BurstLab) -> None:
    vm = lab.places()["Task 3"]
    since = len(lab.lines)
    lab.fault("network-cut", "--match", vm, "--from", "all", "--for", str(2 * LEASE + MARGIN))
    cut = now()
    lab.says(r"Task 3 started as process", 90, since)
    ended_by(lab, cut + LEASE + MARGIN)
    gone_within(lab, 90)  # it deletes itself as soon as it is heard again
    assert lab.end() == 0
    safe = {f"Task {n}": 0 for n in (3, 4)}
    lab.audit(safe)


def test_a_suspended_laptop_finds_its_tasks_where_they_may_be(lab: BurstLab) -> None:
    assert lab.process is not None
    family = [lab.process.pid, *children(lab.process.pid)]
    since = len(lab.lines)
    signal_all(family, signal.SIGSTOP)
    time.sleep(LEASE + MARGIN)  # a suspend is this long, whatever happens meanwhile
    signal_all(reversed(family), signal.SIGCONT)
    lab.says(r"no sample for", 20, since)
    lab.says(r"Task 3 started as process", 3 * LEASE, since)
    assert lab.end() == 0
    assert lab.machines() == []
    lab.audit({f"Task {n}": 0 for n in (3, 4)})


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # the end of a playbook, as it may be
            os.kill(pid, number)


def children(pid: int) -> list[int]:
    found: list[int] = []
    with (
        suppress(FileNotFoundError, ProcessLookupError),
        open(f"/proc/{pid}/task/{pid}/children") as listed,  # noqa: PTH123
    ):
        for child in map(int, listed.read().split()):
            found += [child, *children(child)]
    return found
