# SPDX-License-Identifier: GPL-3.0-or-later
"""Each way in which a move may fail: the tasks go on, the reason is shown, nothing is left.

One monitor lives through all of it; each test leaves it idle, with every task at home.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator

import pytest

from cloudspill_monitor.journal import Journal
from tests.system.burst_lab import BUSY, QUIET, BurstLab, wait_until
from tests.system.sandbox import Sandbox

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(280)]


@pytest.fixture(scope="module")
def lab(running: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BurstLab]:
    """A monitor that runs, with patience for a boot of 15 s and a playbook of 40 s."""
    made = BurstLab(running, tmp_path_factory.mktemp("burst"))
    inventory = made.inventory({"burst_vm_timeout": 15, "burst_vm_login_timeout": 15})
    made.configure(
        burst={"inventory": str(inventory), "playbook_timeout": 40, "spot": True}, low_duration=1
    )
    made.start()
    try:
        made.says(r"Task 4 started as process")
        yield made
    finally:
        made.destroy()


@pytest.fixture(autouse=True)
def calm(lab: BurstLab) -> Iterator[None]:
    """No fault stays armed, and no VM is left."""
    try:
        yield
    finally:
        lab.cpu(QUIET)
        lab.sandbox.cli("faults", "clear")
    if lab.process is not None:
        wait_until(lambda: set(lab.places().values()) == {"local"}, 60, "all tasks are at home")


def fail_once(lab: BurstLab, kind: str, within: float = 90.0) -> str:
    """Let the load rise until a move fails; what is said of it."""
    since = len(lab.lines)
    lab.cpu(BUSY)
    said = lab.says(rf"scale out failed \({kind}\): .*", within, since)[0]
    lab.cpu(QUIET)
    assert set(lab.places().values()) == {"local"}
    return said


def nothing_left(lab: BurstLab) -> None:
    wait_until(lambda: lab.machines() == [], 60, "no VM is left")
    lab.audit()


@pytest.mark.parametrize(
    ("kind", "fault", "words"),
    [
        ("stock-out", ["stock-out"], "ZONE_RESOURCE_POOL_EXHAUSTED"),
        ("quota", ["quota"], "quotaExceeded|Quota|quota"),
        ("permission", ["forbidden", "--method", "compute.instances.insert"], "permission"),
    ],
)
def test_google_refuses(lab: BurstLab, kind: str, fault: list[str], words: str) -> None:
    lab.fault(*fault, "--match", "burst-*", "--count", "forever")
    fail_once(lab, kind)
    assert lab.status()["failure"]["kind"] == kind
    assert lab.status()["failure"]["advice"]
    nothing_left(lab)


def test_a_vm_that_does_not_boot_tells_why_and_goes(lab: BurstLab) -> None:
    lab.fault("boot-failure", "--match", "burst-*")
    said = fail_once(lab, "boot-failure")
    assert "last serial lines" in said
    nothing_left(lab)


@pytest.mark.exhaustive
def test_a_playbook_that_takes_too_long_is_ended_with_all_it_began(lab: BurstLab) -> None:
    lab.reload(playbook_timeout=10)
    lab.fault(
        *("operation-slow", "--method", "compute.instances.insert", "--delay", "100"),
        *("--step", "boot", "--match", "burst-*"),
    )
    fail_once(lab, "timeout")
    assert plays() == []
    lab.reload(playbook_timeout=40)
    lab.sandbox.cli("faults", "clear")
    nothing_left(lab)


def plays() -> list[str]:
    listed = subprocess.run(["ps", "-eo", "cmd"], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if "cloudspill.gcp.scale_" in line]


@pytest.mark.exhaustive
def test_a_name_that_a_stranger_has_is_left_alone_and_another_is_taken(lab: BurstLab) -> None:
    journal = Journal(lab.folder / "state" / "journal.db")
    name = f"burst-{journal.controller()[:6]}-{journal.vm_count() + 1}"
    journal.close()
    words = ("gcloud", "compute", "instances", "create", name, "--zone", "us-west1-b")
    lab.sandbox.client(*words, "--machine-type", "f1-micro")
    try:
        assert name in fail_once(lab, "name-taken")
        wait_until(lambda: lab.status()["vms"] == [], 30, "the stranger is not counted")
        other = lab.spill()
        assert other != name
        assert sorted(lab.machines()) == sorted([name, other])
        lab.return_home()
        assert name in lab.machines()
    finally:
        lab.sandbox.client(*words[:3], "delete", name, "--zone", "us-west1-b", "--quiet")


def test_a_full_disk_there_leaves_the_tasks_here(lab: BurstLab) -> None:
    vm = lab.spill()  # the VM of the test before, or a new one
    lab.return_home()
    lab.fault("disk-full", "--match", vm)
    fail_once(lab, "disk-full-there")
    lab.audit()


def test_a_preempted_vm_gives_its_tasks_back_within_the_notice(lab: BurstLab) -> None:
    vm = lab.spill()
    since = len(lab.lines)
    lab.cpu(QUIET + 45)  # between the thresholds: nothing but the preemption brings them home
    lab.fault("preemption", "--match", vm)
    lab.says(rf"{vm} is being preempted", 30, since)
    lab.all_say([r"Task 3 started as process", r"Task 4 started as process"], 30, since)
    lab.audit()  # they went on from what they had done when the notice came
    nothing_left(lab)


def test_a_disk_full_here_keeps_the_tasks_there(lab: BurstLab) -> None:
    lab.spill()
    staging = lab.folder / "state" / "staging"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "none", str(staging)], check=True)
    try:
        (staging / "fill").write_bytes(bytes(4096))
        since = len(lab.lines)
        lab.cpu(QUIET)
        lab.says(r"scale in failed \(disk-full-here\)", 60, since)
        lab.cpu(QUIET + 45)
        wait_until(lambda: "local" not in (lab.places()["Task 3"], lab.places()["Task 4"]), 30, "")
    finally:
        subprocess.run(["umount", str(staging)], check=True)
    lab.return_home()
    lab.audit()


def test_in_the_end_nothing_is_left(lab: BurstLab) -> None:
    assert lab.end(signal.SIGINT) == 0
    nothing_left(lab)
