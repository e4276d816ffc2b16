# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's modules for services, accounts, keys, roles and bindings, one by one.

They run in this process, with the options that Ansible would give them.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import google.auth
import pytest
from ansible_collections.cloudspill.gcp.plugins.module_utils.api_errors import CloudError
from ansible_collections.cloudspill.gcp.plugins.module_utils.project_client import ProjectClient
from ansible_collections.cloudspill.gcp.plugins.module_utils.transport import Transport
from ansible_collections.cloudspill.gcp.plugins.modules import (
    gcp_custom_role,
    gcp_project_iam,
    gcp_service_account,
    gcp_service_account_key,
    gcp_services,
)

from .conftest import SCOPES
from .faults import Faults
from .rest import Json, Rest
from .target import Target

CRM = "https://cloudresourcemanager.googleapis.com/v1/projects"
IAM = "https://iam.googleapis.com/v1"
VIEWER = "roles/compute.viewer"
OURS: dict[str, Any] = {"run": "contract", "owner": "tests", "state": "present"}

Named = Callable[[str], str]


@pytest.fixture
def client(target: Target) -> ProjectClient:
    """A client as an owner of the project."""
    return ProjectClient(Transport(google.auth.default(scopes=SCOPES)[0]), target.project)


def run(module: Any, client: Any, *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
    """Run a module's own work; returns its result."""
    given = SimpleNamespace(params=options, check_mode=check_mode)
    result: dict[str, Any] = module.run(given, client)
    return result


def bind(client: ProjectClient, member: str, role: str = VIEWER, **more: Any) -> bool:
    """Bring a binding to its state; returns whether that changed anything."""
    options = {"condition": None, "service_account": None, "state": "present", **more}
    check_mode = options.pop("check_mode", False)
    result = run(
        gcp_project_iam, client, check_mode=check_mode, member=member, role=role, **options
    )
    return bool(result["changed"])


@pytest.fixture
def email(client: ProjectClient, rest: Rest, named: Named) -> Iterator[str]:
    """The address of an account that the module made."""
    options = {"account": named("mod")[:30], "display_name": "Of a test", **OURS}
    made = run(gcp_service_account, client, **options)
    try:
        yield made["email"]
    finally:
        url = f"{IAM}/projects/{rest.project}/serviceAccounts/{made['email']}"
        rest.session.delete(url, timeout=60)


def bindings(rest: Rest, member: str) -> list[Json]:
    """The bindings of a member in the project."""
    asked = {"options": {"requestedPolicyVersion": 3}}
    answer = rest.session.post(f"{CRM}/{rest.project}:getIamPolicy", json=asked, timeout=60)
    return [each for each in answer.json()["bindings"] if member in each["members"]]


def test_a_binding_is_added_once_and_removed_once(
    client: ProjectClient, rest: Rest, email: str
) -> None:
    member = f"serviceAccount:{email}"
    assert bind(client, member, check_mode=True)
    assert bindings(rest, member) == []
    assert bind(client, member)
    assert not bind(client, member)
    assert [each["role"] for each in bindings(rest, member)] == [VIEWER]
    assert bind(client, member, state="absent")
    assert not bind(client, member, state="absent")
    assert bindings(rest, member) == []


def test_bindings_of_one_role_under_different_conditions_are_different_ones(
    client: ProjectClient, rest: Rest, email: str
) -> None:
    member = f"serviceAccount:{email}"
    condition = {"title": "some", "expression": "resource.name != 'x'", "description": None}
    assert bind(client, member, condition=condition)
    assert not bind(client, member, condition=condition)
    assert bind(client, member)
    assert bind(client, member, state="absent")
    (kept,) = bindings(rest, member)
    assert kept["condition"] == {"title": "some", "expression": "resource.name != 'x'"}
    assert bind(client, member, condition=condition, state="absent")


def test_writers_at_the_same_moment_lose_nothing_of_each_other(
    client: ProjectClient, rest: Rest, email: str
) -> None:
    member = f"serviceAccount:{email}"
    names = ("compute.viewer", "browser", "storage.objectViewer", "iam.roleViewer")
    roles = {f"roles/{name}" for name in names}
    with ThreadPoolExecutor(len(roles)) as pool:
        assert all(pool.map(lambda role: bind(client, member, role), roles))
    assert {each["role"] for each in bindings(rest, member)} == roles
    for role in roles:
        assert bind(client, member, role, state="absent")


def test_a_binding_whose_answer_is_lost_is_a_change(
    client: ProjectClient, rest: Rest, email: str, faults: Faults
) -> None:
    member = f"serviceAccount:{email}"
    method = "cloudresourcemanager.projects.setIamPolicy"
    lost = faults.add("reset", method=method, when="after")
    assert bind(client, member)
    assert faults.get(lost)["state"] == "spent"
    assert len(bindings(rest, member)) == 1
    assert bind(client, member, state="absent")


def test_a_binding_on_an_account_is_not_one_in_the_project(
    client: ProjectClient, rest: Rest, email: str
) -> None:
    member, user = f"serviceAccount:{email}", "roles/iam.serviceAccountUser"
    account = email.partition("@")[0]
    assert bind(client, member, user, service_account=account)
    assert not bind(client, member, user, service_account=email)
    assert bindings(rest, member) == []
    assert not bind(client, member, user, service_account="is-not-there", state="absent")


def test_an_account_without_the_mark_is_neither_changed_nor_deleted(
    client: ProjectClient, rest: Rest, email: str
) -> None:
    theirs: dict[str, Any] = {
        "account": email.partition("@")[0],
        "display_name": "",
        **OURS,
        "owner": "others",
    }
    for state in ("present", "absent"):
        with pytest.raises(CloudError, match="does not carry the mark of run contract of others"):
            run(gcp_service_account, client, **{**theirs, "state": state})
    url = f"{IAM}/projects/{rest.project}/serviceAccounts/{email}"
    assert rest.session.get(url, timeout=60).json()["displayName"] == "Of a test"


def test_an_account_that_is_disabled_is_refused_with_what_enables_it(
    client: ProjectClient, rest: Rest, email: str
) -> None:
    url = f"{IAM}/projects/{rest.project}/serviceAccounts/{email}"
    assert rest.session.post(f"{url}:disable", json={}, timeout=60).ok
    options: dict[str, Any] = {
        "account": email.partition("@")[0],
        "display_name": "Of a test",
        **OURS,
    }
    with pytest.raises(CloudError, match=f"`gcloud iam service-accounts enable {email}`"):
        run(gcp_service_account, client, **options)


def test_an_account_gets_its_new_name(client: ProjectClient, rest: Rest, email: str) -> None:
    options: dict[str, Any] = {
        "account": email.partition("@")[0],
        "display_name": "Otherwise",
        **OURS,
    }
    assert run(gcp_service_account, client, check_mode=True, **options)["changed"]
    assert run(gcp_service_account, client, **options)["changed"]
    assert not run(gcp_service_account, client, **options)["changed"]
    url = f"{IAM}/projects/{rest.project}/serviceAccounts/{email}"
    assert rest.session.get(url, timeout=60).json()["displayName"] == "Otherwise"


def test_a_role_is_made_changed_deleted_and_brought_back(
    client: ProjectClient, rest: Rest, named: Named
) -> None:
    options: dict[str, Any] = {
        "role": named("role").replace("-", "_"),
        "title": "Of a test",
        **OURS,
    }
    get, stop = "compute.instances.get", "compute.instances.stop"

    def bring(permissions: list[str], state: str = "present") -> bool:
        given: dict[str, Any] = {**options, "permissions": permissions, "state": state}
        return bool(run(gcp_custom_role, client, **given)["changed"])

    def shown() -> Json:
        url = f"{IAM}/projects/{rest.project}/roles/{options['role']}"
        return dict(rest.session.get(url, timeout=60).json())

    try:
        assert [bring([get]), bring([get]), bring([stop, get])] == [True, False, True]
        assert shown()["includedPermissions"] == [get, stop]
        assert [bring([], "absent"), bring([], "absent")] == [True, False]
        assert shown()["deleted"] is True
        assert bring([get])
        assert (shown().get("deleted"), shown()["includedPermissions"]) == (None, [get])
        with pytest.raises(CloudError, match=r"compute\.instances\.fly"):
            bring(["compute.instances.fly"])
        options["owner"] = "others"
        with pytest.raises(CloudError, match="does not carry the mark of run contract of others"):
            bring([get])
    finally:
        options["owner"] = OURS["owner"]
        bring([], "absent")


def key_file(client: ProjectClient, email: str, path: Path, **more: Any) -> dict[str, Any]:
    """Bring a key file to its state."""
    check_mode = more.pop("check_mode", False)
    keys = gcp_service_account_key.Keys(client, client, email)
    options = {"path": str(path), "state": "present", **more}
    return run(gcp_service_account_key, keys, check_mode=check_mode, **options)


def keys_of(rest: Rest, email: str) -> list[str]:
    """The ids of an account's keys that a user made."""
    url = f"{IAM}/projects/{rest.project}/serviceAccounts/{email}/keys?keyTypes=USER_MANAGED"
    found = rest.session.get(url, timeout=60).json().get("keys", [])
    return [key["name"].rpartition("/")[2] for key in found]


def test_a_key_file_and_its_folder_are_their_owner_s_alone(
    client: ProjectClient, rest: Rest, email: str, tmp_path: Path
) -> None:
    path = tmp_path / "keys" / "key.json"
    assert key_file(client, email, path, check_mode=True)["changed"]
    assert not path.parent.exists()
    assert key_file(client, email, path)["changed"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [json.loads(path.read_text())["private_key_id"]] == keys_of(rest, email)
    assert not key_file(client, email, path)["changed"]
    assert key_file(client, email, path, state="absent")["changed"]
    assert (list(path.parent.iterdir()), keys_of(rest, email)) == ([], [])


def test_what_is_no_key_of_the_account_is_left_alone(
    client: ProjectClient, rest: Rest, target: Target, email: str, tmp_path: Path
) -> None:
    path = tmp_path / "key.json"
    path.touch(mode=0o600)
    for content, refusal in (
        ("{", "is no JSON"),
        ("{}", "is no service-account key"),
        (target.key_file.read_text(), f"holds the key of {target.email}, not of {email}"),
    ):
        path.write_text(content)
        for state in ("present", "absent"):
            with pytest.raises(CloudError, match=refusal):
                key_file(client, email, path, state=state)
        assert path.read_text() == content
    assert keys_of(rest, email) == []


def test_no_key_is_made_that_cannot_be_stored(
    client: ProjectClient, rest: Rest, email: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        key_file(client, email, tmp_path / "file" / "key.json")
    assert keys_of(rest, email) == []


def test_services_are_enabled_together_and_only_those_that_are_not(
    client: ProjectClient, rest: Rest
) -> None:
    names = ["policytroubleshooter.googleapis.com", "compute.googleapis.com"]
    options: dict[str, Any] = {"names": names, "timeout": 60}
    try:
        assert run(gcp_services, client, check_mode=True, **options)["enabled"] == names[:1]
        assert run(gcp_services, client, **options)["enabled"] == names[:1]
        assert not run(gcp_services, client, **options)["changed"]
    finally:
        url = f"https://serviceusage.googleapis.com/v1/projects/{rest.project}/services/{names[0]}"
        assert rest.session.post(f"{url}:disable", json={}, timeout=60).ok


def test_a_service_that_there_is_not_is_named(client: ProjectClient) -> None:
    with pytest.raises(CloudError, match=r"nonsense\.googleapis\.com"):
        run(gcp_services, client, names=["nonsense.googleapis.com"], timeout=60)
