# SPDX-License-Identifier: GPL-3.0-or-later
"""The role `monitor`: a service that outlives its own death, and ends without a trace.

The tests tell one story in order; each begins where the one before it ended.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest

from tests.system.sandbox import BIN, ROOT, Play, Sandbox, eventually

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.slow,
    pytest.mark.exhaustive,
    pytest.mark.timeout(280),
]

MACHINE = "monitor-1"
WATCHDOG = 5
BEAT = "sh -c 'env > environment; while :; do date >> beats; sleep 0.2; done'"
TASK = {"name": "beat", "command": BEAT, "cwd": "/srv/task", "movable": False}
SECRET = "a-secret-of-the-service"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The monitor's wheel and all that pip needs to install it where there is no index."""
    directory = tmp_path_factory.mktemp("wheels")
    source = directory.parent / "monitor"
    shutil.copytree(ROOT / "monitor", source, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    made = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(directory), str(source)]
    subprocess.run(made, check=True)
    locked = directory.parent / "constraints.txt"
    locked.write_text("".join(f"{d.name}=={d.version}\n" for d in distributions()))
    machines = ["--only-binary=:all:", "--python-version=3.11"]
    wanted = [str(next(directory.glob("cloudspill_monitor-*.whl"))), "ansible-core", "google-auth"]
    subprocess.run(
        [*pip, "download", *machines, "-c", str(locked), "-d", str(directory), *wanted, "requests"],
        check=True,
    )
    shutil.make_archive(str(directory), "tar", directory.parent, directory.name)
    return directory


class Service:
    """The service on its machine, and the playbook that describes it."""

    def __init__(self, sandbox: Sandbox, wheels: Path) -> None:
        self.sandbox = sandbox
        self.wheels = wheels
        self.tasks: list[dict[str, Any]] = [TASK]
        self.threshold = 75
        self.moves: dict[str, Any] = {}
        self.burst: dict[str, Any] = {}

    def make(self) -> None:
        """Have the machine, with all that pip needs."""
        play = self._play("--skip-tags", "service")
        assert play.status == 0, play.output
        self.shell("mkdir -p /srv/task && chmod 777 /srv/task")

    def play(self, state: str = "present") -> Play:
        """Run the role."""
        return self._play("--limit", MACHINE, "--skip-tags", "wheels", state=state)

    def _play(self, *options: str, state: str = "present") -> Play:
        variables = {
            "instance_name": MACHINE,
            "instance_image": "projects/debian-cloud/global/images/family/debian-12",
            "wheels": str(self.wheels) + ".tar",
            "monitor_state": state,
            "monitor_wheel": str(next(self.wheels.glob("cloudspill_monitor-*.whl"))),
            "monitor_pip_arguments": ["--no-index", f"--find-links=/srv/{self.wheels.name}"],
            "monitor_watchdog": WATCHDOG,
            "monitor_environment": {"SOME_TOKEN": SECRET},
            "monitor_configuration": {
                "interval": 0.5,
                "threshold_high": self.threshold,
                "tasks": self.tasks,
                "burst": self.burst,
            },
            **self.moves,
        }
        playbook = str(ROOT / "tests" / "system" / "monitor_service.yml")
        done = self.sandbox.run(
            "ansible-playbook", playbook, "-e", json.dumps(variables), *options, check=False
        )
        return Play(done.returncode, done.stdout + done.stderr)

    def there(self, *command: str) -> str:
        """Run a command as root on the machine."""
        return self.sandbox.cli("ssh", MACHINE, *command).stdout.strip()

    def shell(self, script: str) -> str:
        return self.there("sh", "-c", script)

    def shown(self, name: str) -> str:
        return self.there(
            "systemctl", "show", "cloudspill-monitor.service", f"--property={name}", "--value"
        )

    @property
    def pid(self) -> int:
        return int(self.shown("MainPID"))

    def status(self) -> dict[str, Any]:
        said = self.shell("cloudspill-monitor status --output json || test $? = 3")
        answer: dict[str, Any] = json.loads(said)
        return answer

    def task_pids(self) -> dict[str, int]:
        return {task["name"]: task["pid"] for task in self.status()["tasks"]}

    def alive(self, pid: int) -> bool:
        return self.shell(f"test -e /proc/{pid} && echo yes || true") == "yes"

    def taken_over(self, before: int) -> float:
        """Wait until another process is the monitor and has taken a sample; returns the seconds."""

        def ready() -> bool:
            found = self.shown("ActiveState") == "active" and self.pid not in (0, before)
            return (
                found and self.shell("cloudspill-monitor status >&2 && echo yes || true") == "yes"
            )

        return eventually(ready, 60, "systemd starts the monitor again")


@pytest.fixture(scope="module")
def service(wheels: Path, running: Sandbox) -> Service:
    made = Service(running, wheels)
    made.make()
    return made


def test_a_configuration_without_tasks_is_refused_before_anything_is_done(
    service: Service,
) -> None:
    service.tasks = []
    play = service.play()
    assert play.status != 0
    assert "at least one of `tasks`" in play.output
    assert service.shell("ls -d /opt/cloudspill-monitor 2>/dev/null || true") == ""
    service.tasks = [TASK]


