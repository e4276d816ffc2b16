# SPDX-License-Identifier: GPL-3.0-or-later
"""The EXAMPLES of every module and plugin, run out of the artefact.

All of them run in check mode; those that need no machine that lives run for good, against a sandbox
in memory whose project is the one that the examples name. The others run in tests/system.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.target import Target, sandbox

pytestmark = pytest.mark.slow

Documented = dict[str, dict[str, dict[str, Any]]]
Task = dict[str, Any]

NEED_A_MACHINE = {
    "burst_handover": "a keeper, and a monitor's control socket",
    "burst_prepare": "a keeper, and a monitor's control socket",
    "burst_reach": "a keeper",
    "gce_guest_attribute": "a program in the instance",
    "gce_startup_script": "a guest agent",
    "gce_wait_for": "a page",
}
READING = {"gce_guest_attribute", "gce_wait_for", "key_file_info"}
"""Those that change nothing: check mode is the same to them."""

WITH_CHECKS = "Make three clones of a snapshot, wherever there is room"
"""An example that waits for what the machines answer."""

ORDER = (
    *("gcp_services", "gcp_custom_role", "gcp_service_account", "gcp_service_account_key"),
    *("key_file_info", "gcp_project_iam", "ssh_key", "gcs_bucket", "gcs_objects"),
    *("gce_instances", "gce_metadata", "gce_tags", "gce_labels", "gce_resource_info"),
    *("gce_snapshot", "burst_reap", "burst_discard", "gce_teardown"),
)
"""What an example needs is made by those before it, or by `prepared`."""


@dataclass(frozen=True, slots=True)
class Desk:
    """A user's folder with an inventory, and a cloud.

    Attributes:
        folder: where the user works.
        target: the cloud.
        ansible: environment in which the artefact is found.
    """

    folder: Path
    target: Target
    ansible: dict[str, str]

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of Ansible's programs as in the user's shell."""
        return subprocess.run(
            [str(Path(sys.executable).with_name(program)), *arguments],
            cwd=self.folder,
            env=self.ansible
            | dict(self.target.variables)
            | {"HOME": str(self.folder), "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"},
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    def play(self, tasks: list[Task], *options: str, **variables: Any) -> list[Task]:
        """Run tasks; return the result of each, with its name."""
        book = self.folder / "examples.yml"
        connection = {
            "project": self.target.project,
            "auth_kind": "serviceaccount",
            "service_account_file": str(self.target.key_file),
        }
        play = {
            "hosts": "flask-1",
            "gather_facts": False,
            "module_defaults": {"group/cloudspill.gcp.gcp": connection},
            "environment": dict(self.target.variables),
            "vars": variables,
            "tasks": tasks,
        }
        book.write_text(yaml.safe_dump([play], sort_keys=False))
        done = self.run("ansible-playbook", "-i", "hosts.yml", str(book), *options)
        _progress, brace, report = done.stdout.partition("{\n")
        assert brace, done.stdout + done.stderr
        plays = json.loads(brace + report)["plays"]
        return [
            {"name": task["task"]["name"], **result}
            for each in plays
            for task in each["tasks"]
            for result in task["hosts"].values()
        ]


@pytest.fixture(scope="module")
def desk(ansible: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A user in a project that is called as in the examples."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "files").mkdir()
    (folder / "files" / "launch.py").write_text("print('launched')\n")
    (folder / "startup.sh").write_text("#!/bin/sh\n")
    machine = {"gce_zone": "us-west1-b", "gce_id": "1", "gce_machineType": "f1-micro"}
    host = {
        **machine,
        "gce_ssh_command": "ssh flask-1",
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
    }
    hosts = {"all": {"hosts": dict.fromkeys(("flask-1", "burst-1"), host)}}
    (folder / "hosts.yml").write_text(json.dumps(hosts))
    with sandbox(tmp_path_factory.mktemp("sandbox"), "--project", "acme-lab") as target:
        assert target.project == "acme-lab"
        yield Desk(folder, target, ansible)


@pytest.fixture(scope="module")
def prepared(desk: Desk) -> None:
    """What the examples take for granted."""
    ours = {"run": "default", "owner": "ada"}
    machines = {
        "names": ["flask-1", "launcher-1"],
        "zones": ["us-west1-b"],
        "machine_types": ["f1-micro"],
        "source_image": "projects/debian-cloud/global/images/family/debian-12",
        "labels": {"cloudspill-run": "default", "cloudspill-owner": "ada"},
    }
    role = {"role": "burstMachine", "title": "Ends", "permissions": ["compute.instances.delete"]}
    made = desk.play(
        [
            {"name": "Machines", "cloudspill.gcp.gce_instances": machines},
            {"name": "Role", "cloudspill.gcp.gcp_custom_role": role | ours},
            {
                "name": "Robot",
                "cloudspill.gcp.gcp_service_account": ours | {"account": "machine-admin"},
            },
            {
                "name": "Burst",
                "cloudspill.gcp.gcp_service_account": ours | {"account": "cloudspill-burst"},
            },
        ]
    )
    assert [task for task in made if not task["changed"]] == []


def examples(documented: Documented, module: str) -> list[Task]:
    """The tasks that a module's documentation shows."""
    tasks: list[Task] = yaml.safe_load(documented["module"][module]["examples"])
    return tasks


def failures(results: list[Task]) -> list[Task]:
    """Those of a play's results that failed."""
    return [result for result in results if result.get("failed") or result.get("unreachable")]


def test_every_module_has_its_place_here(documented: Documented) -> None:
    assert sorted({*ORDER, *NEED_A_MACHINE}) == sorted(documented["module"])
    assert not {*ORDER} & {*NEED_A_MACHINE}


def test_every_example_runs_in_check_mode(
    desk: Desk, prepared: None, documented: Documented
) -> None:
    modules = sorted(set(documented["module"]) - READING)
    tasks = [task for module in modules for task in examples(documented, module)]
    results = desk.play(tasks, "--check", settings={"greeting": "hello"})
    assert len(results) == len(tasks)
    assert failures(results) == []


def test_the_inventory_lists_what_this_collection_made(
    desk: Desk, prepared: None, documented: Documented
) -> None:
    (desk.folder / "cloud.gce.yml").write_text(documented["inventory"]["gce"]["examples"])
    done = desk.run("ansible-inventory", "-i", "cloud.gce.yml", "--list")
    assert done.returncode == 0, done.stderr
    assert "launcher-1" in json.loads(done.stdout)["_meta"]["hostvars"]


def test_the_filter_explains_a_failure(desk: Desk, documented: Documented) -> None:
    shown = yaml.safe_load(documented["filter"]["refusal"]["examples"])
    broken = {"name": "Break", "ansible.builtin.fail": {"msg": "no such image"}}
    *_, explained = desk.play([{"block": [broken], "rescue": shown}])
    assert explained["failed"]
    assert explained["msg"].startswith("the image flask-base: no such image")


def test_the_lookup_names_a_misspelt_variable(
    desk: Desk, documented: Documented, collections: Path
) -> None:
    shown = yaml.safe_load(documented["lookup"]["misspelt_variables"]["examples"])
    role = collections / "ansible_collections" / "cloudspill" / "gcp" / "roles" / "instance"
    (asked,) = desk.play(shown, role_path=str(role), instance_machine_typ="f1-micro")
    assert asked["failed"]
    assert "set instance_machine_type" in asked["msg"]


def test_an_example_does_what_its_name_says(
    desk: Desk, prepared: None, documented: Documented
) -> None:
    tasks = [task for module in ORDER for task in examples(documented, module)]
    tasks = [task for task in tasks if task["name"] != WITH_CHECKS]
    results = desk.play(tasks, settings={"greeting": "hello"})
    assert len(results) == len(tasks)
    assert failures(results) == []
