# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory: what becomes of instances, and of a target that is not there."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest
from ansible import constants
from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.module_utils.common.yaml import yaml_load
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import fragment_loader
from ansible.utils.plugin_docs import add_fragments
from ansible_collections.cloudspill.gcp.plugins.inventory import gce

ZONE = "https://www.googleapis.com/compute/v1/projects/acme/zones/us-west1-b"
NAME = "cloudspill.gcp.gce"
NETWORKS = "https://www.googleapis.com/compute/v1/projects/acme/global/networks"


def instance(name: str, number: int, **content: Any) -> dict[str, Any]:
    """An instance document as the API gives it."""
    return {
        "id": str(number),
        "name": name,
        "status": "RUNNING",
        "zone": ZONE,
        "selfLink": f"{ZONE}/instances/{name}",
        "machineType": f"{ZONE}/machineTypes/f1-micro",
        "networkInterfaces": [
            {
                "network": f"{NETWORKS}/default",
                "networkIP": f"10.138.0.{number}",
                "accessConfigs": [{"type": "ONE_TO_ONE_NAT", "natIP": f"198.51.100.{number}"}],
            }
        ],
        "labels": {"cloudspill-run": "default", "cloudspill-owner": "ada"},
        "metadata": {"items": [{"key": "enable-oslogin", "value": "FALSE"}]},
        **content,
    }


def loaded_plugin() -> Any:
    """The plugin with its options defined, as Ansible's loader would leave it."""
    documentation = yaml_load(gce.DOCUMENTATION)
    add_fragments(documentation, gce.__file__, fragment_loader=fragment_loader)
    constants.config.initialize_plugin_configuration_definitions(
        "inventory", NAME, documentation["options"]
    )
    plugin: Any = gce.InventoryModule
    made = plugin()
    made._load_name = NAME
    return made


class Inventory:
    """Parses an inventory file with the plugin as Ansible has loaded it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "cloud.gce.yml"
        self.instances: list[dict[str, Any]] = []
        self.environments: list[dict[str, str]] = []
        self.partial: dict[str, str] = {}
        self.query = ""
        self.data = InventoryData()

    def write(self, **options: Any) -> None:
        """Write the file; JSON is YAML."""
        self.path.write_text(json.dumps({"plugin": NAME, **options}))

    def parse(self) -> InventoryData:
        """Read the instances; the network's part is played by `instances`."""
        plugin = loaded_plugin()

        def fetch_list(_: Any, __: Any, query: str) -> dict[str, list[dict[str, Any]]]:
            self.query = query
            self.environments.append(dict(os.environ))
            self.partial = plugin.partial()
            return {"zones/us-west1-b": self.instances}

        plugin.fetch_list = fetch_list
        plugin.parse(self.data, DataLoader(), str(self.path), cache=False)
        return self.data

    def host(self, name: str) -> dict[str, Any]:
        """The variables of a host."""
        found = self.data.hosts[name].get_vars()
        assert isinstance(found, dict)
        return found


@pytest.fixture
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inventory:
    """An inventory of the project acme."""
    for name in gce.CREDENTIAL_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GCP_PROJECT", "acme")
    monkeypatch.setenv("ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED", "false")
    made = Inventory(tmp_path)
    made.write()
    return made


def environment_file(folder: Path, **variables: str) -> str:
    path = folder / "environment.json"
    path.write_text(json.dumps(variables))
    return str(path)


def test_a_host_can_be_reached_with_its_host_key_verified(inventory: Inventory) -> None:
    inventory.instances = [instance("flask-1", 7)]
    inventory.parse()
    host = inventory.host("flask-1")
    assert host["ansible_host"] == "198.51.100.7"
    assert host["ansible_user"] == "cloudspill"
    assert host["ansible_ssh_private_key_file"] == "~/.config/cloudspill/ssh_key"
    options = shlex.split(host["ansible_ssh_common_args"])[1::2]
    assert "StrictHostKeyChecking=yes" in options
    assert "HostKeyAlias=compute.7" in options
    command = next(o for o in options if o.startswith("KnownHostsCommand="))
    assert command.endswith("--project acme --zone us-west1-b --instance flask-1 --id 7")
    assert host["gce_ssh_command"].endswith("cloudspill@198.51.100.7")


def test_two_instances_never_share_a_connection(inventory: Inventory) -> None:
    inventory.instances = [instance("a", 7), instance("b", 8)]
    inventory.parse()
    paths = {inventory.host(name)["ansible_control_path"] for name in ("a", "b")}
    assert paths == {"%(directory)s/7-%%r", "%(directory)s/8-%%r"}


