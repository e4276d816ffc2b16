# SPDX-License-Identifier: GPL-3.0-or-later
"""IAM v1: keys of service accounts.

https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts.keys
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from cloudspill_sandbox.engine.call import Call, Document, Handler, Service
from cloudspill_sandbox.identity import refusals
from cloudspill_sandbox.identity.account_keys import KeyFile
from cloudspill_sandbox.identity.accounts import ServiceAccounts
from cloudspill_sandbox.identity.keys import KeyPair, load_public_key

_JSON, _PKCS12 = "TYPE_GOOGLE_CREDENTIALS_FILE", "TYPE_PKCS12_FILE"

_BITS = {"KEY_ALG_RSA_1024": 1024}
_USUAL_BITS = 2048

_PASSWORD = b"notasecret"
"""Of every PKCS #12 key file: https://cloud.google.com/iam/docs/keys-create-delete#creating"""


class AccountKeyMethods:
    """What callers do with keys; who may is asked before."""

    def __init__(self, accounts: ServiceAccounts) -> None:
        self._accounts = accounts
        self._keys = accounts.keys

    def service(self) -> Service:
        """Return the implemented methods."""
        handlers: dict[str, Handler] = {
            "create": self._create,
            "delete": self._delete,
            "disable": self._disable,
            "enable": self._enable,
            "get": self._get,
            "list": self._list,
            "upload": self._upload,
        }
        return {
            f"iam.projects.serviceAccounts.keys.{verb}": each for verb, each in handlers.items()
        }

    async def _create(self, call: Call) -> Document:
        email = self._email(call.path["name"])
        kind = call.body.get("privateKeyType", _JSON)
        bits = _BITS.get(call.body.get("keyAlgorithm", ""), _USUAL_BITS)
        account = self._keys.with_room(email)
        # Apart from the loop, which would answer nobody meanwhile.
        pair = await asyncio.to_thread(self._keys.generate, account, bits)
        created = self._keys.add(account, pair)
        if kind == _PKCS12:
            content = _pkcs12(pair)
        else:
            kind, content = _JSON, _json(self._keys.key_file(email, pair))
        return _shown(created) | {
            "privateKeyType": kind,
            "privateKeyData": base64.b64encode(content).decode(),
        }

    async def _upload(self, call: Call) -> Document:
        email = self._email(call.path["name"])
        try:
            pem = base64.b64decode(call.body.get("publicKeyData", ""), validate=True)
            certificate = x509.load_pem_x509_certificate(pem)
        except (binascii.Error, ValueError):
            raise refusals.refused(
                "INVALID_ARGUMENT",
                "The public key data must be the base64 of an X.509 certificate in PEM form.",
            ) from None
        return _shown(self._keys.upload(email, certificate))

    async def _get(self, call: Call) -> Document:
        key = self._keys.get(*self._named(call))
        return _shown(key) | _public_half(key, call.query.get("publicKeyType", ""))

    async def _list(self, call: Call) -> Document:
        kinds = set(call.query.get("keyTypes", ())) - {"KEY_TYPE_UNSPECIFIED"}
        keys = self._keys.of(self._email(call.path["name"])).values()
        chosen = [_shown(key) for key in keys if not kinds or key["keyType"] in kinds]
        return {"keys": chosen} if chosen else {}

    async def _delete(self, call: Call) -> Document:
        self._keys.delete(*self._named(call))
        return {}

    async def _disable(self, call: Call) -> Document:
        self._keys.set_disabled(*self._named(call), True)
        return {}

    async def _enable(self, call: Call) -> Document:
        self._keys.set_disabled(*self._named(call), False)
        return {}

    def _named(self, call: Call) -> tuple[str, str]:
        """Return address and key id out of `projects/P/serviceAccounts/A/keys/K`."""
        account, _, key_id = call.path["name"].rpartition("/keys/")
        return self._email(account), key_id

    def _email(self, name: str) -> str:
        account = self._accounts.resolve(name)
        if account is None:
            raise refusals.unknown_account()
        return str(account["email"])


def _shown(key: Document) -> Document:
    """Return a key without its public half, which only those get who ask for it."""
    return {name: value for name, value in key.items() if name != "publicKeyData"}


def _public_half(key: Document, form: str) -> Document:
    if form == "TYPE_X509_PEM_FILE":
        return {"publicKeyData": key["publicKeyData"]}
    if form == "TYPE_RAW_PUBLIC_KEY":
        pem = load_public_key(key).public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return {"publicKeyData": base64.b64encode(pem).decode()}
    return {}


def _json(content: KeyFile) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()


def _pkcs12(pair: KeyPair) -> bytes:
    protection = serialization.BestAvailableEncryption(_PASSWORD)
    return pkcs12.serialize_key_and_certificates(
        b"privatekey", pair.private, pair.certificate, None, protection
    )
