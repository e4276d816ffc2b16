# SPDX-License-Identifier: GPL-3.0-or-later
"""The burst's playbooks on real machines, for a monitor that only answers.

The tests tell one story in order; each begins where the one before it ended.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.sandbox import Play, Sandbox, eventually
from tests.unit.plugins.action.monitor_stand_in import MonitorStandIn, counted

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(280)]

CONTROLLER = "c0ffee00"
NAME = f"burst-{CONTROLLER}-1"
LEASE = 8
NOWHERE = 5.0  # seconds that a task may run nowhere, at most; half of one on an idle machine


class Monitor(MonitorStandIn):
    """Fires playbooks as the monitor does, and answers them."""

    sandbox: Sandbox

    def play(self, playbook: str, *options: str, name: str = NAME, **more: Any) -> Play:
        """Run one for all tasks; what the monitor gives it can be replaced."""
        vm: dict[str, Any] = {"name": name, "tasks": list(self.runs), "files": str(self.files())}
        given = {
            "burst_move": self.move,
            "burst_control": str(self.socket),
            "burst_vms": [vm | {"delete": more.pop("delete", False)}],
            "burst_vm_controller": CONTROLLER,
            "burst_vm_lease": LEASE,
            "burst_vm_timeout": 60,
            **more,
        }
        done = self.sandbox.run(
            "ansible-playbook",
            f"playbooks/{playbook}",
            *("-e", json.dumps(given)),
            *options,
            check=False,
            extra={"CLOUDSPILL_FILTERS": f"labels.cloudspill-controller={CONTROLLER}"},
        )
        return Play(done.returncode, " ".join((done.stdout + done.stderr).split()))

    def go(self, move: int, direction: str, **runs: int) -> None:
        """Begin a move of tasks."""
        self.move, self.direction = move, direction
        self.runs = {f"Task {number}": run for number, run in runs.items()}
        self.asked.clear()

    def nowhere(self, task: str) -> float:
        """Seconds from the hand-over to its confirmation."""
        return self.at["confirm", task] - self.at["handover", task]


@pytest.fixture(scope="module")
def prepared(running: Sandbox) -> Sandbox:
    """The sandbox, with the account of burst VMs."""
    setup = running.play("project_setup.yml")
    assert setup.status == 0, setup.output
    return running


@pytest.fixture(scope="module")
def monitor(prepared: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitor]:
    """A monitor that listens, and whose streams are cut at the end."""
    subject = Monitor(tmp_path_factory.mktemp("monitor"))
    subject.sandbox = prepared
    with pytest.MonkeyPatch.context() as patch, subject.listening():
        patch.setenv("HOME", prepared.base["HOME"])  # its ssh keeps host keys there
        yield subject


def instances(sandbox: Sandbox) -> list[str]:
    return sandbox.resources()["instances"]


def test_tasks_go_to_a_vm_that_is_made_for_them(monitor: Monitor) -> None:
    monitor.go(1, "out", A=1, B=2)
    play = monitor.play("scale_out.yml")
    assert play.status == 0, play.output
    assert instances(monitor.sandbox) == [NAME]
    assert {answer["state"] for answer in monitor.answers.values()} == {"running"}
    for task in monitor.runs:
        assert monitor.nowhere(task) < NOWHERE
    unit = monitor.sandbox.cli("ssh", NAME, "systemctl", "show", "-P", "User", "cloudspill-task-1")
    assert unit.stdout.strip() == "cloudspill-task"


def test_they_come_home_with_what_they_have_counted(monitor: Monitor) -> None:
    monitor.go(2, "home", A=1, B=2)
    play = monitor.play("scale_in.yml")
    assert play.status == 0, play.output
    for task in monitor.runs:
        assert counted(monitor.delivered(task)) > int(monitor.checkpoint)
        assert monitor.nowhere(task) < NOWHERE
    assert instances(monitor.sandbox) == [NAME], "it is kept for the next time"


def test_the_same_vm_is_used_again_and_nothing_of_it_changed(monitor: Monitor) -> None:
    monitor.go(3, "out")
    play = monitor.play("scale_out.yml", burst_vms=[{"name": NAME, "tasks": [], "files": None}])
    assert (play.status, play.changed) == (0, 0), play.output
    assert monitor.said == [("vm_ready", NAME)]


def test_a_vm_that_is_leased_is_not_reaped(monitor: Monitor) -> None:
    play = monitor.play("reap.yml", burst_vm_reap_delete=True, burst_vm_reap_margin=1)
    assert play.status == 0, play.output
    assert re.search(rf"leaves {NAME}: its lease lasts \d+ s", play.output), play.output
    assert instances(monitor.sandbox) == [NAME]


@pytest.mark.exhaustive
def test_of_a_vm_that_cannot_be_reached_no_task_is_asked_and_it_goes(monitor: Monitor) -> None:
    monitor.go(4, "out", C=3)
    assert monitor.play("scale_out.yml").status == 0
    monitor.sandbox.cli("faults", "add", "network-cut", "--match", NAME)
    monitor.go(5, "home", C=3)
    play = monitor.play("scale_in.yml", delete=True)
    monitor.sandbox.cli("faults", "clear")
    assert play.status != 0
    assert f"{NAME} does not let us in by ssh: " in play.output
    assert monitor.asked == []
    assert instances(monitor.sandbox) == []


@pytest.mark.exhaustive
def test_a_vm_that_does_not_boot_is_told_with_its_last_lines_and_deleted(monitor: Monitor) -> None:
    monitor.go(6, "out", D=4)
    monitor.sandbox.cli("faults", "add", "boot-failure", "--match", f"{NAME}-b")
    play = monitor.play("scale_out.yml", name=f"{NAME}-b", burst_vm_timeout=8)
    assert play.status != 0
    assert "its ssh (port 22) did not answer in time" in play.output
    assert re.search(r"it is deleted; its last serial lines:.*emergency", play.output), play.output
    assert monitor.asked == []
    assert instances(monitor.sandbox) == []


@pytest.mark.exhaustive
def test_a_vm_that_refuses_the_login_is_told_and_deleted(monitor: Monitor) -> None:
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAx"
    play = monitor.play(
        "scale_out.yml",
        name=f"{NAME}-s",
        burst_vm_metadata={"ssh-keys": f"cloudspill:{other} cloudspill"},
        burst_vm_login_timeout=5,
    )
    assert play.status != 0
    assert f"{NAME}-s does not let us in by ssh: " in play.output
    assert "Permission denied (publickey)" in play.output, play.output
    assert "it is deleted; its last serial lines:" in play.output
    assert monitor.asked == []
    assert instances(monitor.sandbox) == []


@pytest.mark.exhaustive
def test_a_vm_whose_monitor_is_gone_deletes_itself_by_its_account(monitor: Monitor) -> None:
    name = f"{NAME}-2"
    monitor.go(7, "out", E=5)
    play = monitor.play("scale_out.yml", name=name)
    assert play.status == 0, play.output
    monitor.hearts.pop(name).__exit__(None, None, None)
    began = time.monotonic()
    gone = eventually(
        lambda: instances(monitor.sandbox) == [], within=LEASE + 60, what="it deletes itself"
    )
    assert gone > LEASE / 2, f"not before its lease was over: {began}"


@pytest.mark.exhaustive
def test_one_that_cannot_delete_itself_is_reaped_when_asked(
    monitor: Monitor, tmp_path: Path
) -> None:
    name, report = f"{NAME}-3", tmp_path / "reap.json"
    monitor.go(8, "out", F=6)
    play = monitor.play("scale_out.yml", name=name, burst_vm_service_account="")
    assert play.status == 0, play.output
    assert "warning: without burst_vm_service_account a VM cannot delete itself" in play.output
    monitor.hearts.pop(name).__exit__(None, None, None)

    def expired() -> bool:
        listed = monitor.play("reap.yml", burst_vm_reap_margin=1, burst_vm_reap_report=str(report))
        assert listed.status == 0, listed.output
        return bool(json.loads(report.read_text())["machines"][0]["expired"])

    eventually(expired, within=60, what="its lease is over")
    assert instances(monitor.sandbox) == [name]
    assert monitor.play("reap.yml", "--check", burst_vm_reap_delete=True).status == 0
    assert instances(monitor.sandbox) == [name]
    deleted = monitor.play("reap.yml", burst_vm_reap_delete=True, burst_vm_reap_margin=1)
    assert f"deleted {name}" in deleted.output
    assert instances(monitor.sandbox) == []