def test_the_service_runs_as_an_unprivileged_user(service: Service) -> None:
    play = service.play()
    assert play.status == 0, play.output
    assert SECRET not in play.output
    assert service.shown("ActiveState") == "active"
    assert service.shown("UnitFileState") == "enabled"
    assert service.there("ps", "-o", "user:20=", "-p", str(service.pid)) == "cloudspill-monitor"
    pid = service.task_pids()["beat"]
    assert service.there("ps", "-o", "user:20=", "-p", str(pid)) == "cloudspill-monitor"
    assert service.there("stat", "-c", "%a %U", "/etc/cloudspill-monitor/environment") == "640 root"
    assert service.there("stat", "-c", "%a", "/var/lib/cloudspill-monitor") == "700"
    words = service.there("cat", "/srv/task/environment")
    assert f"SOME_TOKEN={SECRET}" in words.splitlines()
    assert "NOTIFY_SOCKET" not in words
    assert service.shown("StatusText").startswith("cpu ")


def test_a_second_run_changes_nothing(service: Service) -> None:
    before = service.pid
    play = service.play()
    assert (play.status, play.changed) == (0, 0), play.output
    assert service.pid == before


def test_a_monitor_that_is_killed_comes_again_and_its_tasks_went_on(service: Service) -> None:
    before, tasks = service.pid, service.task_pids()
    service.there("kill", "-KILL", str(before))
    service.taken_over(before)
    assert service.task_pids() == tasks


def test_a_monitor_that_hangs_is_killed_by_the_watchdog(
    service: Service, record_property: Any
) -> None:
    before, tasks = service.pid, service.task_pids()
    service.there("kill", "-STOP", str(before))
    seconds = service.taken_over(before)
    record_property("figure", f"a monitor that hangs is back after {seconds:.1f} s")
    assert service.task_pids() == tasks
    assert "watchdog" in service.there(
        "journalctl", "--unit=cloudspill-monitor.service", "--output=cat", "--no-pager"
    )


def test_a_configuration_that_makes_no_sense_changes_nothing(service: Service) -> None:
    before = service.there("cat", "/etc/cloudspill-monitor/monitor.yml")
    pid, service.threshold = service.pid, 5
    play = service.play()
    service.threshold = 75
    assert play.status != 0
    assert "threshold_low (60) must be below threshold_high (5)" in play.output
    assert service.there("cat", "/etc/cloudspill-monitor/monitor.yml") == before
    assert service.pid == pid


def test_a_new_task_is_started_and_the_others_go_on(service: Service) -> None:
    before, tasks = service.pid, service.task_pids()
    service.tasks = [TASK, TASK | {"name": "second"}]
    play = service.play()
    assert play.status == 0, play.output
    eventually(lambda: bool(service.task_pids().get("second")), 20, "the new task runs")
    assert service.pid == before
    assert service.task_pids()["beat"] == tasks["beat"]


def test_a_restart_ends_the_tasks_in_order_and_starts_them_anew(service: Service) -> None:
    before, tasks = service.pid, service.task_pids()
    service.there("systemctl", "restart", "cloudspill-monitor.service")
    service.taken_over(before)
    assert not any(service.alive(pid) for pid in tasks.values())
    assert service.task_pids().keys() == tasks.keys()
    assert service.shown("NRestarts") == "0"


def test_what_moves_need_is_installed_and_found(service: Service, tmp_path: Path) -> None:
    galaxy = [str(BIN / "ansible-galaxy"), "collection", "build", "--output-path", str(tmp_path)]
    subprocess.run(galaxy, cwd=ROOT, check=True, capture_output=True)
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "hosts").write_text("localhost ansible_connection=local\n")
    service.moves = {
        "monitor_collections": [str(next(tmp_path.glob("cloudspill-gcp-*.tar.gz")))],
        "monitor_galaxy_arguments": ["--no-deps", "--offline"],
        "monitor_inventory": str(tmp_path / "inventory"),
    }
    service.burst = {"inventory": "inventory"}
    before = service.pid
    play = service.play()
    assert play.status == 0, play.output
    assert service.pid != before  # burst.inventory is read at the start alone
    found = service.there("cloudspill-monitor", "check")
    assert "moves are made by /opt/cloudspill-monitor/venv/bin/ansible-playbook" in found
    play = service.play()
    assert (play.status, play.changed) == (0, 0), play.output


def test_a_removal_leaves_no_process_and_keeps_what_was_done(service: Service) -> None:
    tasks = service.task_pids()
    play = service.play(state="absent")
    assert play.status == 0, play.output
    assert not any(service.alive(pid) for pid in tasks.values())
    left = service.shell(
        "ls -d /opt/cloudspill-monitor /etc/cloudspill-monitor /usr/local/sbin/cloudspill-monitor"
        " /etc/systemd/system/cloudspill-monitor.service 2>/dev/null || true"
    )
    assert left == ""
    assert service.shown("LoadState") == "not-found"
    assert "journal.db" in service.there("ls", "/var/lib/cloudspill-monitor")
    play = service.play(state="absent")
    assert (play.status, play.changed) == (0, 0), play.output
    assert not re.search(r"\bfailed=[1-9]", play.output)
