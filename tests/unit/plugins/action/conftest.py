# SPDX-License-Identifier: GPL-3.0-or-later
"""A monitor that is no monitor, a VM that is no machine, and the role burst_tasks between them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.burst_keeper.local_vm import LocalVm
from tests.unit.plugins.action.monitor_stand_in import MonitorStandIn

ROOT = Path(__file__).parents[4]
NAME = "burst-1"


@dataclass(frozen=True, slots=True)
class Play:
    """What came of a run of the role."""

    status: int
    output: str


@dataclass(frozen=True, slots=True)
class Tasks:
    """Runs the role burst_tasks on one VM."""

    folder: Path
    monitor: MonitorStandIn
    login: str

    def run(self, *options: str, host: dict[str, Any] | None = None, **variables: Any) -> Play:
        """Run it for all tasks of the monitor; variables and the host's can be replaced."""
        play = {
            "hosts": NAME,
            "gather_facts": False,
            "roles": [{"role": "cloudspill.gcp.burst_tasks"}],
        }
        inventory = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "gce_zone": "us-west1-b",
            "gce_id": "42",
            "gce_machineType": "n1-standard-1",
            "gce_ssh_command": self.login,
            **(host or {}),
        }
        given = {
            "burst_tasks_direction": self.monitor.direction,
            "burst_tasks_control": str(self.monitor.socket),
            "burst_tasks_move": self.monitor.move,
            "burst_tasks_names": list(self.monitor.runs),
            "burst_tasks_files": str(self.monitor.files())
            if self.monitor.direction == "out"
            else "",
            "burst_tasks_spot": True,
            "burst_tasks_timeout": 20,
            **variables,
        }
        (self.folder / "play.yml").write_text(yaml.safe_dump([play]))
        hosts = {"all": {"hosts": {NAME: inventory}}}
        (self.folder / "hosts.yml").write_text(yaml.safe_dump(hosts))
        words = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "hosts.yml"]
        done = subprocess.run(
            [*words, "-e", json.dumps(given), *options, "play.yml"],
            cwd=self.folder,
            env={**os.environ, "HOME": str(self.folder), "ANSIBLE_FORCE_COLOR": "0"},
            timeout=120,
            capture_output=True,
            text=True,
            check=False,
        )
        return Play(done.returncode, " ".join((done.stdout + done.stderr).split()))


@pytest.fixture
def folder() -> Iterator[Path]:
    """One whose path is short enough for a socket's address."""
    with tempfile.TemporaryDirectory(prefix="burst-") as name:
        yield Path(name)


@pytest.fixture
def machine(folder: Path) -> Iterator[LocalVm]:
    """A VM whose keeper answers."""
    vm = LocalVm(folder / "vm", lease=30.0, tick=0.1)
    vm.boot()
    try:
        vm.wait_ready()
        yield vm
    finally:
        vm.destroy()


@pytest.fixture
def monitor(folder: Path) -> Iterator[MonitorStandIn]:
    """A monitor that listens."""
    subject = MonitorStandIn(folder)
    with subject.listening():
        yield subject


@pytest.fixture
def tasks(folder: Path, monitor: MonitorStandIn, machine: LocalVm) -> Tasks:
    """The role, with all that it needs."""
    return Tasks(folder, monitor, str(machine.ssh))
