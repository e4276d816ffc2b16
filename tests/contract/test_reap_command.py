# SPDX-License-Identifier: GPL-3.0-or-later
"""`cloudspill-monitor reap`: the command, its playbook and the cloud together."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .rest import Rest
from .target import Target

CONTROLLER = "c0ffee00"

pytestmark = pytest.mark.usefixtures("sandbox_only")


class Command:
    """The command with a configuration and an inventory of a run that no other test has."""

    def __init__(self, target: Target, directory: Path, run: str) -> None:
        self._target = target
        self._directory = directory
        variables = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "cloudspill_environment": dict(target.variables),
            "cloudspill_owner": "contract",
            "cloudspill_run": run,
            "gcp_auth_kind": "serviceaccount",
            "gcp_project": target.project,
            "gcp_service_account_file": str(target.key_file),
        }
        inventory = {"all": {"hosts": {"localhost": None}, "vars": variables}}
        (directory / "inventory.yml").write_text(json.dumps(inventory))
        (directory / "monitor.yml").write_text(
            "burst: {inventory: inventory.yml}\ntasks: [{name: t, command: sleep 1}]\n"
        )

    def reap(self, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cloudspill_monitor", "reap", *options],
            cwd=self._directory,
            env=self._target.shell(HOME=str(self._directory), ANSIBLE_FORCE_COLOR="0"),
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )


@pytest.fixture
def command(target: Target, tmp_path: Path, named: Callable[[str], str]) -> Command:
    return Command(target, tmp_path, named("run"))


def make(rest: Rest, name: str, run: str) -> None:
    labels = {
        "cloudspill-run": run,
        "cloudspill-owner": "contract",
        "cloudspill-role": "burst",
        "cloudspill-controller": CONTROLLER,
    }
    rest.done("POST", f"zones/{rest.zone}/instances", rest.instance(name, labels=labels))


def test_a_vm_that_may_be_leased_is_shown_and_left_alone(
    command: Command, rest: Rest, named: Callable[[str], str]
) -> None:
    name = named("vm")
    make(rest, name, named("run"))
    done = command.reap("--delete", "--output", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    assert [(m["name"], m["controller"], m["deleted"]) for m in found] == [
        (name, CONTROLLER, False)
    ]
    assert "left alone: it has told no lease" in command.reap().stdout
    assert rest.call("GET", f"zones/{rest.zone}/instances/{name}").ok


def test_a_run_without_vms_has_none_to_reap(command: Command) -> None:
    done = command.reap()
    assert (done.returncode, done.stdout) == (0, "there is no burst VM of this run\n"), done.stderr


def test_credentials_that_are_missing_are_told_in_a_sentence(
    command: Command, tmp_path: Path
) -> None:
    text = (tmp_path / "inventory.yml").read_text()
    inventory = json.loads(text)
    inventory["all"]["vars"]["gcp_service_account_file"] = "/nowhere/key.json"
    (tmp_path / "inventory.yml").write_text(json.dumps(inventory))
    done = command.reap()
    assert done.returncode == 1
    assert "/nowhere/key.json" in done.stderr
    assert "(credentials: " in done.stderr
    assert "Traceback" not in done.stderr
