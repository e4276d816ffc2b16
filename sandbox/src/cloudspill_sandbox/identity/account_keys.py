# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of service accounts, as documents of the store.

`…/serviceAccounts/EMAIL/keys/ID` holds the resource of
https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts.keys; private keys are
handed out once and never kept.
"""

from __future__ import annotations

import datetime
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.identity import refusals
from cloudspill_sandbox.identity.keys import (
    KeyPair,
    certificate_resource,
    load_public_key,
    timestamp,
)

LIMIT = 10
"""Keys that users may have on an account: https://cloud.google.com/iam/quotas"""

TOKEN_URI = "https://oauth2.googleapis.com/token"

KeyFile = dict[str, str]
Clock = Callable[[], float]


class GenerateKey(Protocol):
    """Makes key pairs, as `KeyPair.generate`."""

    def __call__(self, subject: str, now: float, bits: int = 2048) -> KeyPair:
        """Return a new pair for a subject at a time (seconds since the epoch)."""


class AccountKeys:
    """The keys of all service accounts, which are named by their addresses.

    Unless they say otherwise, methods raise ApiError 404 when there is no such account.

    Args:
        clock: seconds since the epoch.
        generate: makes key pairs.
        find: returns an account by its address, None when there is none.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        generate: GenerateKey,
        find: Callable[[str], Document | None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._generate = generate
        self._find = find

    def of(self, email: str) -> Mapping[str, Document]:
        """Return an account's keys by their ids, oldest first."""
        return self._store.children(self._collection(email))

    def get(self, email: str, key_id: str) -> Document:
        """Return a key. Raises ApiError 404 when there is none."""
        key = self.of(email).get(key_id)
        if key is None:
            raise refusals.unknown_key(key_id)
        return key

    def create(self, email: str) -> KeyFile:
        """Make a key; return the content of the key file that Google's clients read.

        Takes some 50 ms. Raises ApiError 400 when the account has LIMIT keys.
        """
        account = self.with_room(email)
        pair = self.generate(account)
        self.add(account, pair)
        return self.key_file(email, pair)

    def with_room(self, email: str) -> Document:
        """Return an account that may have another key. Raises ApiError 400 when it has LIMIT."""
        account = self._existing(email)
        self._check_room(email)
        return account

    def generate(self, account: Document, bits: int = 2048) -> KeyPair:
        """Return a new pair, registered nowhere; reads nothing that another thread may write."""
        return self._generate(account["uniqueId"], self._clock(), bits)

    def add(self, account: Document, pair: KeyPair) -> Document:
        """Register the public half of a pair; return its resource.

        Raises:
            ApiError: 400, the account has LIMIT keys; 404 when it is gone, even if there is
                another one of its name.
        """
        if self._existing(account["email"])["uniqueId"] != account["uniqueId"]:
            raise refusals.unknown_account()
        return self._register(account["email"], pair.resource(account["name"]))

    def upload(self, email: str, certificate: x509.Certificate) -> Document:
        """Register a certificate of a user's own key; return its resource.

        https://cloud.google.com/iam/docs/keys-upload

        Raises:
            ApiError: 400 when its key is no RSA key or the account has LIMIT keys, 409 when the
                account has it.
        """
        if not isinstance(certificate.public_key(), RSAPublicKey):
            raise refusals.refused("INVALID_ARGUMENT", "The public key must be an RSA key.")
        name = self._existing(email)["name"]
        resource = certificate_resource(name, certificate, "USER_PROVIDED")
        if self._store.get(resource["name"]) is not None:
            raise refusals.refused("ALREADY_EXISTS", "The public key already exists.")
        return self._register(email, resource)

    def key_file(self, email: str, pair: KeyPair) -> KeyFile:
        """Return the content of a pair's key file."""
        account = self._existing(email)
        address = urllib.parse.quote(email, safe="")
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
            "client_x509_cert_url": f"https://www.googleapis.com/robot/v1/metadata/x509/{address}",
            "universe_domain": "googleapis.com",
        }

    def usable(self, email: str, key_id: str) -> bool:
        """Whether a key may be used: it and its account are there and not disabled."""
        account = self._find(email)
        if account is None or account.get("disabled"):
            return False
        key = self.of(email).get(key_id)
        if key is None or key.get("disabled"):
            return False
        now = timestamp(datetime.datetime.fromtimestamp(self._clock(), datetime.UTC))
        return bool(now < key["validBeforeTime"])

    def public_key(self, email: str, key_id: str) -> RSAPublicKey | None:
        """Return the public half of a usable key, None when there is none."""
        return load_public_key(self.get(email, key_id)) if self.usable(email, key_id) else None

    def set_disabled(self, email: str, key_id: str, disabled: bool) -> None:
        """Disable or enable a key. Raises ApiError 404 when there is none."""
        key = self.get(email, key_id)
        state = {name: value for name, value in key.items() if not name.startswith("disable")}
        if disabled:
            reason = "SERVICE_ACCOUNT_KEY_DISABLE_REASON_USER_INITIATED"
            state |= {"disabled": True, "disableReason": reason}
        self._store.put(key["name"], state)

    def delete(self, email: str, key_id: str) -> None:
        """Revoke a key. Raises ApiError 404 when there is none."""
        self._store.delete(self.get(email, key_id)["name"])

    def _register(self, email: str, resource: Document) -> Document:
        self._check_room(email)
        self._store.put(resource["name"], resource)
        return resource

    def _check_room(self, email: str) -> None:
        if len(self.of(email)) >= LIMIT:
            # Google says no more than this.
            raise refusals.refused("FAILED_PRECONDITION", "Precondition check failed.")

    def _existing(self, email: str) -> Document:
        account = self._find(email)
        if account is None:
            raise refusals.unknown_account()
        return account

    def _collection(self, email: str) -> str:
        return f"{self._existing(email)['name']}/keys"
