# SPDX-License-Identifier: GPL-3.0-or-later
"""JWTs that service accounts sign themselves, checked against their registered keys.

https://developers.google.com/identity/protocols/oauth2/service-account#jwt-auth
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.types import Options

from cloudspill_sandbox.identity.account_keys import Clock
from cloudspill_sandbox.identity.accounts import ServiceAccounts

SKEW = 300
"""Seconds that a client's clock may differ."""

MAX_LIFETIME = 3600


class AssertionRefusedError(Exception):
    """An assertion does not hold; the message says why in Google's words.

    Attributes:
        expired: it held once.
    """

    def __init__(self, message: str, *, expired: bool = False) -> None:
        super().__init__(message)
        self.expired = expired


@dataclass(frozen=True, slots=True)
class Assertion:
    """A JWT whose signature holds.

    Attributes:
        email: the account that signed it.
        key_id: of the key that signed it.
        claims: all of them.
        expires: seconds since the epoch.
    """

    email: str
    key_id: str
    claims: Mapping[str, Any]
    expires: float


class AssertionReader:
    """Reads assertions of service accounts.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(self, accounts: ServiceAccounts, clock: Clock) -> None:
        self._accounts = accounts
        self._clock = clock

    def read(self, token: str) -> Assertion:
        """Return what an assertion says.

        Raises:
            AssertionRefusedError: unreadable, unknown account or key, wrong signature, wrong times.
        """
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            unverified = jwt.decode(token, options={"verify_signature": False})
        except (jwt.InvalidTokenError, ValueError):
            raise AssertionRefusedError("Invalid JWT: Failed to parse the assertion.") from None
        email = unverified.get("iss")
        if not isinstance(email, str) or not self._in_use(email):
            raise AssertionRefusedError("Invalid grant: account not found")
        key_id, claims = self._verified(token, email, key_id)
        return Assertion(email, key_id, claims, self._checked_expiry(claims))

    def _in_use(self, email: str) -> bool:
        account = self._accounts.find(email)
        return account is not None and not account.get("disabled")

    def _verified(self, token: str, email: str, named: object) -> tuple[str, dict[str, Any]]:
        """Return the key that signed a token, and its claims.

        The header need not name the key; then each of the account's is tried.
        """
        for key_id in [named] if isinstance(named, str) else self._accounts.keys.of(email):
            claims = self._claims(token, self._accounts.keys.public_key(email, key_id))
            if claims is not None:
                return key_id, claims
        raise AssertionRefusedError("Invalid JWT Signature.")

    def _claims(self, token: str, key: RSAPublicKey | None) -> dict[str, Any] | None:
        """Return what a token claims if this key signed it."""
        if key is None:
            return None
        ours: Options = {
            "verify_exp": False,
            "verify_iat": False,
            "verify_nbf": False,
            "verify_aud": False,
        }
        try:
            claims: dict[str, Any] = jwt.decode(token, key, ["RS256"], options=ours)
        except jwt.InvalidTokenError:
            return None
        return claims

    def _checked_expiry(self, claims: Mapping[str, Any]) -> float:
        now = self._clock()
        issued, expires = claims.get("iat"), claims.get("exp")
        # Said so that NaN, which JSON parsers let through and which no comparison meets, fails.
        if not (
            isinstance(issued, int | float)
            and isinstance(expires, int | float)
            and issued <= now + SKEW
            and expires > now - SKEW
            and expires - issued <= MAX_LIFETIME + SKEW
        ):
            raise AssertionRefusedError(
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable "
                "timeframe. Check your iat and exp values in the JWT claim.",
                expired=isinstance(expires, int | float) and expires <= now,
            )
        return float(expires)
