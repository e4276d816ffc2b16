# SPDX-License-Identifier: GPL-3.0-or-later
"""Burst VMs: made, given up, left alone, deleted, reaped. No machine in memory answers ssh."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.auth.transport.requests import AuthorizedSession
from google.oauth2 import service_account

from .conftest import SCOPES
from .faults import Faults
from .plays import Plays
from .rest import Json, Rest
from .target import Target

IAM = "https://iam.googleapis.com/v1"
CONTROLLER = "c0ffee00"
Named = Callable[[str], str]

pytestmark = [pytest.mark.usefixtures("sandbox_only"), pytest.mark.slow]


@pytest.fixture(scope="module")
def owner(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Plays:
    """Runs playbooks as an owner of the project."""
    return Plays(target, tmp_path_factory.mktemp("home"), target.key_file)


@pytest.fixture
def labels(named: Named) -> dict[str, str]:
    """What a burst VM of a run that no other test has carries."""
    return {
        "cloudspill-run": named("run"),
        "cloudspill-owner": "contract",
        "cloudspill-role": "burst",
        "cloudspill-controller": CONTROLLER,
    }


@pytest.fixture
def given(labels: dict[str, str], tmp_path: Path, named: Named) -> dict[str, Any]:
    """What the monitor gives a playbook."""
    return {
        "cloudspill_run": labels["cloudspill-run"],
        "cloudspill_owner": "contract",
        "burst_move": 1,
        "burst_control": str(tmp_path / "control.sock"),
        "burst_vms": [{"name": named("vm"), "tasks": ["Task 3"], "files": None, "delete": True}],
        "burst_vm_controller": CONTROLLER,
        "burst_vm_service_account": "",
        "burst_vm_timeout": 6,
    }


@pytest.fixture
def name(given: dict[str, Any]) -> str:
    """The name of the VM."""
    return str(given["burst_vms"][0]["name"])


def path(rest: Rest, name: str) -> str:
    return f"zones/{rest.zone}/instances/{name}"


def exists(rest: Rest, name: str) -> bool:
    return rest.call("GET", path(rest, name)).ok


def make(rest: Rest, name: str, labels: dict[str, str], **more: Any) -> Json:
    """Make an instance without the role, and return it."""
    body = rest.instance(name, labels=labels, **more)
    rest.done("POST", f"zones/{rest.zone}/instances", body)
    return rest.get(path(rest, name))


def test_check_mode_says_what_it_would_make_and_makes_nothing(
    owner: Plays, rest: Rest, given: dict[str, Any], name: str
) -> None:
    play = owner.run("scale_out.yml", "--check", **given)
    assert play.status == 0, play.output
    assert f"would make {name} (" in play.output
    assert not exists(rest, name)


def test_a_vm_that_does_not_come_up_is_told_with_its_last_lines_and_deleted(
    owner: Plays, rest: Rest, given: dict[str, Any], name: str
) -> None:
    play = owner.run("scale_out.yml", **given)
    assert play.status != 0
    assert play.output.count("fatal:") == 1
    assert f"{name} is RUNNING at " in play.output
    assert "its ssh (port 22) did not answer in time" in play.output
    assert f"it is deleted; its last serial lines: {name} login:" in play.output
    assert not exists(rest, name)


def test_a_vm_that_existed_before_is_not_deleted_because_it_does_not_answer(
    owner: Plays, rest: Rest, given: dict[str, Any], labels: dict[str, str], name: str
) -> None:
    scheduling = {"maxRunDuration": {"seconds": "43200"}, "instanceTerminationAction": "DELETE"}
    network = [{"network": "global/networks/default", "accessConfigs": [{"name": "External NAT"}]}]
    machine = f"zones/{rest.zone}/machineTypes/n1-standard-1"
    given["burst_vm_image"] = "projects/debian-cloud/global/images/family/debian-12"
    more = {"scheduling": scheduling, "networkInterfaces": network, "machineType": machine}
    make(rest, name, labels, **more)
    play = owner.run("scale_out.yml", **given)
    assert play.status != 0
    assert "its ssh (port 22) did not answer in time" in play.output
    assert "its last serial lines" in play.output
    assert "it is deleted" not in play.output
    assert exists(rest, name)


@pytest.mark.parametrize("label", ["cloudspill-run", "cloudspill-controller"])
def test_a_name_that_a_stranger_has_is_refused_and_the_stranger_left_alone(
    owner: Plays,
    rest: Rest,
    given: dict[str, Any],
    labels: dict[str, str],
    name: str,
    label: str,
) -> None:
    stranger = make(rest, name, labels | {label: "other"})
    play = owner.run("scale_out.yml", **given)
    assert play.status != 0
    assert f"{name} is taken: " in play.output
    assert play.changed == 0
    gone = owner.run("scale_in.yml", **given)
    assert "is not in the inventory" in gone.output, "its tasks are asked of nobody"
    now = rest.get(path(rest, name))
    assert (now["labels"], now["id"]) == (stranger["labels"], stranger["id"])


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("stock-out", "ZONE_RESOURCE_POOL_EXHAUSTED"),
        ("operation-quota", "QUOTA_EXCEEDED"),
        ("quota", "quotaExceeded"),
    ],
)
def test_a_refusal_keeps_google_s_code_and_leaves_nothing(
    owner: Plays,
    rest: Rest,
    given: dict[str, Any],
    name: str,
    faults: Faults,
    kind: str,
    code: str,
) -> None:
    faults.add(kind, match=name, count="forever")
    play = owner.run("scale_out.yml", **given)
    assert play.status != 0
    assert code in play.output
    assert play.output.count("fatal:") == 1
    assert not exists(rest, name)


def test_a_service_account_that_is_missing_is_one_sentence_before_anything_is_made(
    owner: Plays, rest: Rest, given: dict[str, Any], name: str
) -> None:
    email = f"nobody-at-all@{rest.project}.iam.gserviceaccount.com"
    play = owner.run("scale_out.yml", **given | {"burst_vm_service_account": email})
    assert play.status != 0
    assert f"there is no service account {email}, by which a VM deletes itself" in play.output
    assert play.changed == 0
    assert not exists(rest, name)


def test_scale_in_deletes_what_is_no_longer_wanted_wherever_it_is(
    owner: Plays, rest: Rest, given: dict[str, Any], labels: dict[str, str], name: str
) -> None:
    make(rest, name, labels)
    given["burst_vms"][0]["tasks"] = []
    given["burst_vm_zones"] = ["us-east1-b"]  # it was made under another configuration
    given["burst_vm_service_account"] = "a-mistake"  # no reason to let a VM bill on
    given["burst_vm_machine_typs"] = ["another"]
    given["burst_vm_tags"] = {"no": "list"}
    given["burst_vm_image"] = "projects/nobodys-project/global/images/family/none"
    foretold = owner.run("scale_in.yml", "--check", **given)
    assert foretold.status == 0, foretold.output
    assert exists(rest, name)
    done = owner.run("scale_in.yml", **given)
    assert (done.status, done.changed) == (0, 1), done.output
    assert not exists(rest, name)
    again = owner.run("scale_in.yml", **given)
    assert (again.status, again.changed) == (0, 0), again.output


@pytest.fixture(scope="module")
def burst_account(owner: Plays, rest: Rest, prefix: str) -> Iterator[dict[str, str]]:
    """Accounts and roles of a set-up of its own; gone afterwards."""
    ours = prefix.strip("-")
    given = {
        "project_setup_account": f"{prefix}main",
        "project_setup_custom_role": f"{ours}_main",
        "project_setup_burst_account": f"{prefix}burst",
        "project_setup_burst_role": f"{ours}_burst",
        "project_setup_burst_prefix": f"{prefix}spill-",
        "project_setup_roles": "narrow",
        "project_setup_key_file": str(owner.home / "keys" / "burst.json"),
        "cloudspill_owner": "contract",
    }
    try:
        done = owner.run("project_setup.yml", **given)
        assert done.status == 0, done.output
        yield given
    finally:
        done = owner.run("project_setup.yml", project_setup_state="absent", **given)
        assert done.status == 0, done.output


def test_the_account_of_burst_vms_deletes_those_alone(
    rest: Rest, prefix: str, burst_account: dict[str, str]
) -> None:
    """What project_setup grants it lets a VM delete itself, and do nothing else."""
    accounts = f"{IAM}/projects/{rest.project}/serviceAccounts"
    email = f"{burst_account['project_setup_burst_account']}@{rest.project}.iam.gserviceaccount.com"
    key = rest.session.post(f"{accounts}/{email}/keys", json={}, timeout=60).json()
    credentials = service_account.Credentials.from_service_account_info(
        json.loads(base64.b64decode(key["privateKeyData"])), scopes=SCOPES
    )
    burst, other = f"{prefix}spill-1", f"{prefix}web"
    for name in (burst, other):
        make(rest, name, {})
    with AuthorizedSession(credentials) as session:
        own = Rest(session, rest.project, rest.zone, rest.region)
        assert own.call("DELETE", path(rest, other)).status_code == 403
        assert own.call("POST", f"{path(rest, burst)}/stop").status_code == 403
        assert own.call("GET", f"zones/{rest.zone}/instances").status_code == 403
        assert own.call("GET", path(rest, burst)).ok
        assert own.call("DELETE", path(rest, burst)).ok
    assert exists(rest, other)
    acting = rest.session.post(f"{accounts}/{email}:getIamPolicy", timeout=60).json()["bindings"]
    main = f"{burst_account['project_setup_account']}@{rest.project}.iam.gserviceaccount.com"
    assert acting == [
        {"role": "roles/iam.serviceAccountUser", "members": [f"serviceAccount:{main}"]}
    ]


def test_the_narrow_grants_are_enough_for_a_vm_that_can_delete_itself(
    owner: Plays,
    rest: Rest,
    given: dict[str, Any],
    name: str,
    burst_account: dict[str, str],
) -> None:
    account = replace(owner, key_file=Path(burst_account["project_setup_key_file"]))
    email = f"{burst_account['project_setup_burst_account']}@{rest.project}.iam.gserviceaccount.com"
    given["burst_vm_service_account"] = email
    made = account.run("scale_out.yml", **given)
    assert f"{name} is RUNNING at " in made.output, made.output
    assert "it is deleted; its last serial lines" in made.output
    assert "Required" not in made.output
    given["burst_vms"][0]["tasks"] = []
    for playbook in ("scale_in.yml", "reap.yml"):
        play = account.run(playbook, **given)
        assert play.status == 0, play.output


def test_reap_sees_burst_vms_alone_and_leaves_a_young_one(
    owner: Plays,
    rest: Rest,
    given: dict[str, Any],
    labels: dict[str, str],
    name: str,
    tmp_path: Path,
) -> None:
    make(rest, name, labels)
    make(rest, f"{name}-web", {**labels, "cloudspill-role": "web"})
    report = tmp_path / "reap.json"
    given = {**given, "burst_vm_reap_report": str(report)}
    young = owner.run("reap.yml", **given)
    assert young.status == 0, young.output
    assert f"leaves {name}: it has told no lease in the " in young.output
    (machine,) = json.loads(report.read_text())["machines"]
    assert (machine["name"], machine["controller"]) == (name, CONTROLLER)
    assert (machine["expired"], machine["deleted"]) == (False, False)
    assert exists(rest, name)
