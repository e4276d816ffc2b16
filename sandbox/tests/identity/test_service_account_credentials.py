# SPDX-License-Identifier: GPL-3.0-or-later
"""Impersonation: https://cloud.google.com/iam/docs/service-account-impersonation."""

from __future__ import annotations

from collections.abc import Callable

import jwt
import pytest

from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.identity.iam import Iam

from .conftest import Identity
from .iam_calls import OWNER, Caller

CREDENTIALS = "iamcredentials.projects.serviceAccounts"
SCOPE = "https://www.googleapis.com/auth/compute.readonly"

Refusal = Callable[..., ApiError]
Let = Callable[[str, str], None]


def address(account: str) -> str:
    return f"{account}@p1234.iam.gserviceaccount.com"


def named(account: str) -> str:
    return f"projects/-/serviceAccounts/{address(account)}"


@pytest.fixture
def let(ask: Caller, iam: Iam) -> Let:
    """Let one account make tokens of another."""
    for account in ("robot-a", "robot-b", "robot-c"):
        iam.accounts.create("p1234", account)

    def granted(who: str, whom: str) -> None:
        binding = {
            "role": "roles/iam.serviceAccountTokenCreator",
            "members": [f"serviceAccount:{address(who)}"],
        }
        policy = {"bindings": [binding]}
        ask("iam.projects.serviceAccounts.setIamPolicy", {"policy": policy}, resource=named(whom))

    return granted


def test_a_token_creator_gets_a_token_of_the_other(
    ask: Caller, identity: Identity, let: Let
) -> None:
    let("robot-a", "robot-b")
    body = {"scope": [SCOPE], "lifetime": "300s"}
    answer = ask.by(address("robot-a"))(
        f"{CREDENTIALS}.generateAccessToken", body, name=named("robot-b")
    )
    assert answer["expireTime"] == "2027-01-15T08:05:00Z"
    principal = identity.authenticator.authenticate(f"Bearer {answer['accessToken']}")
    assert (principal.email, principal.scopes) == (address("robot-b"), frozenset({SCOPE}))
    identity.clock.now += 300
    with pytest.raises(ApiError):
        identity.authenticator.authenticate(f"Bearer {answer['accessToken']}")


@pytest.mark.parametrize(
    ("verb", "body", "permission"),
    [
        ("generateAccessToken", {"scope": [SCOPE]}, "getAccessToken"),
        ("generateIdToken", {"audience": "a"}, "getOpenIdToken"),
    ],
)
@pytest.mark.parametrize("whom", ["robot-b", "nobody"])
def test_others_are_refused(
    ask: Caller, refusal: Refusal, let: Let, verb: str, body: Document, permission: str, whom: str
) -> None:
    as_a = ask.by(address("robot-a"))
    error = refusal(as_a, f"{CREDENTIALS}.{verb}", body, name=named(whom))
    assert (error.status, error.code) == (403, "PERMISSION_DENIED")
    assert f"'iam.serviceAccounts.{permission}'" in error.message


def test_an_owner_alone_may_not_impersonate(ask: Caller, refusal: Refusal, let: Let) -> None:
    # The basic roles lack it: https://cloud.google.com/iam/docs/service-account-permissions
    error = refusal(
        ask, f"{CREDENTIALS}.generateAccessToken", {"scope": [SCOPE]}, name=named("robot-a")
    )
    assert error.status == 403


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"scope": []},
        {"scope": [" "]},
        {"scope": [SCOPE, ""]},
        {"scope": [SCOPE], "lifetime": "3601s"},
        {"scope": [SCOPE], "lifetime": "0s"},
    ],
)
def test_a_bad_request_is_refused(ask: Caller, refusal: Refusal, let: Let, body: Document) -> None:
    let("robot-a", "robot-b")
    as_a = ask.by(address("robot-a"))
    error = refusal(as_a, f"{CREDENTIALS}.generateAccessToken", body, name=named("robot-b"))
    assert (error.status, error.code) == (400, "INVALID_ARGUMENT")


def test_the_project_of_the_name_is_a_hyphen(ask: Caller, refusal: Refusal, let: Let) -> None:
    let("robot-a", "robot-b")
    as_a = ask.by(address("robot-a"))
    name = f"projects/p1234/serviceAccounts/{address('robot-b')}"
    body = {"scope": [SCOPE]}
    assert refusal(as_a, f"{CREDENTIALS}.generateAccessToken", body, name=name).status == 403


def test_delegates_each_speak_for_the_next(ask: Caller, refusal: Refusal, let: Let) -> None:
    let("robot-a", "robot-b")
    body = {"scope": [SCOPE], "delegates": [named("robot-b")]}
    as_a = ask.by(address("robot-a"))
    method = f"{CREDENTIALS}.generateAccessToken"
    error = refusal(as_a, method, body, name=named("robot-c"))
    assert (error.status, "'iam.serviceAccounts.getAccessToken'" in error.message) == (403, True)
    let("robot-b", "robot-c")
    assert as_a(method, body, name=named("robot-c"))["accessToken"]


def test_a_disabled_account_is_not_impersonated(ask: Caller, refusal: Refusal, let: Let) -> None:
    let("robot-a", "robot-b")
    ask("iam.projects.serviceAccounts.disable", {}, name=named("robot-b"))
    as_a = ask.by(address("robot-a"))
    body = {"scope": [SCOPE]}
    error = refusal(as_a, f"{CREDENTIALS}.generateAccessToken", body, name=named("robot-b"))
    assert (error.status, error.code) == (400, "FAILED_PRECONDITION")


@pytest.mark.parametrize("with_email", [True, False])
def test_an_identity_token_tells_the_address_if_asked(
    ask: Caller, let: Let, with_email: bool
) -> None:
    let("robot-a", "robot-b")
    body = {"audience": "https://example.com", "includeEmail": with_email}
    answer = ask.by(address("robot-a"))(
        f"{CREDENTIALS}.generateIdToken", body, name=named("robot-b")
    )
    claims = jwt.decode(answer["token"], options={"verify_signature": False})
    assert claims["aud"] == "https://example.com"
    assert claims.get("email") == (address("robot-b") if with_email else None)


def test_accounts_may_be_used_from_everywhere(ask: Caller) -> None:
    name = f"projects/-/serviceAccounts/{OWNER}"
    answer = ask(f"{CREDENTIALS}.getAllowedLocations", name=name)
    assert answer == {"encodedLocations": "0x0"}
