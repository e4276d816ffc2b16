# SPDX-License-Identifier: GPL-3.0-or-later
"""Signing in with a service account's key."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt

from .conftest import SECRET, Google, Run, error, form

Launch = Callable[..., Run]
EMAIL = "launcher@acme.iam.gserviceaccount.com"


@pytest.fixture(scope="module")
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def key(private_key: rsa.RSAPrivateKey, google: Google) -> dict[str, str]:
    """A key as Google hands it out."""
    pem = private_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {
        "type": "service_account",
        "client_email": EMAIL,
        "private_key_id": "abc",
        "private_key": pem.decode(),
        "token_uri": f"{google.url}token",
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[[object], str]:
    """Write a key file and return its path."""

    def to_file(content: object) -> str:
        path = tmp_path / "key.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return to_file


def test_google_gets_an_assertion_that_the_key_signed(
    launch: Launch,
    google: Google,
    key: dict[str, str],
    private_key: rsa.RSAPrivateKey,
    write: Callable[[object], str],
) -> None:
    done = launch("--key-file", write(key))
    assert done.status == 0, done.err
    (asked,) = google.asked("POST", "/token")
    fields = form(asked)
    assert fields["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert "=" not in fields["assertion"], "RFC 7515 has no padding"
    public = private_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    claims: Any = jwt.decode(fields["assertion"], certs=public, audience=key["token_uri"])
    assert claims["iss"] == EMAIL
    assert claims["scope"] == "https://www.googleapis.com/auth/compute"
    assert 0 < claims["exp"] - claims["iat"] <= 3600
    assert jwt.decode_header(fields["assertion"])["kid"] == "abc"
    (insert,) = google.asked("POST", "/instances")
    assert insert.headers["Authorization"] == f"Bearer {SECRET}"
    assert google.asked("GET", "/token") == [], "the attached account is not asked for"


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda key: "{" + key["private_key"], "it is no JSON"),
        (lambda key: {**key, "private_key": ""}, "private_key missing"),
        (lambda key: {**key, "private_key": key["private_key"][:300]}, "openssl cannot read"),
    ],
    ids=["no JSON", "no private key", "half a private key"],
)
def test_a_malformed_key_is_refused_and_not_quoted(
    launch: Launch,
    key: dict[str, str],
    write: Callable[[object], str],
    spoil: Callable[[dict[str, str]], object],
    sentence: str,
) -> None:
    done = launch("--key-file", write(spoil(key)))
    assert done.status == os.EX_DATAERR
    assert sentence in done.err
    assert key["private_key"][40:80] not in done.out + done.err


def test_a_key_that_google_turns_down_is_told(
    launch: Launch, google: Google, key: dict[str, str], write: Callable[[object], str]
) -> None:
    said = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
    google.answers = [(400, said)]
    done = launch("--key-file", write(key))
    assert done.status == os.EX_UNAVAILABLE
    assert done.err == f"a token for {EMAIL}: HTTP 400: Invalid JWT Signature.\n"


def test_the_attached_account_is_no_way_out_for_a_bad_key(
    launch: Launch, google: Google, key: dict[str, str], write: Callable[[object], str]
) -> None:
    google.answers = [error(401, "invalid_client")]
    assert launch("--key-file", write(key)).status == os.EX_NOPERM
    assert google.asked("GET", "/token") == []
