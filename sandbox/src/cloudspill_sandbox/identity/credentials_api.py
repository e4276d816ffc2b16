# SPDX-License-Identifier: GPL-3.0-or-later
"""IAM Service Account Credentials v1: short-lived tokens of accounts that one may impersonate.

https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts
"""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Callable, Sequence

from cloudspill_sandbox.engine.access import AccessRules, Requirement
from cloudspill_sandbox.engine.call import Call, Document, Handler, Principal, Service
from cloudspill_sandbox.identity import refusals
from cloudspill_sandbox.identity.accounts import ServiceAccounts
from cloudspill_sandbox.identity.iam import Iam
from cloudspill_sandbox.identity.keys import timestamp
from cloudspill_sandbox.identity.predefined_roles import ACCOUNT
from cloudspill_sandbox.identity.service_account_access import denied, on_account
from cloudspill_sandbox.identity.tokens import Tokens

LONGEST = 3600
"""Seconds; up to 12 hours need an organization's policy, and there is no organization."""

_COLLECTION = "iamcredentials.projects.serviceAccounts"
_PERMISSIONS = {"generateAccessToken": "getAccessToken", "generateIdToken": "getOpenIdToken"}
_DELEGATION = "iam.serviceAccounts.implicitDelegation"
_DURATION = re.compile(r"(\d{1,6})(?:\.\d{1,9})?s")

UNRESTRICTED: Document = {"encodedLocations": "0x0"}
"""What google-auth takes for an account that may be used from everywhere."""


class CredentialMethods:
    """Hands out tokens of other accounts; who may have them is asked before.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(self, iam: Iam, tokens: Tokens, clock: Callable[[], float]) -> None:
        self._iam = iam
        self._tokens = tokens
        self._clock = clock

    def service(self) -> Service:
        """Return the implemented methods."""
        handlers: dict[str, Handler] = {
            "generateAccessToken": self._access_token,
            "generateIdToken": self._identity_token,
            "getAllowedLocations": self._allowed_locations,
        }
        return {f"{_COLLECTION}.{verb}": each for verb, each in handlers.items()}

    async def _access_token(self, call: Call) -> Document:
        scopes = call.body.get("scope", [])
        if not scopes:
            raise refusals.refused("INVALID_ARGUMENT", "The request must have at least one scope.")
        for scope in scopes:
            if len(scope.split()) != 1:  # a token of no scope at all would be good for everything
                raise refusals.refused("INVALID_ARGUMENT", f"The scope '{scope}' is none.")
        lifetime = _seconds(call.body.get("lifetime", f"{LONGEST}s"))
        account = self._impersonated(call)
        token = self._tokens.issue(Principal(account["email"], frozenset(scopes)), lifetime)
        ends = datetime.datetime.fromtimestamp(int(self._clock()) + lifetime, datetime.UTC)
        return {"accessToken": token, "expireTime": timestamp(ends)}

    async def _identity_token(self, call: Call) -> Document:
        audience = call.body.get("audience", "")
        if not audience:
            raise refusals.refused("INVALID_ARGUMENT", "The request must have an audience.")
        principal = Principal(self._impersonated(call)["email"])
        with_email = call.body.get("includeEmail", False)
        return {
            "token": self._tokens.identity_token(principal, audience, with_email=with_email),
        }

    async def _allowed_locations(self, call: Call) -> Document:  # noqa: ARG002
        return UNRESTRICTED

    def _impersonated(self, call: Call) -> Document:
        """Return the account that a call is about.

        Raises:
            ApiError: 403, one of a chain of delegates may not speak for the next; 400, the account
                is disabled.
        """
        chain = [*call.body.get("delegates", ()), call.path["name"]]
        accounts = [_existing(self._iam.accounts, name) for name in chain]
        permission = _permission(call)
        for index, (speaker, spoken_for) in enumerate(itertools.pairwise(accounts), start=2):
            needed = permission if index == len(accounts) else _DELEGATION
            asked = on_account(needed, spoken_for)
            principal = Principal(speaker["email"])
            if not self._iam.authorizer.permits(principal, asked):
                raise denied(principal, [asked])
        if accounts[-1].get("disabled"):
            raise refusals.refused(
                "FAILED_PRECONDITION", f"Service account {accounts[-1]['email']} is disabled."
            )
        return accounts[-1]


def credentials_access(accounts: ServiceAccounts) -> AccessRules:
    """Return what the API asks of its callers."""

    def requirements(call: Call) -> Sequence[Requirement]:
        if call.method.rpartition(".")[2] not in _PERMISSIONS:
            return ()
        delegates = call.body.get("delegates", ())
        name = delegates[0] if delegates else call.path["name"]
        permission = _DELEGATION if delegates else _permission(call)
        account = _resolved(accounts, name)
        if account is None:  # a stranger is not told so; nobody has a policy on it
            return (Requirement(permission, name, ACCOUNT, "iam.googleapis.com", ()),)
        return (on_account(permission, account),)

    return AccessRules(requirements, denied)


def _permission(call: Call) -> str:
    return f"iam.serviceAccounts.{_PERMISSIONS[call.method.rpartition('.')[2]]}"


def _resolved(accounts: ServiceAccounts, name: str) -> Document | None:
    """Return the account of a name whose project is `-`, as these methods want it."""
    prefix = "projects/-/serviceAccounts/"
    return accounts.resolve(name) if name.startswith(prefix) and name.count("/") == 3 else None


def _existing(accounts: ServiceAccounts, name: str) -> Document:
    account = _resolved(accounts, name)
    if account is None:
        raise refusals.unknown_account()
    return account


def _seconds(lifetime: str) -> int:
    found = _DURATION.fullmatch(lifetime)
    if found is None or not 0 < int(found[1]) <= LONGEST:
        raise refusals.refused(
            "INVALID_ARGUMENT",
            f"The lifetime '{lifetime}' must be more than 0 and at most {LONGEST} seconds.",
        )
    return int(found[1])
