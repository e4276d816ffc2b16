# SPDX-License-Identifier: GPL-3.0-or-later
"""Which credentials hold, until when, and how the others are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cloudspill_sandbox.engine.call import Principal
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.identity.account_keys import KeyFile
from cloudspill_sandbox.identity.authenticator import TokenAuthenticator
from cloudspill_sandbox.identity.tokens import Signers

from .conftest import NOW, Clock, Identity

COMPUTE = "https://compute.googleapis.com/"


def info(error: ApiError) -> str:
    """The reason in the details of a 401."""
    assert error.status == 401
    return str(error.details[0]["reason"])


def refused(identity: Identity, authorization: str | None) -> str:
    with pytest.raises(ApiError) as caught:
        identity.authenticator.authenticate(authorization)
    return info(caught.value)


def test_a_token_holds_until_it_expires(identity: Identity, key_file: KeyFile) -> None:
    token = identity.tokens.issue(Principal(key_file["client_email"]), lifetime=60)
    identity.clock.now = NOW + 59
    assert identity.authenticator.authenticate(f"Bearer {token}").email == key_file["client_email"]
    identity.clock.now = NOW + 60
    assert refused(identity, f"Bearer {token}") == "ACCESS_TOKEN_EXPIRED"


def test_a_token_survives_a_restart_of_the_sandbox(
    identity: Identity, key_file: KeyFile, tmp_path: Path
) -> None:
    email = key_file["client_email"]
    before = Identity(identity.store, Clock(), Signers.kept_in(tmp_path, lambda: NOW), iter(()))
    token = before.tokens.issue(Principal(email, frozenset({"s"}), "42"))
    after = Identity(identity.store, Clock(), Signers.kept_in(tmp_path, lambda: NOW), iter(()))
    assert after.authenticator.authenticate(f"Bearer {token}") == Principal(
        email, frozenset({"s"}), "42"
    )
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_token_of_another_sandbox_is_refused(
    identity: Identity, key_file: KeyFile, tmp_path: Path
) -> None:
    other = Identity(identity.store, Clock(), Signers.kept_in(tmp_path, lambda: NOW), iter(()))
    token = other.tokens.issue(Principal(key_file["client_email"]))
    assert refused(identity, f"Bearer {token}") == "ACCESS_TOKEN_TYPE_UNSUPPORTED"


@pytest.mark.parametrize("authorization", [None, "", "Basic dTpw", "Bearer", "Bearer  "])
def test_no_credentials(identity: Identity, authorization: str | None) -> None:
    with pytest.raises(ApiError) as caught:
        identity.authenticator.authenticate(authorization)
    error = caught.value.body()["error"]
    assert info(caught.value) == "CREDENTIALS_MISSING"
    assert error["status"] == "UNAUTHENTICATED"
    assert error["message"].startswith("Request is missing required authentication credential.")
    assert error["errors"] == [
        {
            "message": "Login Required.",
            "domain": "global",
            "reason": "required",
            "location": "Authorization",
            "locationType": "header",
        }
    ]
    assert caught.value.headers["WWW-Authenticate"] == 'Bearer realm="https://accounts.google.com/"'


@pytest.mark.parametrize("token", ["x", "ya29.c.", "ya29.c.a.b.c", "a.b.c", "ya29.é", "é"])
def test_garbage_is_refused_as_google_refuses_it(identity: Identity, token: str) -> None:
    with pytest.raises(ApiError) as caught:
        identity.authenticator.authenticate(f"Bearer {token}")
    error = caught.value.body()["error"]
    assert error["message"].startswith("Request had invalid authentication credentials.")
    assert error["errors"][0]["reason"] == "authError"
    assert 'error="invalid_token"' in caught.value.headers["WWW-Authenticate"]


def test_a_self_signed_jwt_stands_for_a_token(
    identity: Identity, key_file: KeyFile, sign: Callable[..., str]
) -> None:
    email = key_file["client_email"]
    plain = identity.authenticator.authenticate(f"Bearer {sign(aud=COMPUTE, sub=email)}")
    assert plain == Principal(email)
    scoped = identity.authenticator.authenticate(f"Bearer {sign(scope='a b', sub=email)}")
    assert scoped == Principal(email, frozenset({"a", "b"}))


@pytest.mark.parametrize(
    "claims", [{}, {"aud": "https://example.com/"}, {"aud": COMPUTE, "sub": "else@example.com"}]
)
def test_a_self_signed_jwt_must_be_meant_for_the_api(
    identity: Identity, sign: Callable[..., str], claims: dict[str, str]
) -> None:
    assert refused(identity, f"Bearer {sign(**claims)}") == "ACCESS_TOKEN_TYPE_UNSUPPORTED"


def test_a_self_signed_jwt_ends_with_its_time_and_with_its_key(
    identity: Identity, key_file: KeyFile, sign: Callable[..., str]
) -> None:
    header = f"Bearer {sign(aud=COMPUTE)}"
    identity.authenticator.authenticate(header)
    identity.clock.now = NOW + 3600
    assert refused(identity, header) == "ACCESS_TOKEN_EXPIRED"
    identity.clock.now = NOW
    identity.accounts.keys.delete(key_file["client_email"], key_file["private_key_id"])
    assert refused(identity, header) == "ACCESS_TOKEN_TYPE_UNSUPPORTED"


def test_a_token_ends_with_its_account(identity: Identity, key_file: KeyFile) -> None:
    token = identity.tokens.issue(Principal(key_file["client_email"]))
    identity.authenticator.authenticate(f"Bearer {token}")
    with identity.store.transaction() as transaction:
        account = identity.accounts.existing(key_file["client_email"])
        identity.accounts.delete(transaction, account)
    assert refused(identity, f"Bearer {token}") == "ACCOUNT_STATE_INVALID"


def test_what_is_remembered_of_tokens_is_bounded(identity: Identity, key_file: KeyFile) -> None:
    small = TokenAuthenticator(identity.accounts, identity.tokens, identity.clock, remembered=3)
    principal = Principal(key_file["client_email"])
    issued = [f"Bearer {identity.tokens.issue(principal)}" for _ in range(10)]
    for header in [*issued, *issued]:
        assert small.authenticate(header) == principal
    assert len(small._known) == 3


def test_the_store_may_be_empty(signers: Signers) -> None:
    empty = Identity(Store(), Clock(), signers, iter(()))
    token = empty.tokens.issue(Principal("nobody@x.iam.gserviceaccount.com"))
    assert refused(empty, f"Bearer {token}") == "ACCOUNT_STATE_INVALID"
