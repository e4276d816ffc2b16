# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of an account's keys verifies an assertion that names none, as libcloud's do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jwt
import pytest

from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.identity.account_keys import KeyFile

from .conftest import NOW, Identity

Exchange = Callable[[str], dict[str, Any]]


def unnamed(signer: KeyFile, issuer: str) -> str:
    """Sign an assertion whose header names no key."""
    claims = {
        "iss": issuer,
        "aud": "https://accounts.google.com/o/oauth2/token",
        "scope": "https://www.googleapis.com/auth/compute",
        "iat": NOW,
        "exp": NOW + 3600,
    }
    return jwt.encode(claims, signer["private_key"], "RS256")


def test_every_key_of_the_account_is_tried(
    identity: Identity, key_file: KeyFile, exchange: Exchange
) -> None:
    email = key_file["client_email"]
    second = identity.accounts.keys.create(email)
    for signer in (key_file, second):
        assert exchange(unnamed(signer, email))["token_type"] == "Bearer"


def test_a_deleted_key_is_not_tried(
    identity: Identity, key_file: KeyFile, exchange: Exchange
) -> None:
    email = key_file["client_email"]
    identity.accounts.keys.create(email)
    identity.accounts.keys.delete(email, key_file["private_key_id"])
    with pytest.raises(ApiError, match="Invalid JWT Signature"):
        exchange(unnamed(key_file, email))


def test_another_account_s_key_is_not_tried(
    identity: Identity, key_file: KeyFile, exchange: Exchange
) -> None:
    other = identity.accounts.create("p1234", "other-1")["email"]
    stolen = identity.accounts.keys.create(other)
    with pytest.raises(ApiError, match="Invalid JWT Signature"):
        exchange(unnamed(stolen, key_file["client_email"]))


def test_a_token_in_place_of_an_access_token_falls_with_the_key_that_signed_it(
    identity: Identity, key_file: KeyFile
) -> None:
    email = key_file["client_email"]
    header = f"Bearer {unnamed(key_file, email)}"
    assert identity.authenticator.authenticate(header).email == email
    identity.accounts.keys.delete(email, key_file["private_key_id"])
    with pytest.raises(ApiError):
        identity.authenticator.authenticate(header)
