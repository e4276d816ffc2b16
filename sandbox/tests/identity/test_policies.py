# SPDX-License-Identifier: GPL-3.0-or-later
"""Allow policies: what may be written, in which form it is kept, and who wins a race."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.identity.iam import Iam
from cloudspill_sandbox.identity.predefined_roles import ACCOUNT, BUCKET, PROJECT

from .conftest import Identity
from .iam_calls import OWNER, Caller
from .iam_calls import PROJECT as P1234

GET, SET = (f"cloudresourcemanager.projects.{verb}IamPolicy" for verb in ("get", "set"))
MINE = f"serviceAccount:{OWNER}"
OWNS = {"role": "roles/owner", "members": [MINE]}
BURST = {"title": "burst", "expression": 'resource.name.startsWith("projects/p1234/zones/")'}
Refusal = Callable[..., ApiError]


def binding(role: str, *members: str, **more: Any) -> Document:
    return {"role": role, "members": [*members], **more}


@pytest.fixture
def write(ask: Caller) -> Callable[..., Document]:
    def written(*bindings: Document, **more: Any) -> Document:
        return ask(SET, {"policy": {"bindings": [OWNS, *bindings], **more}}, resource="p1234")

    return written


@pytest.fixture
def refused(ask: Caller, refusal: Refusal) -> Callable[..., ApiError]:
    def refused(*bindings: Document, **more: Any) -> ApiError:
        policy = {"bindings": [OWNS, *bindings], **more}
        before = ask(GET, {}, resource="p1234")
        error = refusal(ask, SET, {"policy": policy}, resource="p1234")
        assert ask(GET, {}, resource="p1234") == before
        return error

    return refused


def test_roles_and_members_are_kept_once_each(write: Callable[..., Document]) -> None:
    written = write(
        binding("roles/viewer", "user:b@example.org", "user:A@example.org"),
        binding("roles/viewer", "user:a@example.org", "group:g@example.org"),
        binding("roles/editor"),
    )
    assert written["bindings"] == [
        OWNS,
        binding("roles/viewer", "group:g@example.org", "user:a@example.org", "user:b@example.org"),
    ]
    assert written["version"] == 1
    assert written["etag"].startswith("B")


def test_who_read_before_another_wrote_is_told_to_read_again(
    ask: Caller, write: Callable[..., Document], refused: Callable[..., ApiError]
) -> None:
    etag = ask(GET, {}, resource="p1234")["etag"]
    assert write(etag=etag)["etag"] != etag
    error = refused(etag=etag)
    assert (error.status, error.code) == (409, "ABORTED")
    assert re.match(
        r"There were concurrent policy changes\. Please retry the whole read-modify-write with "
        r"exponential backoff\. The request's ETag '\\007.*' did not match",
        error.message,
    )
    write()  # without an etag nothing is compared


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (binding("roles/nobody", MINE), "Role roles/nobody is not supported for this resource."),
        (
            binding("roles/storage.legacyBucketOwner", MINE),
            "Role roles/storage.legacyBucketOwner is not supported for this resource.",
        ),
        (
            binding("projects/p1234/roles/absent", MINE),
            "Role (projects/p1234/roles/absent) does not exist in the resource's hierarchy.",
        ),
        (
            binding("roles/viewer", "serviceAccount:no@p1234.iam.gserviceaccount.com"),
            "Service account no@p1234.iam.gserviceaccount.com does not exist.",
        ),
        (binding("roles/viewer", "a@example.org"), "The member a@example.org is of an unknown"),
        (binding("roles/viewer", "user:nobody"), "The member user:nobody is of an unknown type"),
        (binding("roles/viewer", "robot:a@example.org"), "The member robot:a@example.org is of"),
        (binding("roles/viewer", "allUsers"), "Members of type allUsers are not supported"),
        (binding("roles/viewer", "projectOwner:p1234"), "The member projectOwner:p1234 is"),
        (
            binding("roles/viewer", *(f"user:u{n}@example.org" for n in range(1500))),
            "The number of members in the policy (1,501) is larger than the maximum allowed size "
            "1,500.",
        ),
        (
            binding("roles/viewer", *(f"group:g{n}@example.org" for n in range(251))),
            "The number of groups and domains in the policy (251) is larger",
        ),
    ],
)
def test_what_google_refuses_is_refused(
    refused: Callable[..., ApiError], wrong: Document, message: str
) -> None:
    error = refused(wrong)
    assert (error.status, error.code) == (400, "INVALID_ARGUMENT")
    assert error.message.startswith(message)


def test_a_project_keeps_an_owner(ask: Caller, refusal: Refusal) -> None:
    for bindings in ([], [binding("roles/owner", "group:admins@example.org")]):
        error = refusal(ask, SET, {"policy": {"bindings": bindings}}, resource="p1234")
        assert error.message.startswith("The project must keep at least one user or service")
        assert error.details[0]["type"] == "SOLO_REQUIRE_TOS_ACCEPTOR"
    other = [binding("roles/owner", "user:another@example.org")]
    assert ask(SET, {"policy": {"bindings": other}}, resource="p1234")["bindings"] == other


@pytest.mark.parametrize(
    ("role", "condition", "message"),
    [
        ("roles/viewer", BURST, "Conditions can't be set on basic roles"),
        ("roles/compute.viewer", BURST | {"title": ""}, "A condition must have a title"),
        (
            "roles/compute.viewer",
            BURST | {"expression": "resource.nam == 'x'"},
            "Condition expression compilation failed: undeclared reference to 'resource.nam'",
        ),
    ],
)
def test_a_condition_must_be_one(
    refused: Callable[..., ApiError], role: str, condition: Document, message: str
) -> None:
    error = refused(binding(role, MINE, condition=condition), version=3)
    assert error.message.startswith(message)


def test_conditions_are_for_those_who_know_version_3(
    ask: Caller, write: Callable[..., Document], refused: Callable[..., ApiError]
) -> None:
    conditional = binding("roles/compute.viewer", MINE, condition=BURST)
    assert "must specify version 3" in refused(conditional).message
    assert "valid versions are 0, 1 and 3" in refused(version=2).message
    written = write(conditional, version=3)
    assert written["version"] == 3
    asked = {"options": {"requestedPolicyVersion": 3}}
    assert ask(GET, asked, resource="p1234") == written
    older = ask(GET, {}, resource="p1234")
    assert older["version"] == 1
    shown = older["bindings"][0]
    assert re.fullmatch(r"roles/compute\.viewer_withcond_[0-9a-f]{20}", shown["role"])
    assert "condition" not in shown
    lost = refused(etag=written["etag"])
    assert "version 3" in lost.message
    assert write()["version"] == 1  # without an etag it may be overwritten, as Google warns


def test_each_type_of_resource_takes_its_own_roles(iam: Iam) -> None:
    account = f"{P1234}/serviceAccounts/{OWNER}"
    acting = binding("roles/iam.serviceAccountUser", MINE)
    written = iam.policies.write(account, ACCOUNT, {"bindings": [acting]})
    assert iam.policies.read(account) == written
    legacy = binding("roles/storage.legacyBucketReader", "projectViewer:p1234", "allUsers")
    assert iam.policies.write("projects/_/buckets/b", BUCKET, {"bindings": [legacy]})["bindings"]
    for kind in (PROJECT, ACCOUNT):
        with pytest.raises(ApiError, match="not supported for this resource"):
            iam.policies.write("x", kind, {"bindings": [legacy]})


def test_the_mask_says_what_is_written(ask: Caller) -> None:
    audited = {"service": "allServices", "auditLogConfigs": [{"logType": "DATA_READ"}]}
    policy = {"bindings": [OWNS], "auditConfigs": [audited]}
    assert "auditConfigs" not in ask(SET, {"policy": policy}, resource="p1234")
    both = {"policy": policy, "updateMask": "bindings,etag,auditConfigs"}
    assert ask(SET, both, resource="p1234")["auditConfigs"] == [audited]
    assert ask(SET, {"policy": policy}, resource="p1234")["auditConfigs"] == [audited]


def test_a_mask_without_bindings_keeps_them(ask: Caller) -> None:
    audited = {"service": "allServices", "auditLogConfigs": [{"logType": "DATA_READ"}]}
    body = {"policy": {"auditConfigs": [audited]}, "updateMask": "auditConfigs"}
    written = ask(SET, body, resource="p1234")
    assert (written["bindings"], written["auditConfigs"]) == ([OWNS], [audited])


def test_a_request_without_a_policy_changes_nothing(ask: Caller, refusal: Refusal) -> None:
    before = ask(GET, {}, resource="p1234")
    assert refusal(ask, SET, {}, resource="p1234").code == "INVALID_ARGUMENT"
    assert ask(GET, {}, resource="p1234") == before


def test_everyone_gets_no_condition(iam: Iam) -> None:
    public = binding("roles/storage.objectViewer", "allUsers", condition=BURST)
    with pytest.raises(ApiError, match="Conditions can't be set for allUsers"):
        iam.policies.write("projects/_/buckets/b", BUCKET, {"bindings": [public], "version": 3})


def test_a_policy_without_the_renamed_member_stays_as_it_is(identity: Identity, iam: Iam) -> None:
    before = iam.policies.read(P1234)
    with identity.store.transaction() as transaction:
        iam.policies.rename(transaction, "user:absent@example.org", "user:new@example.org")
    assert iam.policies.read(P1234) == before


def test_an_account_that_goes_keeps_its_bindings_under_another_name(
    identity: Identity, iam: Iam
) -> None:
    deleted = f"deleted:{MINE}?uid=123456789012345678901"
    with identity.store.transaction() as transaction:
        iam.policies.rename(transaction, MINE, deleted)
    assert iam.policies.read(P1234)["bindings"] == [binding("roles/owner", deleted)]
    written = iam.policies.write(P1234, PROJECT, iam.policies.read(P1234))
    assert written["bindings"] == [binding("roles/owner", deleted)]
