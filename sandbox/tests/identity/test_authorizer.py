# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what, by the policies that apply."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cloudspill_sandbox.engine.access import Requirement
from cloudspill_sandbox.engine.call import Document, Principal
from cloudspill_sandbox.identity.iam import Iam

from .conftest import Clock, Identity
from .iam_calls import PROJECT

WORKER = "worker@p1234.iam.gserviceaccount.com"
PREFIX = f"{PROJECT}/zones/us-west1-b/instances/burst-"
Grant = Callable[..., None]


@pytest.fixture
def grant(identity: Identity, iam: Iam) -> Grant:
    """Put bindings in the place of a resource's policy."""

    def granted(resource: str, *bindings: tuple[str, list[str]], **more: Any) -> None:
        written: list[Document] = [
            {"role": role, "members": members} | more for role, members in bindings
        ]
        with identity.store.transaction() as transaction:
            iam.policies.put(transaction, resource, written)

    return granted


def on(name: str, permission: str = "compute.instances.get", **more: Any) -> Requirement:
    kind, service = "compute.googleapis.com/Instance", "compute.googleapis.com"
    policies = more.pop("policies", (PROJECT,))
    return Requirement(permission, name, kind, service, policies, **more)


def test_a_role_gives_its_permissions_to_its_members(iam: Iam, grant: Grant) -> None:
    worker, other = Principal(WORKER), Principal("other@p1234.iam.gserviceaccount.com")
    grant(PROJECT, ("roles/compute.viewer", [f"serviceAccount:{WORKER}"]))
    assert iam.authorizer.permits(worker, on("x"))
    assert not iam.authorizer.permits(worker, on("x", "compute.instances.delete"))
    assert not iam.authorizer.permits(other, on("x"))
    assert iam.authorizer.permits(other, on("x", granted=True))


def test_a_changed_policy_holds_at_once(iam: Iam, grant: Grant) -> None:
    worker = Principal(WORKER)
    assert not iam.authorizer.permits(worker, on("x"))
    grant(PROJECT, ("roles/viewer", [f"serviceAccount:{WORKER}"]))
    assert iam.authorizer.permits(worker, on("x"))
    grant(PROJECT)
    assert not iam.authorizer.permits(worker, on("x"))


def test_a_policy_is_inherited_by_what_lies_below(iam: Iam, grant: Grant) -> None:
    account = f"{PROJECT}/serviceAccounts/{WORKER}"
    both = on(account, "iam.serviceAccounts.actAs", policies=(account, PROJECT))
    user = [("roles/iam.serviceAccountUser", ["user:me@example.org"])]
    me = Principal("me@example.org")
    assert not iam.authorizer.permits(me, both)
    grant(account, *user)
    assert iam.authorizer.permits(me, both)
    assert not iam.authorizer.permits(
        me, on("another", "iam.serviceAccounts.actAs", policies=("another", PROJECT))
    )
    grant(account)
    grant(PROJECT, *user)
    assert iam.authorizer.permits(me, both)


@pytest.mark.parametrize(
    ("member", "anonymous", "known"),
    [
        ("allUsers", True, True),
        ("allAuthenticatedUsers", False, True),
        (f"serviceAccount:{WORKER}", False, True),
        (f"user:{WORKER}", False, False),
        (f"deleted:serviceAccount:{WORKER}?uid=1", False, False),
        ("domain:p1234.iam.gserviceaccount.com", False, False),
        ("group:all@example.org", False, False),
    ],
)
def test_members_mean_those_whom_google_says(
    iam: Iam, grant: Grant, member: str, anonymous: bool, known: bool
) -> None:
    grant("projects/_/buckets/b", ("roles/storage.objectViewer", [member]))
    read = on("o", "storage.objects.get", policies=("projects/_/buckets/b",))
    assert iam.authorizer.permits(Principal(""), read) is anonymous
    assert iam.authorizer.permits(Principal(WORKER), read) is known


def test_a_bucket_may_leave_the_public_out(iam: Iam, grant: Grant) -> None:
    grant("projects/_/buckets/b", ("roles/storage.objectViewer", ["allUsers"]))
    at = ("projects/_/buckets/b",)
    assert iam.authorizer.permits(Principal(WORKER), on("o", "storage.objects.get", policies=at))
    private = on("o", "storage.objects.get", policies=at, public=False)
    assert not iam.authorizer.permits(Principal(WORKER), private)


def test_convenience_values_follow_the_project_s_policy(iam: Iam, grant: Grant) -> None:
    grant("projects/_/buckets/b", ("roles/storage.legacyBucketOwner", ["projectEditor:p1234"]))
    get = on("b", "storage.buckets.get", policies=("projects/_/buckets/b", PROJECT))
    assert not iam.authorizer.permits(Principal(WORKER), get)
    grant(PROJECT, ("roles/editor", [f"serviceAccount:{WORKER}"]))
    assert iam.authorizer.permits(Principal(WORKER), get)
    grant(PROJECT, ("roles/viewer", [f"serviceAccount:{WORKER}"]))
    assert not iam.authorizer.permits(Principal(WORKER), get)


def test_a_condition_picks_resources_by_name(iam: Iam, grant: Grant) -> None:
    condition = {"title": "burst", "expression": f'resource.name.startsWith("{PREFIX}")'}
    role = ("roles/compute.instanceAdmin.v1", [f"serviceAccount:{WORKER}"])
    grant(PROJECT, role, condition=condition)
    worker = Principal(WORKER)
    for permission in ("compute.instances.create", "compute.instances.delete"):
        assert iam.authorizer.permits(worker, on(f"{PREFIX}1", permission))
        assert not iam.authorizer.permits(worker, on(PREFIX.replace("burst-", "web-1"), permission))
    assert not iam.authorizer.permits(worker, on(PROJECT, "compute.instances.list"))


def test_a_condition_on_the_time_ends_by_itself(iam: Iam, grant: Grant, clock: Clock) -> None:
    until = 'request.time < timestamp("2027-01-15T08:00:01Z")'  # one second after NOW
    role = ("roles/compute.viewer", [f"serviceAccount:{WORKER}"])
    grant(PROJECT, role, condition={"title": "until", "expression": until})
    assert iam.authorizer.permits(Principal(WORKER), on("x"))
    clock.now += 1
    assert not iam.authorizer.permits(Principal(WORKER), on("x"))