def test_an_instance_without_an_external_address_is_reached_inside(inventory: Inventory) -> None:
    inventory.instances = [instance("a", 7)]
    del inventory.instances[0]["networkInterfaces"][0]["accessConfigs"]
    inventory.parse()
    assert inventory.host("a")["ansible_host"] == "10.138.0.7"


def test_the_instances_document_is_there_under_a_prefix(inventory: Inventory) -> None:
    inventory.instances = [instance("a", 7)]
    inventory.parse()
    host = inventory.host("a")
    assert host["gce_zone"] == "us-west1-b"
    assert host["gce_labels"]["cloudspill-owner"] == "ada"
    assert host["gce_metadata"] == {"enable-oslogin": "FALSE"}
    assert "name" not in host


def test_hosts_are_grouped_by_label_run_zone_and_status(inventory: Inventory) -> None:
    inventory.instances = [instance("a", 7), instance("b", 8, labels={"team": "x y"})]
    data = inventory.parse()
    members = {name: sorted(h.name for h in g.get_hosts()) for name, g in data.groups.items()}
    assert members["run_default"] == ["a"]
    assert members["label_cloudspill_owner_ada"] == ["a"]
    assert members["label_team_x_y"] == ["b"]
    assert members["zone_us_west1_b"] == members["status_running"] == ["a", "b"]


