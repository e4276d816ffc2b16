# SPDX-License-Identifier: GPL-3.0-or-later
"""The google.cloud collection: its modules in plays, its inventory plugin with plain settings.

https://docs.ansible.com/ansible/latest/collections/google/cloud/. What the modules must say stands
at the end of each play.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from .rest import Rest
from .target import Target

PLAYBOOKS = sorted((Path(__file__).parent / "playbooks").glob("*.yml"))
METHODS = Path(__file__).parents[2] / "docs" / "fidelity.md"
DEADLINE = 240
Done = subprocess.CompletedProcess[str]

UNTRIED = {
    "gcp_compute_global_address": "there are no global addresses",
    "gcp_compute_global_address_info": "there are no global addresses",
    "gcp_compute_region_disk": "there are no regional disks",
    "gcp_compute_region_disk_info": "there are no regional disks",
    "gcp_resourcemanager_project_info": "projects are not listed",
}
"""Modules whose resource the sandbox has in another scope only, or whose one method it lacks."""
PROGRAMS = Path(sys.executable).parent


@pytest.fixture(scope="module")
def ansible(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Done]:
    """Run an Ansible program as a user does who has evaluated `cloudspill-sandbox env`."""
    home = tmp_path_factory.mktemp("ansible")
    settings = home / "ansible.cfg"
    settings.write_text(
        "[defaults]\nlocalhost_warning = false\n[inventory]\nany_unparsed_is_failed = true\n"
    )
    environment = target.shell(ANSIBLE_CONFIG=str(settings), ANSIBLE_HOME=str(home))

    def run(program: str, *arguments: str) -> Done:
        return subprocess.run(
            [PROGRAMS / program, *arguments],
            env=environment,
            cwd=home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=DEADLINE,
        )

    return run


@pytest.fixture(scope="module")
def plays(
    ansible: Callable[..., Done], target: Target, prefix: str
) -> Iterator[dict[str, Future[Done]]]:
    """Every play, as many at a time as there are processors: tests of machines run beside them."""
    variables = {
        "ansible_python_interpreter": sys.executable,
        "prefix": prefix,
        "project": target.project,
        "region": target.region,
        "zone": target.zone,
    }
    options = ("--inventory", "localhost,", "--connection", "local", "-e", json.dumps(variables))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            yield {
                book.stem: pool.submit(ansible, "ansible-playbook", *options, str(book))
                for book in PLAYBOOKS
            }
        finally:
            pool.shutdown(cancel_futures=True)


def test_every_module_for_what_the_sandbox_has_is_in_a_play() -> None:
    google = importlib.import_module("ansible_collections.google.cloud")
    modules = Path(next(iter(google.__path__))) / "plugins/modules"
    implemented = set(re.findall(r"^\| (\w+) \| \w", METHODS.read_text(), re.MULTILINE))
    concerned = {
        module.stem
        for module in modules.glob("gcp_*.py")
        if module.stem.startswith(("gcp_iam_", "gcp_resourcemanager_", "gcp_serviceusage_"))
        or module.stem.startswith("gcp_storage_")
        or (module.stem.startswith("gcp_compute_") and _asks_for(module) & implemented)
    }
    plays = "".join(book.read_text() for book in PLAYBOOKS)
    tried = set(re.findall(r"google\.cloud\.(gcp_\w+)", plays))
    assert concerned - tried == set(UNTRIED)


def _asks_for(module: Path) -> set[str]:
    """Return the collections in the addresses that a module of Compute Engine asks for."""
    text = module.read_text().rpartition("def main")[2]
    return set(re.findall(r"(?:global|\{region\}|\{zone\})/(\w+)", text)) - {"operations"}


@pytest.mark.parametrize("resource", [book.stem for book in PLAYBOOKS])
def test_the_modules_make_repeat_change_read_and_delete(
    plays: dict[str, Future[Done]], resource: str
) -> None:
    done = plays[resource].result()
    assert done.returncode == 0, done.stdout
    assert "All assertions passed" in done.stdout


def test_the_inventory_plugin_finds_what_runs(
    ansible: Callable[..., Done],
    target: Target,
    rest: Rest,
    prefix: str,
    tmp_path: Path,
) -> None:
    name, network = f"{prefix}listed", f"{prefix}second"
    rest.done("POST", "global/networks", {"name": network, "autoCreateSubnetworks": False})
    subnetwork = {"name": network, "network": f"global/networks/{network}"}
    subnetworks = f"regions/{target.region}/subnetworks"
    rest.done("POST", subnetworks, subnetwork | {"ipCidrRange": "10.20.0.0/24"})
    access = {"network": "global/networks/default", "accessConfigs": [{"type": "ONE_TO_ONE_NAT"}]}
    interfaces = [access, {"subnetwork": f"{subnetworks}/{network}"}]
    body = rest.instance(name, labels={"team": "a"}, networkInterfaces=interfaces)
    rest.done("POST", f"zones/{target.zone}/instances", body)
    inventory = tmp_path / "cloud.gcp.yml"
    inventory.write_text(
        "plugin: google.cloud.gcp_compute\n"
        "auth_kind: application\n"
        f"projects: [{target.project}]\n"
        f"zones: [{target.zone}]\n"
        f'filters: ["name = {name}"]\n'
        "hostnames: [name]\n"
        "keyed_groups: [{key: labels.team, prefix: team}]\n"
        "compose:\n"
        "  ansible_host: networkInterfaces[0].accessConfigs[0].natIP\n"
        "  second_host: networkInterfaces[1].networkIP\n"
    )
    output = tmp_path / "listed.json"
    done = ansible(
        "ansible-inventory", "--inventory", str(inventory), "--list", "--output", str(output)
    )
    assert done.returncode == 0, done.stdout
    listed = json.loads(output.read_text())
    assert listed["team_a"]["hosts"] == [name]
    host = listed["_meta"]["hostvars"][name]
    instance = rest.get(f"zones/{target.zone}/instances/{name}")
    first, second = instance["networkInterfaces"]
    nat = first["accessConfigs"][0]["natIP"]
    expected = {"ansible_host": nat, "id": instance["id"], "status": "RUNNING"}
    expected["second_host"] = second["networkIP"]
    # Marked by Ansible: templates inside of what a cloud says are not evaluated.
    assert {key: host[key]["__ansible_unsafe"] for key in expected} == expected
