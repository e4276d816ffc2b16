# SPDX-License-Identifier: GPL-3.0-or-later
"""Cloud Resource Manager: what a caller learns of a project, and who may do what in it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.identity.iam import Iam
from cloudspill_sandbox.identity.projects import ensure_policy

from .conftest import Identity
from .iam_calls import NUMBER, OWNER, PROJECT, Caller

CRM = "cloudresourcemanager.projects"
STRANGER = "other@elsewhere.iam.gserviceaccount.com"
Refusal = Callable[..., ApiError]


@pytest.mark.parametrize("project", ["p1234", NUMBER])
def test_a_project_is_found_by_id_and_by_number(ask: Caller, project: str) -> None:
    found = ask(f"{CRM}.get", projectId=project)
    assert (found["projectId"], found["projectNumber"]) == ("p1234", NUMBER)
    policy = ask(f"{CRM}.getIamPolicy", {}, resource=project)
    assert policy["bindings"] == [{"role": "roles/owner", "members": [f"serviceAccount:{OWNER}"]}]


@pytest.mark.parametrize("project", ["p1234", "absent"])
def test_a_stranger_is_not_even_told_whether_a_project_exists(
    ask: Caller, refusal: Refusal, project: str
) -> None:
    error = refusal(ask.by(STRANGER), f"{CRM}.get", projectId=project)
    assert (error.status, error.message) == (403, "The caller does not have permission")
    assert error.rpc_body()["error"]["status"] == "PERMISSION_DENIED"


def test_permissions_are_tested_by_what_roles_hold(ask: Caller, iam: Iam, refusal: Refusal) -> None:
    asked = ["compute.instances.create", "compute.instances.list", "storage.objects.get"]
    owned = ask(f"{CRM}.testIamPermissions", {"permissions": asked}, resource="p1234")
    assert owned == {"permissions": ["compute.instances.create", "compute.instances.list"]}
    nothing = ask.by(STRANGER)(
        f"{CRM}.testIamPermissions", {"permissions": asked}, resource="p1234"
    )
    assert nothing == {}
    for wrong in ("compute.instances.creat", "*", "compute.instances"):
        error = refusal(
            ask, f"{CRM}.testIamPermissions", {"permissions": [wrong]}, resource="p1234"
        )
        assert error.message == f"Permission {wrong} is not valid for this resource."
    many = {"permissions": [f"dns.zones.v{n}" for n in range(101)]}
    assert refusal(ask, f"{CRM}.testIamPermissions", many, resource="p1234").status == 400


def test_a_project_without_a_policy_gets_that_of_a_new_one_and_keeps_it(
    identity: Identity, iam: Iam
) -> None:
    """A database of an earlier version has none."""
    with identity.store.transaction() as transaction:
        iam.policies.forget(transaction, PROJECT)
    ensure_policy(iam.policies, identity.store, PROJECT, {f"user:{OWNER}": "roles/owner"})
    first = iam.policies.read(PROJECT)
    assert first["bindings"] == [{"role": "roles/owner", "members": [f"user:{OWNER}"]}]
    ensure_policy(iam.policies, identity.store, PROJECT, {"user:x@y.zz": "roles/viewer"})
    assert iam.policies.read(PROJECT) == first
