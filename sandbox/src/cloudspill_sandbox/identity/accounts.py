# SPDX-License-Identifier: GPL-3.0-or-later
"""Service accounts as documents of the store.

`projects/P/serviceAccounts/EMAIL` holds the resource of
https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts; its keys lie below it
(account_keys.py). What was deleted lies for 30 days in `projects/P/deletedServiceAccounts/ID`.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Mapping

from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.store import Store, Transaction
from cloudspill_sandbox.identity import refusals
from cloudspill_sandbox.identity.account_keys import AccountKeys, Clock, GenerateKey
from cloudspill_sandbox.identity.keys import KeyPair

ACCOUNT_ID = re.compile(r"[a-z](?:[-a-z0-9]*[a-z0-9])")
"""https://cloud.google.com/iam/docs/service-accounts-create"""

LIMIT = 100
"""Accounts that users may make in a project: https://cloud.google.com/iam/quotas"""

DAYS_TO_UNDELETE = 30

_USERS = ".iam.gserviceaccount.com"
"""Ends the addresses of accounts that users make, after the project's id."""

_LENGTHS = {"displayName": ("display name", 100), "description": ("description", 256)}


class ServiceAccounts:
    """The service accounts of every project.

    Args:
        clock: seconds since the epoch.
        generate: makes key pairs; slow, hence replaceable.

    Attributes:
        keys: the accounts' keys.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        generate: GenerateKey = KeyPair.generate,
    ) -> None:
        self._store = store
        self._clock = clock
        self.keys = AccountKeys(store, clock, generate, self.find)

    def create(
        self, project: str, account_id: str, *, display_name: str = "", description: str = ""
    ) -> Document:
        """Make an account and return its document.

        Args:
            project: its id.
            account_id: first part of the address, 6 to 30 characters of ACCOUNT_ID.
            display_name: at most 100 bytes.
            description: at most 256 bytes.

        Raises:
            ApiError: 400 for a bad id or text, 409 when the account exists, 429 when the project
                has LIMIT of them.
        """
        _check_id(account_id)
        email = f"{account_id}@{project}{_USERS}"
        name = f"projects/{project}/serviceAccounts/{email}"
        if self._store.get(name) is not None:
            raise refusals.account_exists(project, account_id, name)
        if sum(other.endswith(_USERS) for other in self.of_project(project)) >= LIMIT:
            raise refusals.refused(
                "RESOURCE_EXHAUSTED", "Maximum number of service accounts on project reached."
            )
        identity = {
            "name": name,
            "projectId": project,
            "uniqueId": str(10**20 + secrets.randbelow(10**20)),
            "email": email,
        }
        document = _described(identity, {"displayName": display_name, "description": description})
        self._store.put(name, document)
        return document

    def find(self, email: str) -> Document | None:
        """Return the account with this address, in whichever project it is."""
        domain = email.partition("@")[2]
        if domain.endswith(_USERS):  # its project stands in it; this is asked at every call
            project = domain.removesuffix(_USERS)
            return self._store.get(f"projects/{project}/serviceAccounts/{email}")
        for _, accounts in self._store.collections("projects", "serviceAccounts"):
            if email in accounts:
                return accounts[email]
        return None

    def existing(self, email: str) -> Document:
        """Return the account with this address. Raises ApiError 404 when there is none."""
        account = self.find(email)
        if account is None:
            raise refusals.unknown_account()
        return account

    def resolve(self, name: str) -> Document | None:
        """Return the account that a resource name means, None when there is none.

        Args:
            name: `projects/P/serviceAccounts/A`: P is an id, a number, or `-` for whichever it is;
                A is an address or a unique id.
        """
        _, project, _, account = name.split("/")
        found = self.find(account) if "@" in account else self._by_unique_id(account)
        return found if found is not None and self._is_of(found, project) else None

    def of_project(self, project: str) -> Mapping[str, Document]:
        """Return a project's accounts by their addresses, oldest first."""
        return self._store.children(f"projects/{project}/serviceAccounts")

    def update(self, account: Document, changes: Mapping[str, str]) -> Document:
        """Set `displayName` or `description`; return the new document.

        Raises:
            ApiError: 400, a text is too long.
        """
        updated = _described(account, changes)
        self._store.put(account["name"], updated)
        return updated

    def set_disabled(self, account: Document, disabled: bool) -> Document:
        """Disable or enable an account; return its document.

        Tokens and keys of a disabled one do not hold.
        """
        state = {name: value for name, value in account.items() if name != "disabled"}
        state |= {"disabled": True} if disabled else {}
        self._store.put(account["name"], state)
        return state

    def delete(self, transaction: Transaction, account: Document) -> str:
        """Remove an account; with its keys it can be brought back for 30 days.

        Returns:
            The name under which it is kept until then.
        """
        name = account["name"]
        keys = dict(self._store.children(f"{name}/keys"))
        for key_id in keys:
            transaction.delete(f"{name}/keys/{key_id}")
        transaction.delete(name)
        grave = _grave(account)
        transaction.put(grave, {"account": account, "keys": keys, "deleted": self._clock()})
        return grave

    def deleted(self, name: str) -> Document | None:
        """Return the deleted account that a resource name means, while it can come back."""
        _, project, _, wanted = name.split("/")
        for _, graves in self._store.collections("projects", "deletedServiceAccounts"):
            for grave in reversed(list(graves.values())):
                account: Document = grave["account"]
                if (
                    wanted in (account["uniqueId"], account["email"])
                    and self._is_of(account, project)
                    and self._clock() < grave["deleted"] + DAYS_TO_UNDELETE * 86_400
                ):
                    return account
        return None

    def undelete(self, transaction: Transaction, account: Document) -> str:
        """Bring a deleted account back, with its keys.

        https://cloud.google.com/iam/docs/service-accounts-delete-undelete

        Returns:
            The name under which it was kept.

        Raises:
            ApiError: 400, there is an account of its name again.
        """
        if self._store.get(account["name"]) is not None:
            raise refusals.refused(
                "FAILED_PRECONDITION",
                f"A service account named {account['email']} exists: the deleted one with the "
                f"unique ID {account['uniqueId']} cannot come back beside it.",
            )
        grave = _grave(account)
        transaction.put(account["name"], account)
        for key_id, key in (self._store.get(grave) or {}).get("keys", {}).items():
            transaction.put(f"{account['name']}/keys/{key_id}", key)
        transaction.delete(grave)
        return grave

    def _by_unique_id(self, unique_id: str) -> Document | None:
        for _, accounts in self._store.collections("projects", "serviceAccounts"):
            for account in accounts.values():
                if account["uniqueId"] == unique_id:
                    return account
        return None

    def _is_of(self, account: Document, project: str) -> bool:
        """Whether an account is one of a project: an id, a number, or `-` for any."""
        own = account["projectId"]
        number = (self._store.get(f"projects/{own}") or {}).get("id")
        return project in ("-", own, number)


def _check_id(account_id: str) -> None:
    if not 6 <= len(account_id) <= 30:
        raise refusals.refused(
            "INVALID_ARGUMENT",
            f'The account ID "{account_id}" does not have a length between 6 and 30.',
        )
    if not ACCOUNT_ID.fullmatch(account_id):
        raise refusals.refused(
            "INVALID_ARGUMENT",
            f'The account ID "{account_id}" does not match the regular expression '
            "[a-z]([-a-z0-9]*[a-z0-9]).",
        )


def _described(account: Document, changes: Mapping[str, str]) -> Document:
    """Return an account with other texts; empty ones are left out, as Google does."""
    for field, text in changes.items():
        words, limit = _LENGTHS[field]
        if len(text.encode()) > limit:
            raise refusals.too_long(words, limit)
    etag = base64.b64encode(secrets.token_bytes(8)).decode()
    described = account | dict(changes) | {"etag": etag}
    return {name: value for name, value in described.items() if name not in _LENGTHS or value}


def _grave(account: Document) -> str:
    return f"projects/{account['projectId']}/deletedServiceAccounts/{account['uniqueId']}"
