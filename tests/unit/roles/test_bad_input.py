# SPDX-License-Identifier: GPL-3.0-or-later
"""Each role refuses what is missing, misspelt or contradictory, in one sentence, before all else.

One play runs every case: the role as a user runs it, on a target that does not exist. So whatever
the role says, it says before it asks anybody anything.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
ROLES = sorted(path.parents[1].name for path in ROOT.glob("roles/*/meta/argument_specs.yml"))


@dataclass(frozen=True, slots=True)
class Case:
    """Variables that a role refuses, and what its sentence says."""

    role: str
    sentence: str
    variables: dict[str, Any]
    entry: str = "main"

    def __str__(self) -> str:
        return "-".join([self.role, *self.variables])


# What the role needs to get past its other checks.
NEEDED: dict[str, dict[str, Any]] = {
    "burst_tasks": {
        "burst_tasks_control": "control.sock",
        "burst_tasks_move": 1,
        "gce_ssh_command": "ssh host",
        "gce_id": "1",
        "gce_zone": "us-west1-b",
    },
    "flask_app": {"flask_app_repository": "https://git.example.com/app.git"},
    "bucket_bootstrap": {"bucket_bootstrap_startup_script_file": __file__},
    "monitor": {"monitor_configuration": {"tasks": [{"name": "a", "command": "true"}]}},
}

MISSING = [
    Case(
        "bucket_bootstrap",
        "set bucket_bootstrap_startup_script_file to a file that exists",
        {"bucket_bootstrap_startup_script_file": ""},
    ),
    Case("burst_tasks", "set burst_tasks_control to the path", {"burst_tasks_control": ""}),
    Case("burst_tasks", "missing required arguments: burst_tasks_move", {"burst_tasks_move": None}),
    Case(
        "burst_vm",
        "set burst_vm_zones and burst_vm_machine_types to at least one each",
        {"burst_vm_zones": []},
    ),
    Case("burst_vm", "set burst_vm_image to an image", {"burst_vm_image": ""}),
    Case(
        "clones",
        "set clones_zones and clones_machine_types to at least one each",
        {"clones_machine_types": []},
    ),
    Case("firewall", "set firewall_target_tags to at least one tag", {"firewall_target_tags": []}),
    Case("firewall", "set firewall_ports to at least one port", {"firewall_ports": []}),
    Case(
        "firewall",
        "set firewall_source_ranges to at least one range",
        {"firewall_source_ranges": []},
    ),
    Case(
        "flask_app",
        "set flask_app_repository to the URL of a public git repository",
        {"flask_app_repository": ""},
    ),
    Case("image", "set image_source to the image", {"image_source": ""}),
    Case("instance", "set instance_zone () to a zone, such as us-west1-b", {"instance_zone": ""}),
    Case("instance", "set instance_machine_type to a machine type", {"instance_machine_type": ""}),
    Case(
        "monitor",
        "set monitor_configuration to the content of a monitor.yml",
        {"monitor_configuration": {}},
    ),
    Case(
        "project_setup", "set project_setup_services () to 1 to 20", {"project_setup_services": []}
    ),
    Case("snapshot", "set snapshot_zone () to a zone", {"snapshot_zone": ""}),
    Case("teardown", "set cloudspill_run () and cloudspill_owner", {"cloudspill_run": ""}),
]

MISSPELT = [
    Case("bucket_bootstrap", "set bucket_bootstrap_bucket", {"bucket_bootstrap_buckt": "mine"}),
    Case("burst_tasks", "set burst_tasks_timeout", {"burst_tasks_timeuot": 5}),
    Case("burst_vm", "set burst_vm_machine_types", {"burst_vm_machine_type": ["e2-small"]}),
    Case("burst_vm", "set burst_vm_reap_delete", {"burst_vm_reap_delet": True}, "reap"),
    Case("clones", "set clones_count", {"clones_cuont": 5}),
    Case("firewall", "set firewall_ports", {"firewall_port": ["80"]}),
    Case("firewall", "set firewall_target_tags", {"firewall_tags": ["web"]}),
    Case("flask_app", "set flask_app_repository", {"flask_app_repositry": "https://a.example/b"}),
    Case("image", "set image_source", {"image_sourc": "global/images/a"}),
    Case("instance", "set instance_machine_type", {"instance_machine_typ": "e2-small"}),
    Case("instance", "set instance_machine_type", {"instance_type": "e2-small"}),
    Case("monitor", "set monitor_environment", {"monitor_enviroment": {}}),
    Case("project_setup", "set project_setup_key_file", {"project_setup_keyfile": "key.json"}),
    Case("snapshot", "set snapshot_quiesce_services", {"snapshot_services": ["db"]}),
    Case("teardown", "set teardown_owner", {"teardown_ower": "ada"}),
    Case("teardown", "set cloudspill_owner", {"cloudspill_ower": "ada"}),
    Case("teardown", "set gcp_service_account_file", {"gcp_service_acount_file": "key.json"}),
]

CONTRADICTORY = [
    Case(
        "bucket_bootstrap",
        "to two names: both are vm-1",
        {"bucket_bootstrap_launcher": "vm-1", "bucket_bootstrap_instance": "vm-1"},
    ),
    Case(
        "bucket_bootstrap",
        "set bucket_bootstrap_key_file to the path of a service account's JSON key",
        {"bucket_bootstrap_credentials": "key_file"},
    ),
    Case(
        "burst_tasks",
        "set burst_tasks_files or burst_tasks_direction=home, not both",
        {"burst_tasks_files": "a.tar", "burst_tasks_direction": "home"},
    ),
    Case(
        "burst_vm",
        "set burst_vm_lease (900) to less than burst_vm_max_lifetime (600)",
        {"burst_vm_lease": 900, "burst_vm_max_lifetime": 600},
    ),
    Case(
        "burst_vm",
        "leave startup-script out of burst_vm_metadata",
        {"burst_vm_metadata": {"startup-script": "true"}},
    ),
    Case("clones", "so that -clone-100 fits behind it", {"clones_instance": "a" * 54}),
    Case(
        "clones",
        "leave cloudspill-run and cloudspill-owner out of clones_labels",
        {"clones_labels": {"cloudspill-run": "other"}},
    ),
    Case(
        "firewall",
        "set firewall_ports to []: the protocol icmp has no ports",
        {"firewall_protocol": "icmp"},
    ),
    Case(
        "flask_app",
        "set flask_app_factory (board) to MODULE:FUNCTION",
        {"flask_app_factory": "board"},
    ),
    Case(
        "image",
        "set image_source to another image than web",
        {"image_name": "web", "image_source": "global/images/web"},
    ),
    Case(
        "instance",
        "or startup-script in instance_metadata, not both",
        {"instance_startup_script_file": __file__, "instance_metadata": {"startup-script": "true"}},
    ),
    Case(
        "monitor",
        "leave state_dir out of monitor_configuration",
        {"monitor_configuration": {"state_dir": "/srv", "tasks": [{"name": "a"}]}},
    ),
    Case(
        "project_setup",
        "to another than project_setup_custom_role",
        {"project_setup_burst_role": "one", "project_setup_custom_role": "one"},
    ),
    Case(
        "snapshot",
        "set snapshot_quiesce_services to the services to stop, or snapshot_quiesce",
        {"snapshot_quiesce": "stop", "snapshot_quiesce_services": []},
    ),
    Case("teardown", "set teardown_timeout (0) to 1 second or more", {"teardown_timeout": 0}),
]

WRONG = [
    Case(
        "firewall",
        "set firewall_source_ranges (203.0.113.7) to addresses with the length",
        {"firewall_source_ranges": ["203.0.113.7"]},
    ),
    Case("firewall", "set firewall_ports (ssh) to ports", {"firewall_ports": ["ssh", 5000]}),
    Case("clones", "set clones_zones (us-west1) to zones", {"clones_zones": ["us-west1"]}),
    Case("instance", "instance_disk_size_gb", {"instance_disk_size_gb": "large"}),
    Case(
        "instance",
        "value of instance_state must be one of: present, absent, got: gone",
        {"instance_state": "gone"},
    ),
]

CASES = [*MISSING, *MISSPELT, *CONTRADICTORY, *WRONG]


def tasks(number: int, case: Case) -> dict[str, Any]:
    """Run the role, and keep what it failed with."""
    given = NEEDED.get(case.role, {}) | case.variables
    return {
        "name": str(case),
        "block": [
            {
                "name": "Run the role",
                "ansible.builtin.include_role": {
                    "name": f"cloudspill.gcp.{case.role}",
                    "tasks_from": case.entry,
                },
                "vars": {name: value for name, value in given.items() if value is not None},
            }
        ],
        "rescue": [
            {
                "name": "Keep what it said",
                "ansible.builtin.set_fact": {
                    f"said_{number}": "{{ ansible_failed_result.msg }}",
                    f"at_{number}": "{{ ansible_failed_task.name }}",
                },
            }
        ],
    }


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each case's role failed with, all in one play."""
    folder = tmp_path_factory.mktemp("bad-input")
    result = folder / "said.json"
    write = {
        "name": "Write it down",
        "ansible.builtin.copy": {
            "content": "{{ said | to_json }}",
            "dest": str(result),
            "mode": "0600",
        },
        "vars": {
            "said": {
                str(n): [
                    f"{{{{ said_{n} | default('nothing') }}}}",
                    f"{{{{ at_{n} | default('') }}}}",
                ]
                for n in range(len(CASES))
            }
        },
    }
    target = {
        "gcp_project": "acme",
        "gcp_auth_kind": "serviceaccount",
        "gcp_service_account_file": str(folder / "no-key.json"),
        "ansible_python_interpreter": sys.executable,
    }
    credentials = {
        "project": "{{ gcp_project }}",
        "auth_kind": "{{ gcp_auth_kind }}",
        "service_account_file": "{{ gcp_service_account_file }}",
    }
    play = {
        "name": "Bad input",
        "hosts": "localhost",
        "gather_facts": False,
        "vars": target,
        "module_defaults": {"group/cloudspill.gcp.gcp": credentials},
        "tasks": [*(tasks(n, case) for n, case in enumerate(CASES)), write],
    }
    book = folder / "bad.yml"
    book.write_text(yaml.safe_dump([play], sort_keys=False))
    done = subprocess.run(
        [BIN / "ansible-playbook", "-i", "localhost,", "-c", "local", book],
        cwd=ROOT,
        env=os.environ | {"ANSIBLE_HOME": str(folder), "ANSIBLE_FORCE_COLOR": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(result.read_text()))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_role_says_what_to_set_before_it_asks_for_anything(
    said: dict[str, list[str]], case: Case
) -> None:
    sentence, task = said[str(CASES.index(case))]
    assert case.sentence in sentence
    assert "\n" not in sentence.removeprefix("Validation of arguments failed:\n")
    assert task.startswith(("Check", "Validating arguments")), task


@pytest.mark.parametrize(
    "kind", [MISSING, MISSPELT, CONTRADICTORY], ids=["missing", "misspelt", "contradictory"]
)
@pytest.mark.parametrize("role", ROLES)
def test_every_role_has_a_case_of_each_kind(kind: list[Case], role: str) -> None:
    assert role in {case.role for case in kind}