def test_the_targets_environment_holds_while_parsing_and_not_after(
    inventory: Inventory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCP_SERVICE_ACCOUNT_FILE", "/keys/of/another/target.json")
    file = environment_file(tmp_path, HTTPS_PROXY="http://127.0.0.1:1", GCP_PROJECT="local")
    inventory.write(environment_file=file)
    before = dict(os.environ)
    data = inventory.parse()
    (during,) = inventory.environments
    assert during["HTTPS_PROXY"] == "http://127.0.0.1:1"
    assert during["GCP_PROJECT"] == "local"
    assert "GCP_SERVICE_ACCOUNT_FILE" not in during
    assert dict(os.environ) == before
    variables = data.groups["all"].get_vars()
    assert variables["cloudspill_environment"]["GCP_PROJECT"] == "local"


def test_the_environment_is_restored_after_a_failure(inventory: Inventory, tmp_path: Path) -> None:
    inventory.write(environment_file=environment_file(tmp_path, GCP_PROJECT="local"))
    inventory.instances = [{"name": "broken"}]
    before = dict(os.environ)
    with pytest.raises(KeyError):
        inventory.parse()
    assert dict(os.environ) == before


def test_plays_get_an_empty_environment_where_no_file_is_named(inventory: Inventory) -> None:
    inventory.instances = [instance("a", 7)]
    data = inventory.parse()
    assert data.groups["all"].get_vars()["cloudspill_environment"] == {}


def test_an_instance_never_gets_the_environment_of_the_api(
    inventory: Inventory, tmp_path: Path
) -> None:
    inventory.write(environment_file=environment_file(tmp_path, GCP_PROJECT="local"))
    inventory.instances = [instance("a", 7)]
    inventory.parse()
    assert inventory.host("a")["cloudspill_environment"] == {}


def test_a_missing_target_is_one_sentence_with_what_to_do(
    inventory: Inventory, tmp_path: Path
) -> None:
    path = tmp_path / "gone.json"
    inventory.write(environment_file=str(path), environment_hint="start it with `make up`")
    with pytest.raises(AnsibleParserError) as caught:
        inventory.parse()
    assert str(caught.value) == f"there is no {path}; start it with `make up`"


def test_where_it_ends_ansible_nothing_but_that_sentence_is_said(
    inventory: Inventory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED", "true")
    path = tmp_path / "gone.json"
    inventory.write(environment_file=str(path), environment_hint="start it with `make up`")
    with pytest.raises(SystemExit) as caught:
        inventory.parse()
    assert caught.value.code == 4
    said = capsys.readouterr().err
    assert said.strip() == f"[ERROR]: there is no {path}; start it with `make up`"


@pytest.mark.parametrize("content", ['["HTTPS_PROXY"]', '{"PORT": 1}', "HTTPS_PROXY=x"])
def test_a_broken_environment_file_is_named(
    inventory: Inventory, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "environment.json"
    path.write_text(content)
    inventory.write(environment_file=str(path))
    with pytest.raises(AnsibleParserError, match=r"environment\.json is no JSON"):
        inventory.parse()


def test_the_path_of_the_environment_file_takes_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CLOUD", raising=False)
    assert gce.expanded("/run/${CLOUD:-one}/x.json") == "/run/one/x.json"
    monkeypatch.setenv("CLOUD", "two")
    assert gce.expanded("/run/${CLOUD:-one}/x.json") == "/run/two/x.json"


SANDBOX = Path(__file__).parents[4] / "inventory" / "sandbox" / "cloud.gce.yml"


def test_the_sandboxs_inventory_looks_where_the_sandbox_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = yaml_load(SANDBOX.read_text())["environment_file"]
    for name in ("CLOUDSPILL_RUN_ROOT", "CLOUDSPILL_SANDBOX"):
        monkeypatch.delenv(name, raising=False)
    assert gce.expanded(path) == "/run/cloudspill/cloudspill/environment.json"
    monkeypatch.setenv("CLOUDSPILL_RUN_ROOT", "/srv/run")
    monkeypatch.setenv("CLOUDSPILL_SANDBOX", "mine")
    assert gce.expanded(path) == "/srv/run/mine/environment.json"


def test_a_missing_sandbox_is_started_by_the_command_that_publishes_the_application() -> None:
    hint = yaml_load(SANDBOX.read_text())["environment_hint"]
    assert "`make up`" in hint
    assert "cloudspill-sandbox" not in hint


def test_without_a_project_it_says_what_to_set(
    inventory: Inventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GCP_PROJECT")
    with pytest.raises(AnsibleParserError, match="set GCP_PROJECT"):
        inventory.parse()


@pytest.mark.parametrize(
    ("name", "claimed"),
    [("cloud.gce.yml", True), ("cloud.gce.yaml", True), ("gcp.yml", False), ("hosts", False)],
)
def test_only_its_own_files_are_claimed(tmp_path: Path, name: str, claimed: bool) -> None:
    path = tmp_path / name
    path.touch()
    assert loaded_plugin().verify_file(str(path)) is claimed


def test_what_is_no_project_id_is_refused_before_anything_is_asked(
    inventory: Inventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCP_PROJECT", "My Project")
    with pytest.raises(AnsibleParserError, match=r"^'My Project' is no project id: set"):
        inventory.parse()
    assert inventory.environments == []


def test_no_more_is_asked_for_than_plays_need(inventory: Inventory) -> None:
    inventory.parse()
    asked = inventory.partial["fields"]
    assert asked.startswith("items/*/instances(")
    assert asked.endswith("),nextPageToken")
    for needed in ("id", "labels", "accessConfigs/natIP", "machineType", "tags"):
        assert needed in asked
    assert "metadata" not in asked


def test_further_fields_may_be_named(inventory: Inventory) -> None:
    inventory.write(fields=["disks(source,boot)"])
    inventory.parse()
    assert "disks(source,boot)" in inventory.partial["fields"]
    assert "machineType" not in inventory.partial["fields"]


@pytest.mark.parametrize(
    "options",
    [
        {"fields": ["*"]},
        {"compose": {"x": "metadata"}},
        {"groups": {"x": "canIpForward"}},
        {"keyed_groups": [{"key": "cpuPlatform"}]},
    ],
    ids=lambda options: next(iter(options)),
)
def test_where_any_field_may_matter_all_are_asked_for(
    inventory: Inventory, options: dict[str, Any]
) -> None:
    inventory.write(**options)
    inventory.parse()
    assert inventory.partial == {}


def test_the_command_for_a_person_is_quoted(inventory: Inventory) -> None:
    inventory.write(ssh_key_file="/a b/key")
    inventory.instances = [instance("web", 7)]
    inventory.parse()
    words = shlex.split(inventory.host("web")["gce_ssh_command"])
    assert words[:3] == ["ssh", "-i", "/a b/key"]
    assert words[-1] == "cloudspill@198.51.100.7"


def test_further_filters_of_the_environment_hold_beside_those_of_the_file(
    inventory: Inventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    inventory.write(filters=["labels.cloudspill-run:*"])
    inventory.parse()
    assert inventory.query == "labels.cloudspill-run:*"
    monkeypatch.setenv("CLOUDSPILL_FILTERS", "labels.cloudspill-controller=c0ffee, status=RUNNING")
    inventory.parse()
    assert inventory.query == (
        "(labels.cloudspill-run:*) (labels.cloudspill-controller=c0ffee) (status=RUNNING)"
    )
