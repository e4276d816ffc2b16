# SPDX-License-Identifier: GPL-3.0-or-later
"""Access tokens and identity tokens.

Access tokens are stateless: signed with a secret that outlives restarts, they need no table and
are forgotten when they expire. Identity tokens are signed with a key whose public half the front
publishes, so that anybody can verify them as Google's
(https://cloud.google.com/compute/docs/instances/verifying-instance-identity).
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from jwt.algorithms import RSAAlgorithm

from cloudspill_sandbox.engine.call import Principal
from cloudspill_sandbox.engine.errors import unauthenticated
from cloudspill_sandbox.identity.account_keys import Clock
from cloudspill_sandbox.identity.accounts import ServiceAccounts
from cloudspill_sandbox.identity.keys import KeyPair
from cloudspill_sandbox.metadata.interface import AccessToken

PREFIX = "ya29.c."
"""Begins every access token, as Google's do."""

LIFETIME = 3599
"""Seconds: https://cloud.google.com/docs/authentication/token-types#at-lifetime"""

ISSUER = "https://accounts.google.com"

_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Signers:
    """What tokens are signed with.

    Attributes:
        secret: of access tokens.
        identity: of identity tokens.
    """

    secret: bytes
    identity: KeyPair

    @classmethod
    def kept_in(cls, directory: Path, clock: Clock) -> Signers:
        """Return the signers kept in a directory (files 0600), made when they are missing.

        Raises:
            ValueError: a file is damaged; the message says which and what to do.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        secret_file, pair_file = directory / "access-tokens.key", directory / "identity-tokens.pem"
        secret = _kept(secret_file, lambda: secrets.token_bytes(_SECRET_BYTES))
        if len(secret) != _SECRET_BYTES:
            raise _damaged(secret_file)
        pem = _kept(pair_file, lambda: KeyPair.generate("cloudspill sandbox", clock()).to_pem())
        try:
            return cls(secret, KeyPair.from_pem(pem))
        except ValueError as error:
            raise _damaged(pair_file) from error


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """What an access token says.

    Attributes:
        principal: whom it speaks for.
        expires: seconds since the epoch.
        account: unique id of the account that it was issued to; one that is made later under the
            same name is another.
    """

    principal: Principal
    expires: float
    account: str


class Tokens:
    """Makes tokens and reads access tokens.

    Args:
        clock: seconds since the epoch, of the cloud: it dates and reads access tokens itself.
        host_clock: the same for identity tokens, which others verify by clocks of their own; the
            cloud's when not given.
    """

    def __init__(
        self,
        signers: Signers,
        accounts: ServiceAccounts,
        clock: Clock,
        host_clock: Clock | None = None,
    ) -> None:
        self._signers = signers
        self._accounts = accounts
        self._clock = clock
        self._host_clock = host_clock or clock

    def issue(self, principal: Principal, lifetime: int = LIFETIME) -> str:
        """Return an access token that speaks for a principal for `lifetime` seconds."""
        claims: dict[str, Any] = {
            "sub": principal.email,
            "uid": self._unique_id(principal),
            "scope": " ".join(sorted(principal.scopes)),
            "exp": int(self._clock()) + lifetime,
            "jti": secrets.token_urlsafe(6),
        }
        if principal.instance is not None:
            claims["instance"] = principal.instance
        return PREFIX + jwt.encode(claims, self._signers.secret, "HS256")

    def access_token(self, principal: Principal) -> AccessToken:
        """Return a token for an instance's metadata server."""
        return AccessToken(self.issue(principal), LIFETIME)

    def read(self, token: str) -> IssuedToken:
        """Return what an access token says.

        Raises:
            ApiError: 401, it was not issued here.
        """
        try:
            claims = jwt.decode(
                token.removeprefix(PREFIX),
                self._signers.secret,
                ["HS256"],
                options={"verify_exp": False, "require": ["sub", "uid", "exp"]},
            )
        except jwt.InvalidTokenError:
            raise unauthenticated("ACCESS_TOKEN_TYPE_UNSUPPORTED") from None
        principal = Principal(
            claims["sub"], frozenset(claims["scope"].split()), claims.get("instance")
        )
        return IssuedToken(principal, float(claims["exp"]), claims["uid"])

    def identity_token(
        self,
        principal: Principal,
        audience: str,
        extra: dict[str, Any] | None = None,
        *,
        with_email: bool = True,
    ) -> str:
        """Return a signed JWT that tells an audience who the principal is.

        Args:
            extra: further claims, such as `google.compute_engine` of the full format.
            with_email: whether it tells the address, too.
        """
        subject = self._unique_id(principal)
        now = int(self._host_clock())
        claims = {
            "aud": audience,
            "azp": subject,
            "exp": now + LIFETIME + 1,
            "iat": now,
            "iss": ISSUER,
            "sub": subject,
        }
        if with_email:
            claims |= {"email": principal.email, "email_verified": True}
        pair = self._signers.identity
        return jwt.encode(claims | (extra or {}), pair.private, "RS256", headers={"kid": pair.id})

    def key_set(self) -> dict[str, Any]:
        """Return the public key of identity tokens as a JSON Web Key Set."""
        pair = self._signers.identity
        key = json.loads(RSAAlgorithm.to_jwk(pair.private.public_key()))
        return {"keys": [{**key, "kid": pair.id, "use": "sig", "alg": "RS256"}]}

    def certificates(self) -> dict[str, str]:
        """Return the same key as a PEM certificate by key id."""
        pair = self._signers.identity
        return {pair.id: pair.certificate_pem()}

    def _unique_id(self, principal: Principal) -> str:
        account = self._accounts.find(principal.email) or {}
        return str(account.get("uniqueId", principal.email))


def _damaged(path: Path) -> ValueError:
    return ValueError(
        f"{path} is damaged: remove it and a new one is made (tokens that were issued then end)"
    )


def _kept(path: Path, make: Callable[[], bytes]) -> bytes:
    """Return a file's content; make the file, whole and 0600, when it is missing."""
    if not path.exists():
        descriptor, scratch = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(make())
        Path(scratch).replace(path)
    return path.read_bytes()
