# SPDX-License-Identifier: GPL-3.0-or-later
"""The JWT bearer grant: which assertions become tokens, and how the others are refused.

Errors: https://developers.google.com/identity/protocols/oauth2/service-account#error-codes
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.identity.account_keys import KeyFile

from .conftest import NOW, Identity

AUDIENCE = "https://oauth2.googleapis.com/token"
SCOPE = "https://www.googleapis.com/auth/compute"
Sign = Callable[..., str]
Exchange = Callable[[str], dict[str, Any]]


def test_an_assertion_becomes_a_token_with_its_scopes(
    identity: Identity, key_file: KeyFile, sign: Sign, exchange: Exchange
) -> None:
    answer = exchange(sign(aud=AUDIENCE, scope=f"{SCOPE} other"))
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] == 3599
    principal = identity.authenticator.authenticate(f"Bearer {answer['access_token']}")
    assert principal.email == key_file["client_email"]
    assert principal.scopes == {SCOPE, "other"}


@pytest.mark.parametrize(
    "audience",
    [
        "https://accounts.google.com/o/oauth2/token",
        "https://www.googleapis.com/oauth2/v4/token",
    ],
)
def test_the_older_token_addresses_are_audiences_too(
    sign: Sign, exchange: Exchange, audience: str
) -> None:
    assert exchange(sign(aud=audience, scope=SCOPE))["access_token"].startswith("ya29.")


TIMES = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."


@pytest.mark.parametrize(
    ("claims", "code", "message"),
    [
        ({"aud": "https://example.com"}, "invalid_grant", "Invalid JWT: Failed audience check."),
        ({"aud": [AUDIENCE, "x"]}, "invalid_grant", "Invalid JWT: Failed audience check."),
        (
            {"iss": "nobody@p1234.iam.gserviceaccount.com"},
            "invalid_grant",
            "Invalid grant: account not found",
        ),
        ({"iss": None}, "invalid_grant", "Invalid grant: account not found"),
        ({"exp": NOW - 301, "iat": NOW - 3901}, "invalid_grant", TIMES),
        ({"iat": NOW + 301, "exp": NOW + 3901}, "invalid_grant", TIMES),
        ({"exp": NOW + 7200}, "invalid_grant", TIMES),
        ({"exp": None}, "invalid_grant", TIMES),
        ({"iat": "now"}, "invalid_grant", TIMES),
        ({"exp": float("nan")}, "invalid_grant", TIMES),
        ({"iat": float("nan")}, "invalid_grant", TIMES),
        ({"scope": None}, "invalid_scope", "Invalid OAuth scope or ID token audience provided."),
        ({"sub": "someone@example.com"}, "unauthorized_client", "Client is unauthorized"),
        ({"kid": "f" * 40}, "invalid_grant", "Invalid JWT Signature."),
    ],
)
def test_refusals(
    sign: Sign, exchange: Exchange, claims: dict[str, Any], code: str, message: str
) -> None:
    with pytest.raises(ApiError) as caught:
        exchange(sign(**({"aud": AUDIENCE, "scope": SCOPE} | claims)))
    assert (caught.value.status, caught.value.reason) == (400, code)
    assert caught.value.message.startswith(message)


def test_a_clock_that_is_a_little_off_is_forgiven(sign: Sign, exchange: Exchange) -> None:
    assert exchange(sign(aud=AUDIENCE, scope=SCOPE, iat=NOW + 60, exp=NOW + 3660))


def test_somebody_else_s_key_does_not_sign_for_the_account(
    identity: Identity, key_file: KeyFile, sign: Sign, exchange: Exchange
) -> None:
    other = identity.accounts.create("p1234", "other-1")["email"]
    stolen = identity.accounts.keys.create(other)
    for kid in (stolen["private_key_id"], key_file["private_key_id"]):
        with pytest.raises(ApiError, match="Invalid JWT Signature"):
            exchange(sign(key=stolen["private_key"], kid=kid, aud=AUDIENCE, scope=SCOPE))


def test_an_assertion_signed_with_the_public_key_as_secret_is_refused(
    identity: Identity, key_file: KeyFile, exchange: Exchange
) -> None:
    claims = {
        "iss": key_file["client_email"],
        "aud": AUDIENCE,
        "scope": SCOPE,
        "iat": NOW,
        "exp": NOW + 60,
    }
    for algorithm, key in (("HS256", "x" * 32), ("none", "")):
        forged = jwt.encode(claims, key, algorithm, headers={"kid": key_file["private_key_id"]})
        with pytest.raises(ApiError, match="Invalid JWT Signature"):
            exchange(forged)


def test_a_deleted_key_signs_no_more(
    identity: Identity, key_file: KeyFile, sign: Sign, exchange: Exchange
) -> None:
    assertion = sign(aud=AUDIENCE, scope=SCOPE)
    identity.accounts.keys.delete(key_file["client_email"], key_file["private_key_id"])
    with pytest.raises(ApiError, match="Invalid JWT Signature"):
        exchange(assertion)


@pytest.mark.parametrize("assertion", ["", "x", "a.b.c", "é.é.é", "e30.e30.e30"])
def test_garbage_is_refused(exchange: Exchange, assertion: str) -> None:
    with pytest.raises(ApiError) as caught:
        exchange(assertion)
    assert caught.value.status == 400


def test_other_grants_are_named(identity: Identity) -> None:
    with pytest.raises(ApiError) as caught:
        identity.authenticator.exchange({"grant_type": "refresh_token"})
    assert caught.value.reason == "unsupported_grant_type"
    assert caught.value.message == "Invalid grant_type: refresh_token"


def test_a_target_audience_gives_an_identity_token_that_the_published_keys_verify(
    identity: Identity, key_file: KeyFile, sign: Sign, exchange: Exchange
) -> None:
    answer = exchange(sign(aud=AUDIENCE, target_audience="https://service.example"))
    token = answer["id_token"]
    (pem,) = identity.authenticator.certificates().values()
    public = x509.load_pem_x509_certificate(pem.encode()).public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    claims = jwt.decode(
        token, public, ["RS256"], audience="https://service.example", options={"verify_iat": False}
    )
    assert claims["email"] == key_file["client_email"]
    assert claims["iss"] == "https://accounts.google.com"
    (key,) = identity.authenticator.key_set()["keys"]
    assert key["kid"] == jwt.get_unverified_header(token)["kid"]
    verified = jwt.decode(
        token,
        jwt.PyJWK(key),
        ["RS256"],
        audience="https://service.example",
        options={"verify_iat": False},
    )
    assert verified == claims
