# SPDX-License-Identifier: GPL-3.0-or-later
"""A project is set up, used by what was granted, and left as it was found.

The tests tell one story in order; each begins where the one before it ended.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from .faults import Faults
from .plays import Plays
from .rest import Json, Rest
from .target import Target

CRM = "https://cloudresourcemanager.googleapis.com/v1/projects"
IAM = "https://iam.googleapis.com/v1"
SERVICES = "https://serviceusage.googleapis.com/v1"

pytestmark = [pytest.mark.usefixtures("sandbox_only"), pytest.mark.slow]


@pytest.fixture(scope="module")
def owner(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Plays:
    """Runs playbooks as an owner of the project."""
    return Plays(target, tmp_path_factory.mktemp("home"), target.key_file)


@pytest.fixture(scope="module")
def settings(owner: Plays, rest: Rest, prefix: str) -> Iterator[dict[str, str]]:
    """What tells this set-up from others; account and role are gone afterwards."""
    given = {
        "project_setup_account": f"{prefix}setup",
        "project_setup_custom_role": f"{prefix}setup".replace("-", "_"),
        "project_setup_key_file": str(owner.home / "keys" / "key.json"),
        "project_setup_owner": "contract",
    }
    try:
        yield given
    finally:
        rest.session.delete(account_url(rest, given), timeout=60)
        rest.session.delete(role_url(rest, given), timeout=60)


@pytest.fixture
def account(owner: Plays, settings: dict[str, str]) -> Plays:
    """Runs playbooks as the account that was made."""
    return replace(owner, key_file=Path(settings["project_setup_key_file"]))


def roles(rest: Rest, settings: dict[str, str]) -> set[str]:
    """The roles of the account in the project, the last part of their names."""
    asked = {"options": {"requestedPolicyVersion": 3}}
    url = f"{CRM}/{rest.project}:getIamPolicy"
    policy: Json = rest.session.post(url, json=asked, timeout=60).json()
    member = member_of(rest, settings)
    bound = [each["role"] for each in policy["bindings"] if member in each["members"]]
    return {role.rpartition("/")[2] for role in bound}


def member_of(rest: Rest, settings: dict[str, str]) -> str:
    account = settings["project_setup_account"]
    return f"serviceAccount:{account}@{rest.project}.iam.gserviceaccount.com"


def account_url(rest: Rest, settings: dict[str, str]) -> str:
    email = member_of(rest, settings).partition(":")[2]
    return f"{IAM}/projects/{rest.project}/serviceAccounts/{email}"


def role_url(rest: Rest, settings: dict[str, str]) -> str:
    return f"{IAM}/projects/{rest.project}/roles/{settings['project_setup_custom_role']}"


def test_check_mode_says_what_it_would_grant_and_grants_nothing(
    owner: Plays, settings: dict[str, str], rest: Rest
) -> None:
    play = owner.run("project_setup.yml", "--check", project_setup_roles="narrow", **settings)
    assert play.status == 0, play.output
    assert "would have projects/" in play.output
    assert rest.session.get(account_url(rest, settings), timeout=60).status_code == 404
    assert not Path(settings["project_setup_key_file"]).exists()
    assert roles(rest, settings) == set()


def test_apis_that_are_disabled_are_enabled_by_way_of_the_inventory_that_needs_them(
    owner: Plays, settings: dict[str, str], rest: Rest, tmp_path: Path
) -> None:
    services = [f"{name}.googleapis.com" for name in ("compute", "iam")]
    for name in services:
        url = f"{SERVICES}/projects/{rest.project}/services/{name}:disable"
        assert rest.session.post(url, json={"disableDependentServices": True}, timeout=60).ok
    inventory = tmp_path / "cloud.gce.yml"
    inventory.write_text(json.dumps({"plugin": "cloudspill.gcp.gce"}))
    play = owner.run(
        "project_setup.yml", "-i", str(inventory), project_setup_roles="narrow", **settings
    )
    assert play.status == 0, play.output
    assert "[WARNING]: aggregated/instances: the API compute.googleapis.com is not" in play.output
    for name in services:
        url = f"{SERVICES}/projects/{rest.project}/services/{name}"
        assert rest.session.get(url, timeout=60).json()["state"] == "ENABLED"


def test_narrow_grants_one_custom_role_and_acting_as_itself(
    rest: Rest, settings: dict[str, str]
) -> None:
    assert roles(rest, settings) == {settings["project_setup_custom_role"]}
    url = f"{account_url(rest, settings)}:getIamPolicy"
    own = rest.session.post(url, timeout=60).json()["bindings"]
    assert own == [{"role": "roles/iam.serviceAccountUser", "members": [member_of(rest, settings)]}]


def test_the_key_file_is_its_owner_s_alone_and_of_that_account(
    rest: Rest, settings: dict[str, str]
) -> None:
    path = Path(settings["project_setup_key_file"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    email = json.loads(path.read_text())["client_email"]
    assert email == member_of(rest, settings).partition(":")[2]


def test_a_second_run_changes_nothing(owner: Plays, settings: dict[str, str]) -> None:
    key = Path(settings["project_setup_key_file"]).read_bytes()
    play = owner.run("project_setup.yml", project_setup_roles="narrow", **settings)
    assert (play.status, play.changed) == (0, 0), play.output
    assert Path(settings["project_setup_key_file"]).read_bytes() == key
    assert "parts 1 to 3 cost about $0.08 an hour on Google Cloud" in play.output


def test_part_1_runs_on_the_narrow_grants_alone(account: Plays, rest: Rest, prefix: str) -> None:
    names = {
        "image_name": f"{prefix}image",
        "instance_name": f"{prefix}flask",
        "firewall_name": f"{prefix}allow",
        "cloudspill_run": prefix.strip("-"),
    }
    made = account.run("part1.yml", "--skip-tags", "flask_app", **names)
    assert made.status == 0, made.output
    assert rest.get(f"zones/{rest.zone}/instances/{prefix}flask")["status"] == "RUNNING"
    # Machines in memory serve no page: the wait for it ends in time, not in a refusal.
    waited = account.run("part1.yml", "--tags", "flask_app", flask_app_timeout=2, **names)
    assert "within 2 s" in waited.output
    assert "Required" not in waited.output
    removed = account.run("teardown.yml", **names)
    assert removed.status == 0, removed.output
    assert rest.call("GET", f"zones/{rest.zone}/instances/{prefix}flask").status_code == 404


def test_the_narrow_grants_do_not_reach_further(account: Plays, settings: dict[str, str]) -> None:
    play = account.run("project_setup.yml", **settings)
    assert play.status != 0
    assert "the credentials lack iam.roles.delete," in play.output
    assert "run this with the credentials of an owner of the project" in play.output


def test_a_key_that_everybody_can_read_is_refused_with_the_chmod(
    owner: Plays, settings: dict[str, str], rest: Rest
) -> None:
    path = Path(settings["project_setup_key_file"])
    path.chmod(0o644)
    try:
        play = owner.run("project_setup.yml", **settings)
    finally:
        path.chmod(0o600)
    assert play.status != 0
    assert f"run `chmod 600 {path}`" in play.output
    assert roles(rest, settings) == {settings["project_setup_custom_role"]}, "nothing changed"


def test_broad_takes_the_narrow_grants_away_and_a_revoked_key_is_replaced(
    owner: Plays, settings: dict[str, str], rest: Rest
) -> None:
    path = Path(settings["project_setup_key_file"])
    revoked = json.loads(path.read_text())["private_key_id"]
    assert rest.session.delete(f"{account_url(rest, settings)}/keys/{revoked}", timeout=60).ok
    play = owner.run("project_setup.yml", **settings)
    assert play.status == 0, play.output
    assert roles(rest, settings) == {"compute.admin", "iam.serviceAccountUser", "storage.admin"}
    own = rest.session.post(f"{account_url(rest, settings)}:getIamPolicy", timeout=60).json()
    assert own.get("bindings", []) == []
    assert rest.session.get(role_url(rest, settings), timeout=60).json()["deleted"] is True
    assert json.loads(path.read_text())["private_key_id"] != revoked


def test_a_role_that_is_not_known_everywhere_yet_is_waited_for(
    owner: Plays, settings: dict[str, str], rest: Rest, faults: Faults
) -> None:
    unknown = "400:badRequest:Role (projects/acme/roles/setup) does not exist in the hierarchy."
    method = "cloudresourcemanager.projects.setIamPolicy"
    armed = faults.add("error", method=method, error=unknown)
    play = owner.run("project_setup.yml", project_setup_roles="narrow", **settings)
    assert play.status == 0, play.output
    assert faults.get(armed)["fired"] == 1
    assert roles(rest, settings) == {settings["project_setup_custom_role"]}


def test_absent_takes_it_all_away_but_the_apis_and_the_ssh_key(
    owner: Plays, settings: dict[str, str], rest: Rest
) -> None:
    play = owner.run("project_setup.yml", project_setup_state="absent", **settings)
    assert play.status == 0, play.output
    assert roles(rest, settings) == set()
    assert rest.session.get(account_url(rest, settings), timeout=60).status_code == 404
    assert rest.session.get(role_url(rest, settings), timeout=60).json()["deleted"] is True
    assert not Path(settings["project_setup_key_file"]).exists()
    assert (owner.home / ".config/cloudspill/ssh_key").exists()
    url = f"{SERVICES}/projects/{rest.project}/services/compute.googleapis.com"
    assert rest.session.get(url, timeout=60).json()["state"] == "ENABLED"
    again = owner.run("project_setup.yml", project_setup_state="absent", **settings)
    assert (again.status, again.changed) == (0, 0), again.output


def test_an_account_of_somebody_else_is_left_alone(
    owner: Plays, settings: dict[str, str], rest: Rest
) -> None:
    body = {"accountId": settings["project_setup_account"]}
    url = f"{IAM}/projects/{rest.project}/serviceAccounts"
    assert rest.session.post(url, json=body, timeout=60).ok
    try:
        play = owner.run("project_setup.yml", **settings)
        assert play.status != 0
        assert "does not carry the mark of run default of contract" in play.output
        assert roles(rest, settings) == set()
    finally:
        rest.session.delete(account_url(rest, settings), timeout=60)
