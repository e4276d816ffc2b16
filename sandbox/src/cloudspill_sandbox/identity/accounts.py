# SPDX-License-Identifier: GPL-3.0-or-later
"""Service accounts and their keys, as documents of the store.

`projects/P/serviceAccounts/EMAIL` and `…/EMAIL/keys/ID` hold the resources of
https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts; private keys are
handed out once and never kept.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.errors import ApiError, already_exists, not_found
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.identity.keys import KeyPair, load_public_key

ACCOUNT_ID = re.compile(r"[a-z](?:[-a-z0-9]{4,28}[a-z0-9])")
"""https://cloud.google.com/iam/docs/service-accounts-create"""

TOKEN_URI = "https://oauth2.googleapis.com/token"
KeyFile = dict[str, str]
Clock = Callable[[], float]


class ServiceAccounts:
    """The service accounts of every project.

    Args:
        clock: seconds since the epoch.
        generate: makes a key pair for a unique id at a time; slow, hence replaceable.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        generate: Callable[[str, float], KeyPair] = KeyPair.generate,
    ) -> None:
        self._store = store
        self._generate = generate
        self._clock = clock

    def create(
        self, project: str, account_id: str, *, display_name: str = "", email: str | None = None
    ) -> Document:
        """Make an account and return its document.

        Args:
            account_id: first part of its address, ACCOUNT_ID.
            email: the whole address where Google forms it otherwise, as for
                `NUMBER-compute@developer.gserviceaccount.com`.

        Raises:
            ApiError: 400 for a bad id, 409 when it exists.
        """
        if email is None:
            if not ACCOUNT_ID.fullmatch(account_id):
                raise ApiError(
                    400,
                    "badRequest",
                    f"Invalid service account ID '{account_id}': it must have 6 to 30 characters "
                    "of a-z, 0-9 and hyphens, begin with a letter and end with no hyphen.",
                    code="INVALID_ARGUMENT",
                )
            email = f"{account_id}@{project}.iam.gserviceaccount.com"
        name = f"projects/{project}/serviceAccounts/{email}"
        if self._store.get(name) is not None:
            raise already_exists(name)
        document = {
            "name": name,
            "projectId": project,
            "uniqueId": str(10**20 + secrets.randbelow(10**20)),
            "email": email,
            "displayName": display_name,
            "etag": base64.b64encode(secrets.token_bytes(8)).decode(),
        }
        self._store.put(name, document)
        return document

    def find(self, email: str) -> Document | None:
        """Return the account with this address, in whichever project it is."""
        for _, accounts in self._store.collections("projects", "serviceAccounts"):
            if email in accounts:
                return accounts[email]
        return None

    def delete(self, email: str) -> None:
        """Remove an account and its keys. Raises ApiError 404 when there is none."""
        account = self._account(email)
        with self._store.transaction() as transaction:
            for key_id in self._store.children(f"{account['name']}/keys"):
                transaction.delete(f"{account['name']}/keys/{key_id}")
            transaction.delete(account["name"])

    def create_key(self, email: str) -> KeyFile:
        """Make a key; return the content of the key file that Google's clients read.

        Takes some 50 ms. Raises ApiError 404 when there is no such account.
        """
        account = self._account(email)
        pair = self._generate(account["uniqueId"], self._clock())
        self._store.put(f"{account['name']}/keys/{pair.id}", pair.resource(account["name"]))
        return {
            "type": "service_account",
            "project_id": account["projectId"],
            "private_key_id": pair.id,
            "private_key": pair.private_pem(),
            "client_email": email,
            "client_id": account["uniqueId"],
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": TOKEN_URI,
            "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
            "client_x509_cert_url": f"https://www.googleapis.com/robot/v1/metadata/x509/{email}",
            "universe_domain": "googleapis.com",
        }

    def has_key(self, email: str, key_id: str) -> bool:
        """Whether a key may be used: it exists, and neither it nor its account is disabled."""
        account = self.find(email)
        if account is None or account.get("disabled"):
            return False
        key = self._store.get(f"{account['name']}/keys/{key_id}")
        return key is not None and not key.get("disabled", False)

    def key_ids(self, email: str) -> list[str]:
        """Return the ids of an account's keys. Raises ApiError 404 when there is no account."""
        return list(self._store.children(f"{self._account(email)['name']}/keys"))

    def public_key(self, email: str, key_id: str) -> RSAPublicKey | None:
        """Return the public half of a usable key, None when there is none."""
        if not self.has_key(email, key_id):
            return None
        key = self._store.get(f"{self._account(email)['name']}/keys/{key_id}")
        return load_public_key(key) if key is not None else None

    def delete_key(self, email: str, key_id: str) -> None:
        """Revoke a key. Raises ApiError 404 when there is none."""
        name = f"{self._account(email)['name']}/keys/{key_id}"
        if self._store.get(name) is None:
            raise not_found(name)
        self._store.delete(name)

    def _account(self, email: str) -> Document:
        account = self.find(email)
        if account is None:
            raise not_found(f"projects/-/serviceAccounts/{email}")
        return account
