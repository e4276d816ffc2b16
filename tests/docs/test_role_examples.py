# SPDX-License-Identifier: GPL-3.0-or-later
"""The example of each role's README, run as a user would run it.

All run in check mode, in which they make nothing; those that need no machine run for good, twice.
The cloud is a sandbox in memory. What waits for a machine is run by tests/system.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google.auth
import pytest
import yaml
from google.auth.transport.requests import AuthorizedSession

from tests.contract.target import Target, sandbox

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]

ROOT = Path(__file__).parents[2]
ROLES = sorted(path.parent.name for path in ROOT.glob("roles/*/README.md"))
CONVERGING = ["image", "instance", "firewall"]
KINDS = ["global/images", "global/firewalls", "global/snapshots", "zones/us-west1-b/instances"]
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
BURST_VM = {
    "gce_id": "1",
    "gce_zone": "us-west1-b",
    "gce_ssh_command": "ssh burst-1",
}


def example(role: str) -> list[dict[str, Any]]:
    """The one playbook that a README shows."""
    text = (ROOT / "roles" / role / "README.md").read_text()
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    plays: list[dict[str, Any]] = yaml.safe_load(block)
    return plays


def messages(said: str) -> str:
    """What a play said but the names of its tasks."""
    return "\n".join(line for line in said.splitlines() if not line.startswith("TASK "))


@dataclass(frozen=True, slots=True)
class Desk:
    """A user's folder, and a cloud.

    Attributes:
        folder: has what the examples name beside them.
        target: the cloud.
    """

    folder: Path
    target: Target

    def play(self, roles: list[str], *options: str) -> dict[str, str]:
        """Run the examples of some roles after one another; return what was said of each."""
        book = self.folder / "plays" / "examples.yml"
        plays = [play | {"name": role} for role in roles for play in example(role)]
        book.write_text(yaml.safe_dump(plays, sort_keys=False))
        done = subprocess.run(
            [Path(sys.executable).with_name("ansible-playbook"), book, *options],
            cwd=self.folder,
            env=self.target.shell(
                HOME=str(self.folder),
                ANSIBLE_FORCE_COLOR="0",
                ANSIBLE_INVENTORY=str(self.folder / "inventory.yml"),
            ),
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        _, *parts = re.split(r"^PLAY (?:\[(.*?)\] \**|RECAP \**)$", done.stdout, flags=re.MULTILINE)
        return dict(zip(parts[::2], parts[1::2], strict=True))

    def resources(self) -> dict[str, list[str]]:
        """Names of what there is, by kind."""
        credentials, project = google.auth.default(scopes=[SCOPE])
        base = f"https://compute.googleapis.com/compute/v1/projects/{project}"
        with AuthorizedSession(credentials) as session:
            listed = {kind: session.get(f"{base}/{kind}").json() for kind in KINDS}
        return {
            kind: sorted(item["name"] for item in answer.get("items", []))
            for kind, answer in listed.items()
        }


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A folder as a user's, with what the examples name."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "plays").mkdir()
    (folder / "plays" / "serve.sh").write_text("#!/bin/sh\n")
    (folder / "dist").mkdir()
    (folder / "dist" / "cloudspill_monitor-0.1.0-py3-none-any.whl").touch()
    (folder / "inventory" / "gcp").mkdir(parents=True)
    (folder / "inventory" / "gcp" / "hosts").write_text("localhost\n")
    with (
        sandbox(tmp_path_factory.mktemp("sandbox")) as target,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in target.variables.items():
            patch.setenv(name, value)
        everywhere = {
            "ansible_connection": "local",
            "ansible_become": False,
            "ansible_python_interpreter": sys.executable,
            "cloudspill_environment": dict(target.variables),
            "gcp_project": target.project,
            "gcp_auth_kind": "serviceaccount",
            "gcp_service_account_file": str(target.key_file),
            "flask_app_repository": "https://git.example.com/app.git",
        }
        groups = {
            "hosts": {"localhost": None},
            "vars": everywhere,
            "children": {
                "workstations": {"hosts": {"desk-1": None}},
                "burst_vms_up": {"hosts": {"burst-1": BURST_VM}},
            },
        }
        (folder / "inventory.yml").write_text(json.dumps({"all": groups}))
        yield Desk(folder, target)


@pytest.fixture(scope="module")
def project(desk: Desk) -> dict[str, str]:
    """The example of project_setup has run."""
    return desk.play(["project_setup"])


@dataclass(frozen=True, slots=True)
class Checked:
    """What check mode said of each role, and what there was before and after it."""

    said: dict[str, str]
    before: dict[str, list[str]]
    after: dict[str, list[str]]


@pytest.fixture(scope="module")
def checked(desk: Desk, project: dict[str, str]) -> Checked:
    """Check mode has been, of all roles."""
    before = desk.resources()
    return Checked(desk.play(ROLES, "--check"), before, desk.resources())


@pytest.fixture(scope="module")
def again(desk: Desk, checked: Checked) -> dict[str, str]:
    """What the second run of those said that need no machine."""
    desk.play(CONVERGING)
    return desk.play(CONVERGING)


@pytest.mark.parametrize("role", ROLES)
def test_an_example_runs_in_check_mode_and_says_what_it_would_do(
    checked: Checked, role: str
) -> None:
    assert role in checked.said
    assert "TASK" in checked.said[role]
    if role not in ("project_setup", "monitor", "teardown"):
        assert "would " in messages(checked.said[role])


@pytest.mark.parametrize("role", ROLES)
def test_a_readme_says_what_check_mode_does(role: str) -> None:
    assert "Check mode" in (ROOT / "roles" / role / "README.md").read_text()


def test_check_mode_makes_nothing(checked: Checked) -> None:
    assert checked.after == checked.before


def test_check_mode_after_the_project_was_set_up_finds_nothing_to_do(
    project: dict[str, str], checked: Checked
) -> None:
    assert "changed: " in project["project_setup"]
    assert "changed: " not in checked.said["project_setup"]


@pytest.mark.parametrize("role", CONVERGING)
def test_an_example_changes_nothing_the_second_time(again: dict[str, str], role: str) -> None:
    assert "ok: " in again[role]
    assert "changed: " not in again[role]


def test_a_rule_for_a_protocol_without_ports_is_made_once(desk: Desk) -> None:
    rule = {"firewall_name": "allow-ping", "firewall_protocol": "icmp", "firewall_ports": []}
    given = ("-e", json.dumps(rule))
    assert "changed: " in desk.play(["firewall"], *given)["firewall"]
    again = desk.play(["firewall"], *given, "--check")["firewall"]
    assert "would " not in messages(again)


def test_the_examples_made_what_they_say_and_teardown_removes_it(
    desk: Desk, checked: Checked, again: dict[str, str]
) -> None:
    made = desk.resources()
    assert made["global/images"] == ["cloudspill-ubuntu-2204-lts"]
    assert made["zones/us-west1-b/instances"] == ["web-1"]
    assert "allow-5000" in made["global/firewalls"]
    listed = desk.play(["teardown"], "--check")["teardown"]
    assert "would delete" in messages(listed)
    assert desk.resources() == made
    desk.play(["teardown"])
    assert desk.resources() == checked.before
