# SPDX-License-Identifier: GPL-3.0-or-later
"""IAM v1, service accounts: https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import pytest

from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.discovery import Api
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.identity.iam import Iam

from .conftest import Clock
from .iam_calls import NUMBER, OWNER, PROJECT, Caller

ACCOUNTS = "iam.projects.serviceAccounts"
EMAIL = "worker-1@p1234.iam.gserviceaccount.com"
NAME = f"{PROJECT}/serviceAccounts/{EMAIL}"

Refusal = Callable[..., ApiError]


@pytest.fixture
def worker(ask: Caller) -> Document:
    described = {"displayName": "Worker", "description": "works"}
    body = {"accountId": "worker-1", "serviceAccount": described}
    return ask(f"{ACCOUNTS}.create", body, name=PROJECT)


def test_an_account_has_what_google_s_has(worker: Document, ask: Caller) -> None:
    assert worker.pop("etag")
    unique_id = worker["uniqueId"]
    assert re.fullmatch(r"\d{21}", unique_id)
    assert worker == {
        "name": NAME,
        "projectId": "p1234",
        "uniqueId": unique_id,
        "oauth2ClientId": unique_id,
        "email": EMAIL,
        "displayName": "Worker",
        "description": "works",
    }


@pytest.mark.parametrize("project", ["p1234", "-", NUMBER])
@pytest.mark.parametrize("key", ["email", "uniqueId"])
def test_an_account_goes_by_each_of_its_names(
    worker: Document, ask: Caller, project: str, key: str
) -> None:
    name = f"projects/{project}/serviceAccounts/{worker[key]}"
    assert ask(f"{ACCOUNTS}.get", name=name) == worker


@pytest.mark.parametrize(
    ("account_id", "sentence"),
    [
        ("", 'The account ID "" does not have a length between 6 and 30.'),
        ("short", 'The account ID "short" does not have a length between 6 and 30.'),
        ("a" * 31, f'The account ID "{"a" * 31}" does not have a length between 6 and 30.'),
        ("Capital", 'The account ID "Capital" does not match the regular expression '),
        ("ends-in-", 'The account ID "ends-in-" does not match the regular expression '),
        ("1-begins", 'The account ID "1-begins" does not match the regular expression '),
    ],
)
def test_a_bad_account_id_is_refused(
    ask: Caller, refusal: Refusal, account_id: str, sentence: str
) -> None:
    error = refusal(ask, f"{ACCOUNTS}.create", {"accountId": account_id}, name=PROJECT)
    assert (error.status, error.code) == (400, "INVALID_ARGUMENT")
    assert error.message.startswith(sentence)


@pytest.mark.parametrize(("field", "limit"), [("displayName", 100), ("description", 256)])
def test_a_text_has_its_longest(
    ask: Caller, refusal: Refusal, worker: Document, field: str, limit: int
) -> None:
    longest = "ü" * (limit // 2)
    patched = {"serviceAccount": {field: longest}, "updateMask": field}
    assert ask(f"{ACCOUNTS}.patch", patched, name=NAME)[field] == longest
    patched = {"serviceAccount": {field: longest + "ü"}, "updateMask": field}
    error = refusal(ask, f"{ACCOUNTS}.patch", patched, name=NAME)
    assert (error.status, error.code) == (400, "INVALID_ARGUMENT")


def test_an_id_that_is_taken_is_a_conflict(ask: Caller, refusal: Refusal, worker: Document) -> None:
    error = refusal(ask, f"{ACCOUNTS}.create", {"accountId": "worker-1"}, name=PROJECT)
    assert (error.status, error.code) == (409, "ALREADY_EXISTS")
    assert error.message == f"Service account worker-1 already exists within project {PROJECT}."
    assert error.details == (
        {"@type": "type.googleapis.com/google.rpc.ResourceInfo", "resourceName": NAME},
    )


def test_a_project_has_a_hundred_accounts_at_most(ask: Caller, refusal: Refusal, iam: Iam) -> None:
    for number in range(99):
        iam.accounts.create("p1234", f"account-{number}")
    error = refusal(ask, f"{ACCOUNTS}.create", {"accountId": "one-more"}, name=PROJECT)
    assert (error.status, error.code) == (429, "RESOURCE_EXHAUSTED")
    assert error.message == "Maximum number of service accounts on project reached."


def test_accounts_are_listed_in_pages(ask: Caller, iam: Iam) -> None:
    made = {iam.accounts.create("p1234", f"account-{number}")["email"] for number in range(25)}
    listed: list[str] = []
    sizes = []
    token: str | None = ""
    while token is not None:
        query = {"pageToken": token} if token else {}
        page = ask(f"{ACCOUNTS}.list", query=query, name=PROJECT)
        sizes.append(len(page["accounts"]))
        listed += [account["email"] for account in page["accounts"]]
        token = page.get("nextPageToken")
    assert sizes == [20, 6]
    assert set(listed) == made | {OWNER}
    assert len(set(listed)) == len(listed)


@pytest.mark.parametrize("query", [{"pageSize": -1}, {"pageToken": "no-token!"}])
def test_a_page_that_there_is_none_of_is_refused(
    ask: Caller, refusal: Refusal, query: Document
) -> None:
    error = refusal(ask, f"{ACCOUNTS}.list", query=query, name=PROJECT)
    assert (error.status, error.code) == (400, "INVALID_ARGUMENT")


def test_a_patch_changes_what_its_mask_names(ask: Caller, worker: Document) -> None:
    body = {"serviceAccount": {"displayName": "New"}, "updateMask": "display_name,description"}
    patched = ask(f"{ACCOUNTS}.patch", body, name=NAME)
    assert patched["displayName"] == "New"
    assert "description" not in patched
    assert patched["etag"] != worker["etag"]
    assert ask(f"{ACCOUNTS}.get", name=NAME) == patched


def test_a_mask_names_nothing_but_texts(ask: Caller, refusal: Refusal, worker: Document) -> None:
    body = {"serviceAccount": {"disabled": True}, "updateMask": "disabled"}
    error = refusal(ask, f"{ACCOUNTS}.patch", body, name=NAME)
    assert (error.status, error.code) == (400, "INVALID_ARGUMENT")
    assert "'disabled'" in error.message


def test_update_sets_the_display_name_alone(ask: Caller, worker: Document) -> None:
    body = {"displayName": "New", "description": "other"}
    updated = ask(f"{ACCOUNTS}.update", body, name=NAME)
    assert (updated["displayName"], updated["description"]) == ("New", "works")


def test_an_account_is_disabled_and_enabled(ask: Caller, worker: Document) -> None:
    assert ask(f"{ACCOUNTS}.disable", {}, name=NAME) == {}
    assert ask(f"{ACCOUNTS}.get", name=NAME) == worker | {"disabled": True}
    assert ask(f"{ACCOUNTS}.enable", {}, name=NAME) == {}
    assert ask(f"{ACCOUNTS}.get", name=NAME) == worker


def test_an_unknown_account_is_told_to_those_who_may_know(ask: Caller, refusal: Refusal) -> None:
    error = refusal(ask, f"{ACCOUNTS}.get", name=NAME)
    assert (error.status, error.message) == (404, "Unknown service account")
    nowhere = f"projects/-/serviceAccounts/{EMAIL}"
    error = refusal(ask, f"{ACCOUNTS}.get", name=nowhere)
    assert (error.status, error.code) == (403, "PERMISSION_DENIED")
    elsewhere = f"projects/other/serviceAccounts/{OWNER}"
    assert refusal(ask, f"{ACCOUNTS}.get", name=elsewhere).status == 403


def test_a_deleted_account_is_gone_and_comes_back(
    ask: Caller, refusal: Refusal, worker: Document, iam: Iam
) -> None:
    key_id = iam.accounts.keys.create(EMAIL)["private_key_id"]
    assert ask(f"{ACCOUNTS}.delete", name=NAME) == {}
    assert refusal(ask, f"{ACCOUNTS}.get", name=NAME).status == 404
    assert not iam.accounts.keys.usable(EMAIL, key_id)
    deleted = f"projects/-/serviceAccounts/{worker['uniqueId']}"
    restored = ask(f"{ACCOUNTS}.undelete", {}, name=deleted)["restoredAccount"]
    assert restored == worker
    assert ask(f"{ACCOUNTS}.get", name=NAME) == worker
    assert iam.accounts.keys.usable(EMAIL, key_id)
    assert refusal(ask, f"{ACCOUNTS}.undelete", {}, name=NAME).status == 404


def test_after_thirty_days_a_deleted_account_stays_gone(
    ask: Caller, refusal: Refusal, worker: Document, clock: Clock
) -> None:
    ask(f"{ACCOUNTS}.delete", name=NAME)
    clock.now += 30 * 86_400
    deleted = f"{PROJECT}/serviceAccounts/{worker['uniqueId']}"
    error = refusal(ask, f"{ACCOUNTS}.undelete", {}, name=deleted)
    assert (error.status, error.message) == (404, "Unknown service account")


def test_an_account_cannot_come_back_beside_another_of_its_name(
    ask: Caller, refusal: Refusal, worker: Document
) -> None:
    ask(f"{ACCOUNTS}.delete", name=NAME)
    other = ask(f"{ACCOUNTS}.create", {"accountId": "worker-1"}, name=PROJECT)
    assert other["uniqueId"] != worker["uniqueId"]
    deleted = f"{PROJECT}/serviceAccounts/{worker['uniqueId']}"
    error = refusal(ask, f"{ACCOUNTS}.undelete", {}, name=deleted)
    assert (error.status, error.code) == (400, "FAILED_PRECONDITION")
    assert ask(f"{ACCOUNTS}.get", name=NAME) == other


def test_another_account_of_a_deleted_one_s_name_has_none_of_its_roles(
    ask: Caller, refusal: Refusal, worker: Document, iam: Iam
) -> None:
    member = f"serviceAccount:{EMAIL}"
    bindings = [
        {"role": "roles/owner", "members": [f"serviceAccount:{OWNER}"]},
        {"role": "roles/iam.serviceAccountViewer", "members": [member]},
    ]
    iam.policies.write(
        PROJECT, "cloudresourcemanager.googleapis.com/Project", {"bindings": bindings}
    )
    policy = {"bindings": [{"role": "roles/iam.serviceAccountUser", "members": [member]}]}
    ask(f"{ACCOUNTS}.setIamPolicy", {"policy": policy}, resource=NAME)
    as_worker = ask.by(EMAIL)
    as_worker(f"{ACCOUNTS}.get", name=NAME)

    ask(f"{ACCOUNTS}.delete", name=NAME)
    ask(f"{ACCOUNTS}.create", {"accountId": "worker-1"}, name=PROJECT)
    error = refusal(as_worker, f"{ACCOUNTS}.get", name=NAME)
    assert (error.status, error.code) == (403, "PERMISSION_DENIED")
    assert "bindings" not in ask(f"{ACCOUNTS}.getIamPolicy", resource=NAME)

    ask(f"{ACCOUNTS}.delete", name=NAME)
    deleted = f"{PROJECT}/serviceAccounts/{worker['uniqueId']}"
    ask(f"{ACCOUNTS}.undelete", {}, name=deleted)
    as_worker(f"{ACCOUNTS}.get", name=NAME)
    restored = ask(f"{ACCOUNTS}.getIamPolicy", resource=NAME)
    assert restored["bindings"] == policy["bindings"]


def test_a_policy_on_an_account_lets_somebody_use_it(ask: Caller, worker: Document) -> None:
    wanted = ["iam.serviceAccounts.actAs", "iam.serviceAccounts.delete"]
    tested = f"{ACCOUNTS}.testIamPermissions"
    as_worker = ask.by(EMAIL)
    assert as_worker(tested, {"permissions": wanted}, resource=NAME) == {}
    policy = {
        "bindings": [
            {"role": "roles/iam.serviceAccountUser", "members": [f"serviceAccount:{EMAIL}"]}
        ]
    }
    ask(f"{ACCOUNTS}.setIamPolicy", {"policy": policy}, resource=NAME)
    held = as_worker(tested, {"permissions": wanted}, resource=NAME)
    assert held == {"permissions": ["iam.serviceAccounts.actAs"]}


@pytest.mark.parametrize(
    ("verb", "permission"),
    [
        ("get", "iam.serviceAccounts.get"),
        ("patch", "iam.serviceAccounts.update"),
        ("update", "iam.serviceAccounts.update"),
        ("delete", "iam.serviceAccounts.delete"),
        ("disable", "iam.serviceAccounts.disable"),
        ("enable", "iam.serviceAccounts.enable"),
        ("keys.create", "iam.serviceAccountKeys.create"),
        ("keys.upload", "iam.serviceAccountKeys.create"),
        ("keys.list", "iam.serviceAccountKeys.list"),
    ],
)
def test_a_refusal_names_the_permission(
    ask: Caller, refusal: Refusal, worker: Document, verb: str, permission: str
) -> None:
    error = refusal(ask.by(EMAIL), f"{ACCOUNTS}.{verb}", name=NAME)
    assert (error.status, error.code) == (403, "PERMISSION_DENIED")
    assert error.message == f"Permission '{permission}' denied on resource (or it may not exist)."
    (info,) = error.details
    assert info["reason"] == "IAM_PERMISSION_DENIED"
    assert info["metadata"] == {"permission": permission}


@pytest.mark.parametrize(
    ("verb", "body", "permission"),
    [("create", {"accountId": "other-1"}, "create"), ("list", None, "list")],
)
def test_a_stranger_makes_and_sees_no_accounts(
    ask: Caller, refusal: Refusal, worker: Document, verb: str, body: Document, permission: str
) -> None:
    error = refusal(ask.by(EMAIL), f"{ACCOUNTS}.{verb}", body, name=PROJECT)
    assert error.status == 403
    assert f"'iam.serviceAccounts.{permission}'" in error.message


@pytest.mark.parametrize(
    "method", [f"{ACCOUNTS}.create", "iamcredentials.projects.serviceAccounts.generateAccessToken"]
)
def test_the_scope_of_iam_is_enough(apis: Mapping[str, Api], method: str) -> None:
    scopes = apis[method.partition(".")[0]].methods[method].scopes
    assert "https://www.googleapis.com/auth/iam" in scopes
