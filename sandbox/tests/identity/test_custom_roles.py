# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles in the IAM API: Google's, and a project's own.

https://cloud.google.com/iam/docs/creating-custom-roles
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.identity.iam import Iam

from .conftest import Clock, Identity
from .iam_calls import NUMBER, OWNER, PROJECT, Caller

ROLES = "iam.projects.roles"
NAME = f"{PROJECT}/roles/burst"
HELD = ["compute.instances.delete", "compute.instances.get"]
DAY = 86_400.0
Refusal = Callable[..., ApiError]


@pytest.fixture
def role(ask: Caller) -> Document:
    body = {"roleId": "burst", "role": {"title": "Burst", "includedPermissions": HELD[::-1]}}
    return ask(f"{ROLES}.create", body, parent=PROJECT)


def test_a_role_is_made_once(ask: Caller, role: Document, refusal: Refusal) -> None:
    assert role["name"] == NAME
    assert (role["stage"], role["includedPermissions"]) == ("ALPHA", HELD)
    assert ask(f"{ROLES}.get", name=f"projects/{NUMBER}/roles/burst") == role
    error = refusal(ask, f"{ROLES}.create", {"roleId": "burst"}, parent=PROJECT)
    assert (error.status, error.code) == (409, "ALREADY_EXISTS")


@pytest.mark.parametrize(
    ("role_id", "role", "message"),
    [
        ("a-b", {}, "The role_id (a-b) must have 3 to 64 characters"),
        ("ab", {}, "The role_id (ab)"),
        ("new", {"title": "x" * 101}, "The title must not be longer than 100 bytes."),
        (
            "new",
            {"includedPermissions": ["compute.instances.creat"]},
            "Permission compute.instances.creat is not valid.",
        ),
        (
            "new",
            {"includedPermissions": ["resourcemanager.projects.list"]},
            "Permission resourcemanager.projects.list is not valid.",
        ),
    ],
)
def test_what_can_be_no_role_is_refused(
    ask: Caller, refusal: Refusal, role_id: str, role: Document, message: str
) -> None:
    error = refusal(ask, f"{ROLES}.create", {"roleId": role_id, "role": role}, parent=PROJECT)
    assert (error.status, error.code) == (400, "INVALID_ARGUMENT")
    assert error.message.startswith(message)
    assert ask(f"{ROLES}.list", parent=PROJECT) == {}


def test_a_permission_of_a_collection_that_the_sandbox_lacks_is_taken(ask: Caller) -> None:
    body = {"roleId": "dns", "role": {"includedPermissions": ["dns.managedZones.get"]}}
    assert ask(f"{ROLES}.create", body, parent=PROJECT)["includedPermissions"] == [
        "dns.managedZones.get"
    ]


def test_a_patch_changes_what_its_mask_names(ask: Caller, role: Document, refusal: Refusal) -> None:
    masked = {"updateMask": "title,stage"}
    body = {"title": "New", "stage": "GA", "includedPermissions": []}
    changed = ask(f"{ROLES}.patch", body, masked, name=NAME)
    assert (changed["title"], changed["stage"]) == ("New", "GA")
    assert changed["includedPermissions"] == HELD
    unmasked = ask(f"{ROLES}.patch", {"description": "d"}, name=NAME)
    assert (unmasked["title"], unmasked["description"]) == ("New", "d")
    stale = refusal(ask, f"{ROLES}.patch", {"title": "x", "etag": role["etag"]}, name=NAME)
    assert (stale.status, stale.code) == (409, "ABORTED")
    wrong = refusal(ask, f"{ROLES}.patch", {}, {"updateMask": "name"}, name=NAME)
    assert "'name'" in wrong.message
    absent = refusal(ask, f"{ROLES}.patch", {}, name=f"{PROJECT}/roles/absent")
    assert (absent.status, absent.message) == (
        404,
        f"The role named {PROJECT}/roles/absent was not found.",
    )


def test_a_deleted_role_comes_back_within_a_week(
    ask: Caller, role: Document, refusal: Refusal, clock: Clock
) -> None:
    deleted = ask(f"{ROLES}.delete", name=NAME)
    assert deleted["deleted"] is True
    assert ask(f"{ROLES}.list", parent=PROJECT) == {}
    shown = ask(f"{ROLES}.list", query={"showDeleted": True}, parent=PROJECT)
    assert [each["name"] for each in shown["roles"]] == [NAME]
    taken = refusal(ask, f"{ROLES}.create", {"roleId": "burst"}, parent=PROJECT)
    assert "in a deleted state" in taken.message
    assert refusal(ask, f"{ROLES}.patch", {"title": "x"}, name=NAME).code == "FAILED_PRECONDITION"
    assert refusal(ask, f"{ROLES}.delete", name=NAME).code == "FAILED_PRECONDITION"
    restored = ask(f"{ROLES}.undelete", {}, name=NAME)
    assert refusal(ask, f"{ROLES}.undelete", {}, name=NAME).code == "FAILED_PRECONDITION"
    assert restored == role | {"etag": restored["etag"]}
    ask(f"{ROLES}.delete", name=NAME)
    clock.now += 7 * DAY
    assert refusal(ask, f"{ROLES}.undelete", {}, name=NAME).status == 404
    clock.now += 30 * DAY
    assert ask(f"{ROLES}.list", query={"showDeleted": True}, parent=PROJECT) == {}
    ask(f"{ROLES}.create", {"roleId": "burst"}, parent=PROJECT)


