# SPDX-License-Identifier: GPL-3.0-or-later
"""Who sent a request: access tokens, self-signed JWTs, and the exchange of one for the other."""

from __future__ import annotations

import functools
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from cloudspill_sandbox.engine.call import Principal
from cloudspill_sandbox.engine.errors import ApiError, unauthenticated
from cloudspill_sandbox.identity.account_keys import TOKEN_URI, Clock
from cloudspill_sandbox.identity.accounts import ServiceAccounts
from cloudspill_sandbox.identity.assertions import (
    Assertion,
    AssertionReader,
    AssertionRefusedError,
)
from cloudspill_sandbox.identity.tokens import LIFETIME, PREFIX, Tokens

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
AUDIENCES = frozenset(
    {
        TOKEN_URI,
        "https://accounts.google.com/o/oauth2/token",
        "https://www.googleapis.com/oauth2/v3/token",
        "https://www.googleapis.com/oauth2/v4/token",
    }
)
_SERVICE = re.compile(r"https://[a-z0-9.-]+\.googleapis\.com(/.*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Known:
    """A token that was verified once.

    Attributes:
        expires: seconds since the epoch.
        clock: by which it expires.
        account: unique id of the account that it is for.
        key_id: the account's key that it stands and falls with; None for access tokens.
    """

    principal: Principal
    expires: float
    clock: Clock
    account: str
    key_id: str | None


class TokenAuthenticator:
    """Turns tokens into principals; implements `front.interface.Authenticator`.

    Args:
        clock: seconds since the epoch, of the cloud: by it access tokens expire.
        host_clock: the same for what clients date and sign themselves, by clocks that nobody sets
            ahead; the cloud's when not given.
        remembered: how many verified tokens are kept at most.
    """

    def __init__(
        self,
        accounts: ServiceAccounts,
        tokens: Tokens,
        clock: Clock,
        host_clock: Clock | None = None,
        remembered: int = 4096,
    ) -> None:
        self._accounts = accounts
        self._tokens = tokens
        self._clock = clock
        self._host_clock = host_clock or clock
        self._assertions = AssertionReader(accounts, self._host_clock)
        self._remembered = remembered
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def authenticate(self, authorization: str | None) -> Principal:
        """Return who a `Bearer` token speaks for.

        Raises:
            ApiError: 401 when there is none or it does not hold (any more).
        """
        scheme, _, token = (authorization or "").strip().partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise unauthenticated("CREDENTIALS_MISSING", missing=True)
        known = self._known.get(token)
        if known is None:
            known = self._access_token(token) if token.startswith(PREFIX) else self._jwt(token)
            self._remember(token, known)
        if known.expires <= known.clock():
            raise unauthenticated("ACCESS_TOKEN_EXPIRED")
        self._check_account(known)
        return known.principal

    def signer(self, email: str, message: bytes, signature: bytes) -> Principal | None:
        """Return the account whose key made a signature (RSA with SHA-256), None for no such."""
        account = self._accounts.find(email)
        if account is None or account.get("disabled"):
            return None
        keys = self._accounts.keys
        for key in map(functools.partial(keys.public_key, email), keys.of(email)):
            if key is not None and _made(key, message, signature):
                return Principal(email)
        return None

    def now(self) -> float:
        """Return the host's time: clients date what they sign by clocks of their own."""
        return self._host_clock()

    def exchange(self, form: dict[str, str]) -> dict[str, Any]:
        """Return an access token (or identity token) for an assertion.

        Raises:
            ApiError: 400 whose reason is the error code of RFC 6749, section 5.2.
        """
        grant = form.get("grant_type", "")
        if grant != JWT_BEARER:
            refusal = _refused("unsupported_grant_type", f"Invalid grant_type: {grant}")
            refusal.logged = "Invalid grant_type"
            raise refusal
        if not form.get("assertion"):
            raise _refused("invalid_request", "Missing required parameter: assertion")
        try:
            assertion = self._assertions.read(form["assertion"])
        except AssertionRefusedError as error:
            raise _refused("invalid_grant", str(error)) from None
        audience = assertion.claims.get("aud")
        if not isinstance(audience, str) or audience not in AUDIENCES:
            raise _refused("invalid_grant", "Invalid JWT: Failed audience check.")
        if assertion.claims.get("sub", assertion.email) != assertion.email:
            raise _refused(
                "unauthorized_client",
                "Client is unauthorized to retrieve access tokens using this method, or client "
                "not authorized for any of the scopes requested.",
            )
        return self._granted(assertion)

    def key_set(self) -> dict[str, Any]:
        """Return the public keys of identity tokens."""
        return self._tokens.key_set()

    def certificates(self) -> dict[str, str]:
        """Return the same keys as PEM certificates by key id."""
        return self._tokens.certificates()

    def _granted(self, assertion: Assertion) -> dict[str, Any]:
        audience = assertion.claims.get("target_audience")
        if isinstance(audience, str) and audience:
            principal = Principal(assertion.email)
            return {"id_token": self._tokens.identity_token(principal, audience)}
        scopes = _scopes(assertion)
        if not scopes:
            raise _refused("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        token = self._tokens.issue(Principal(assertion.email, scopes))
        return {"access_token": token, "expires_in": LIFETIME, "token_type": "Bearer"}

    def _access_token(self, token: str) -> _Known:
        issued = self._tokens.read(token)
        return _Known(issued.principal, issued.expires, self._clock, issued.account, None)

    def _jwt(self, token: str) -> _Known:
        """Accept a JWT in place of an access token.

        https://google.aip.dev/auth/4111
        """
        try:
            assertion = self._assertions.read(token)
        except AssertionRefusedError as error:
            reason = "ACCESS_TOKEN_EXPIRED" if error.expired else "ACCESS_TOKEN_TYPE_UNSUPPORTED"
            raise unauthenticated(reason) from None
        scopes = _scopes(assertion)
        audience = assertion.claims.get("aud")
        if not scopes and not (isinstance(audience, str) and _SERVICE.fullmatch(audience)):
            raise unauthenticated("ACCESS_TOKEN_TYPE_UNSUPPORTED")
        if assertion.claims.get("sub", assertion.email) != assertion.email:
            raise unauthenticated("ACCESS_TOKEN_TYPE_UNSUPPORTED")
        return _Known(
            Principal(assertion.email, scopes),
            assertion.expires,
            self._host_clock,
            self._accounts.existing(assertion.email)["uniqueId"],
            assertion.key_id,
        )

    def _check_account(self, known: _Known) -> None:
        email = known.principal.email
        account = self._accounts.find(email)
        if account is None or account.get("disabled") or account["uniqueId"] != known.account:
            raise unauthenticated("ACCOUNT_STATE_INVALID")
        if known.key_id is not None and not self._accounts.keys.usable(email, known.key_id):
            raise unauthenticated("ACCESS_TOKEN_TYPE_UNSUPPORTED")

    def _remember(self, token: str, known: _Known) -> None:
        self._known[token] = known
        if len(self._known) > self._remembered:
            self._known.popitem(last=False)


def _made(key: RSAPublicKey, message: bytes, signature: bytes) -> bool:
    try:
        key.verify(signature, message, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


def _scopes(assertion: Assertion) -> frozenset[str]:
    scope = assertion.claims.get("scope", "")
    return frozenset(scope.split()) if isinstance(scope, str) else frozenset()


def _refused(code: str, description: str) -> ApiError:
    return ApiError(400, code, description)
