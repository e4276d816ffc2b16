# SPDX-License-Identifier: GPL-3.0-or-later
"""What the front asks of identity and of the services behind it."""

from __future__ import annotations

from typing import Any, Protocol

from cloudspill_sandbox.engine.call import Call, Principal


class Authenticator(Protocol):
    """Turns credentials into a principal."""

    def authenticate(self, authorization: str | None) -> Principal:
        """Return who an Authorization header speaks for.

        Raises:
            ApiError: 401 as Google words it: missing, malformed, unknown, expired.
        """

    def signer(self, email: str, message: bytes, signature: bytes) -> Principal | None:
        """Return the account whose key made a signature (RSA with SHA-256), None for no such."""

    def now(self) -> float:
        """Return the time by which signatures that clients date are judged, since the epoch."""

    def exchange(self, form: dict[str, str]) -> dict[str, Any]:
        """Answer the OAuth token endpoint (RFC 7523 JWT bearer grant).

        Raises:
            ApiError: 400 `invalid_grant` and its kin.
        """

    def key_set(self) -> dict[str, Any]:
        """Return the public keys of identity tokens as a JSON Web Key Set (RFC 7517)."""

    def certificates(self) -> dict[str, str]:
        """Return the same keys as PEM certificates by key id, as older clients want them."""


class Authorizer(Protocol):
    """Says whether a principal may do what a call asks."""

    def authorize(self, call: Call) -> None:
        """Return when allowed.

        Raises:
            ApiError: 403 or 404 as Google words it.
        """