def test_a_project_has_300_roles_at_most(ask: Caller, refusal: Refusal) -> None:
    for number in range(300):
        ask(f"{ROLES}.create", {"roleId": f"role{number}"}, parent=PROJECT)
    error = refusal(ask, f"{ROLES}.create", {"roleId": "more"}, parent=PROJECT)
    assert (error.status, error.code) == (429, "RESOURCE_EXHAUSTED")


def test_a_role_has_3000_permissions_at_most(ask: Caller, refusal: Refusal) -> None:
    many = [f"dns.zones.verb{number}" for number in range(3001)]
    body = {"roleId": "many", "role": {"includedPermissions": many}}
    assert (
        "3001 permissions, at most 3000"
        in refusal(ask, f"{ROLES}.create", body, parent=PROJECT).message
    )
    body["role"] = {"includedPermissions": [*many[1:], many[1]]}
    assert len(ask(f"{ROLES}.create", body, parent=PROJECT)["includedPermissions"]) == 3000


def test_google_s_roles_are_everybody_s_to_read(ask: Caller, refusal: Refusal) -> None:
    anyone = ask.by("x@elsewhere.iam.gserviceaccount.com")
    found = anyone("iam.roles.get", name="roles/iam.serviceAccountUser")
    assert found["title"] == "Service Account User"
    assert "iam.serviceAccounts.actAs" in found["includedPermissions"]
    names = [role["name"] for role in anyone("iam.roles.list")["roles"]]
    assert "roles/owner" in names
    full = anyone("iam.roles.list", query={"view": "FULL", "pageSize": 1})
    assert full["roles"][0]["includedPermissions"]
    assert full["nextPageToken"]
    assert refusal(anyone, "iam.roles.get", name="roles/none").status == 404
    assert refusal(anyone, f"{ROLES}.list", parent=PROJECT).status == 403


def test_roles_are_grantable_where_their_permissions_apply(ask: Caller, role: Document) -> None:
    project = f"//cloudresourcemanager.googleapis.com/{PROJECT}"
    account = f"//iam.googleapis.com/{PROJECT}/serviceAccounts/{OWNER}"

    def grantable(resource: str) -> set[str]:
        answer = ask("iam.roles.queryGrantableRoles", {"fullResourceName": resource})
        return {each["name"] for each in answer["roles"]}

    assert {"roles/owner", NAME} <= grantable(project)
    assert "roles/storage.legacyBucketOwner" not in grantable(project)
    assert "roles/iam.serviceAccountUser" in grantable(account)
    assert "roles/compute.admin" not in grantable(account)
    testable = ask("iam.permissions.queryTestablePermissions", {"fullResourceName": account})
    assert "iam.serviceAccounts.actAs" in {each["name"] for each in testable["permissions"]}


def test_a_role_grants_by_what_it_now_holds(
    ask: Caller, role: Document, identity: Identity, iam: Iam
) -> None:
    worker = "worker@p1234.iam.gserviceaccount.com"
    bound = [
        {"role": "roles/owner", "members": [f"serviceAccount:{OWNER}"]},
        {"role": NAME, "members": [f"serviceAccount:{worker}"]},
    ]
    with identity.store.transaction() as transaction:
        iam.policies.put(transaction, PROJECT, bound)

    def held() -> list[str]:
        body = {"permissions": [*HELD, "compute.instances.stop"]}
        method = "cloudresourcemanager.projects.testIamPermissions"
        answer: list[str] = ask.by(worker)(method, body, resource="p1234").get("permissions", [])
        return answer

    assert held() == HELD
    ask(f"{ROLES}.patch", {"includedPermissions": ["compute.instances.stop"]}, name=NAME)
    assert held() == ["compute.instances.stop"]
    ask(f"{ROLES}.patch", {"stage": "DISABLED"}, name=NAME)
    assert held() == []
    ask(f"{ROLES}.patch", {"stage": "GA"}, name=NAME)
    ask(f"{ROLES}.delete", name=NAME)
    assert held() == []
    ask(f"{ROLES}.undelete", {}, name=NAME)
    assert held() == ["compute.instances.stop"]


@pytest.mark.parametrize("parent", ["vm", "organizations/1", "/"])
def test_a_parent_that_is_no_project_is_refused(ask: Caller, refusal: Refusal, parent: str) -> None:
    assert refusal(ask, "iam.roles.list", query={"parent": parent}).status == 400
