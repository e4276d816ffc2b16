# SPDX-License-Identifier: GPL-3.0-or-later
"""IAM v1, keys: https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts.keys."""

from __future__ import annotations

import asyncio
import base64
import datetime
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from cloudspill_sandbox.engine.call import Call, Document, Principal
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.identity.account_keys_api import AccountKeyMethods
from cloudspill_sandbox.identity.keys import KeyPair

from .conftest import NOW, Clock, Identity
from .iam_calls import OWNER, PROJECT, Caller

KEYS = "iam.projects.serviceAccounts.keys"
ACCOUNT = f"{PROJECT}/serviceAccounts/{OWNER}"
TOKEN_URI = "https://oauth2.googleapis.com/token"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"

Refusal = Callable[..., ApiError]
Exchange = Callable[[str], dict[str, Any]]


def assertion(identity: Identity, key: str, key_id: str) -> str:
    """Return what the owner signs to get an access token."""
    now = int(identity.clock())
    claims = {"iss": OWNER, "aud": TOKEN_URI, "scope": SCOPE, "iat": now, "exp": now + 3600}
    return jwt.encode(claims, key, "RS256", headers={"kid": key_id})


def certificate(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, days: int) -> str:
    """Return a self-signed certificate that holds for some days, as it is uploaded."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ours")])
    begins = datetime.datetime.fromtimestamp(NOW, datetime.UTC)
    signed = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=1,
        not_valid_before=begins,
        not_valid_after=begins + datetime.timedelta(days=days),
    ).sign(key, hashes.SHA256())
    return base64.b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode()


def private_pem(key: rsa.RSAPrivateKey) -> str:
    return KeyPair(key, None).private_pem()  # type: ignore[arg-type] # of the private half alone


def test_a_created_key_is_google_s_key_file(
    ask: Caller, identity: Identity, exchange: Exchange
) -> None:
    created = ask(f"{KEYS}.create", {}, name=ACCOUNT)
    assert created.pop("validAfterTime") == "2027-01-15T08:00:00Z"
    text = base64.b64decode(created.pop("privateKeyData")).decode()
    key_file = json.loads(text)
    key_id = key_file["private_key_id"]
    assert created == {
        "name": f"{ACCOUNT}/keys/{key_id}",
        "privateKeyType": "TYPE_GOOGLE_CREDENTIALS_FILE",
        "keyAlgorithm": "KEY_ALG_RSA_2048",
        "keyOrigin": "GOOGLE_PROVIDED",
        "keyType": "USER_MANAGED",
        "validBeforeTime": "9999-12-31T23:59:59Z",
    }
    assert text.startswith('{\n  "type": "service_account",\n  "project_id": "p1234",\n')
    assert list(key_file) == [
        "type",
        "project_id",
        "private_key_id",
        "private_key",
        "client_email",
        "client_id",
        "auth_uri",
        "token_uri",
        "auth_provider_x509_cert_url",
        "client_x509_cert_url",
        "universe_domain",
    ]
    assert key_file["client_x509_cert_url"].endswith("/owner-1%40p1234.iam.gserviceaccount.com")
    signed = assertion(identity, key_file["private_key"], key_id)
    assert exchange(signed)["token_type"] == "Bearer"


def test_a_private_key_is_not_kept(ask: Caller, identity: Identity) -> None:
    ask(f"{KEYS}.create", {}, name=ACCOUNT)
    (key,) = identity.store.children(f"{ACCOUNT}/keys").values()
    assert "privateKeyData" not in key
    assert "PRIVATE" not in base64.b64decode(key["publicKeyData"]).decode()


def test_a_key_comes_as_pkcs12_too(ask: Caller, pairs: list[KeyPair]) -> None:
    created = ask(f"{KEYS}.create", {"privateKeyType": "TYPE_PKCS12_FILE"}, name=ACCOUNT)
    content = base64.b64decode(created["privateKeyData"])
    private, held, _ = pkcs12.load_key_and_certificates(content, b"notasecret")
    assert created["privateKeyType"] == "TYPE_PKCS12_FILE"
    assert isinstance(private, rsa.RSAPrivateKey)
    assert private.private_numbers() == pairs[0].private.private_numbers()
    assert held == pairs[0].certificate


def test_an_account_has_ten_keys_at_most(
    ask: Caller, refusal: Refusal, identity: Identity, pairs: list[KeyPair]
) -> None:
    for number in range(10):
        resource = pairs[0].resource(ACCOUNT) | {"name": f"{ACCOUNT}/keys/{number}"}
        identity.store.put(resource["name"], resource)
    error = refusal(ask, f"{KEYS}.create", {}, name=ACCOUNT)
    assert (error.status, error.code) == (400, "FAILED_PRECONDITION")
    assert error.message == "Precondition check failed."


@pytest.mark.parametrize("verb", ["get", "delete", "disable", "enable"])
def test_an_unknown_key_is_not_found(ask: Caller, refusal: Refusal, verb: str) -> None:
    body: Document | None = {} if verb.endswith("able") else None
    error = refusal(ask, f"{KEYS}.{verb}", body, name=f"{ACCOUNT}/keys/0123abcd")
    assert (error.status, error.code) == (404, "NOT_FOUND")
    assert error.message == "Service account key 0123abcd does not exist."


def test_keys_are_listed_without_their_halves(ask: Caller) -> None:
    assert ask(f"{KEYS}.list", name=ACCOUNT) == {}
    names = [ask(f"{KEYS}.create", {}, name=ACCOUNT)["name"] for _ in range(2)]
    listed = ask(f"{KEYS}.list", name=ACCOUNT)["keys"]
    assert [key["name"] for key in listed] == names
    assert not {"publicKeyData", "privateKeyData"} & set().union(*listed)
    assert ask(f"{KEYS}.list", query={"keyTypes": ["USER_MANAGED"]}, name=ACCOUNT)["keys"] == listed
    assert ask(f"{KEYS}.list", query={"keyTypes": ["SYSTEM_MANAGED"]}, name=ACCOUNT) == {}


def test_a_public_half_comes_in_the_form_that_is_asked_for(
    ask: Caller, pairs: list[KeyPair]
) -> None:
    name = ask(f"{KEYS}.create", {}, name=ACCOUNT)["name"]
    assert "publicKeyData" not in ask(f"{KEYS}.get", name=name)
    forms = {}
    for form in ("TYPE_X509_PEM_FILE", "TYPE_RAW_PUBLIC_KEY"):
        key = ask(f"{KEYS}.get", query={"publicKeyType": form}, name=name)
        forms[form] = base64.b64decode(key["publicKeyData"])
    loaded = x509.load_pem_x509_certificate(forms["TYPE_X509_PEM_FILE"])
    assert loaded == pairs[0].certificate
    raw = serialization.load_pem_public_key(forms["TYPE_RAW_PUBLIC_KEY"])
    assert raw == pairs[0].certificate.public_key()


def test_a_key_holds_while_it_is_there_and_enabled(
    ask: Caller, identity: Identity, exchange: Exchange
) -> None:
    created = ask(f"{KEYS}.create", {}, name=ACCOUNT)
    key_file = json.loads(base64.b64decode(created["privateKeyData"]))
    name, key_id = created["name"], key_file["private_key_id"]

    def token() -> str:
        signed = assertion(identity, key_file["private_key"], key_id)
        return str(exchange(signed)["access_token"])

    kept = token()
    ask(f"{KEYS}.disable", {}, name=name)
    disabled = ask(f"{KEYS}.get", name=name)
    reason = "SERVICE_ACCOUNT_KEY_DISABLE_REASON_USER_INITIATED"
    assert (disabled["disabled"], disabled["disableReason"]) == (True, reason)
    with pytest.raises(ApiError, match=r"Invalid JWT Signature\."):
        token()
    ask(f"{KEYS}.enable", {}, name=name)
    assert not {"disabled", "disableReason"} & set(ask(f"{KEYS}.get", name=name))
    token()
    ask(f"{KEYS}.delete", name=name)
    with pytest.raises(ApiError, match=r"Invalid JWT Signature\."):
        token()
    # "Deleting a service account key does not revoke short-lived credentials".
    assert identity.authenticator.authenticate(f"Bearer {kept}").email == OWNER


def test_a_disabled_account_has_no_valid_credentials(
    ask: Caller, identity: Identity, exchange: Exchange
) -> None:
    created = ask(f"{KEYS}.create", {}, name=ACCOUNT)
    key_file = json.loads(base64.b64decode(created["privateKeyData"]))
    signed = assertion(identity, key_file["private_key"], key_file["private_key_id"])
    token = f"Bearer {exchange(signed)['access_token']}"
    ask("iam.projects.serviceAccounts.disable", {}, name=ACCOUNT)
    assert not identity.accounts.keys.usable(OWNER, key_file["private_key_id"])
    with pytest.raises(ApiError, match="account not found") as caught:
        exchange(signed)
    assert (caught.value.status, caught.value.reason) == (400, "invalid_grant")
    with pytest.raises(ApiError) as caught:
        identity.authenticator.authenticate(token)
    assert caught.value.status == 401
    assert caught.value.details[0]["reason"] == "ACCOUNT_STATE_INVALID"
    ask("iam.projects.serviceAccounts.enable", {}, name=ACCOUNT)
    assert identity.authenticator.authenticate(token).email == OWNER


def test_a_token_does_not_hold_for_another_account_of_its_name(
    ask: Caller, identity: Identity, exchange: Exchange
) -> None:
    key_file = identity.accounts.keys.create(OWNER)
    signed = assertion(identity, key_file["private_key"], key_file["private_key_id"])
    token = f"Bearer {exchange(signed)['access_token']}"
    assert identity.authenticator.authenticate(token).email == OWNER
    ask("iam.projects.serviceAccounts.delete", name=ACCOUNT)
    identity.accounts.create("p1234", "owner-1")
    with pytest.raises(ApiError) as caught:
        identity.authenticator.authenticate(token)
    assert caught.value.details[0]["reason"] == "ACCOUNT_STATE_INVALID"


def test_an_uploaded_key_holds_for_its_days(
    ask: Caller, refusal: Refusal, identity: Identity, exchange: Exchange, clock: Clock
) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    data = {"publicKeyData": certificate(key, days=2)}
    uploaded = ask(f"{KEYS}.upload", data, name=ACCOUNT)
    assert uploaded["keyOrigin"] == "USER_PROVIDED"
    key_id = uploaded["name"].rpartition("/")[2]
    assert exchange(assertion(identity, private_pem(key), key_id))["access_token"]
    error = refusal(ask, f"{KEYS}.upload", data, name=ACCOUNT)
    assert (error.status, error.code) == (409, "ALREADY_EXISTS")
    clock.now += 2 * 86_400
    with pytest.raises(ApiError, match=r"Invalid JWT Signature\."):
        exchange(assertion(identity, private_pem(key), key_id))


def test_what_is_no_certificate_of_an_rsa_key_is_not_uploaded(
    ask: Caller, refusal: Refusal, identity: Identity
) -> None:
    curve = certificate(ec.generate_private_key(ec.SECP256R1()), days=2)
    for data in ("", base64.b64encode(b"no certificate").decode(), curve):
        error = refusal(ask, f"{KEYS}.upload", {"publicKeyData": data}, name=ACCOUNT)
        assert (error.status, error.code) == (400, "INVALID_ARGUMENT")
    assert not identity.store.children(f"{ACCOUNT}/keys")


def test_keys_of_an_unknown_account_are_not_found(ask: Caller, refusal: Refusal) -> None:
    unknown = f"{PROJECT}/serviceAccounts/nobody-1@p1234.iam.gserviceaccount.com"
    for verb in ("list", "create"):
        error = refusal(ask, f"{KEYS}.{verb}", name=unknown)
        assert (error.status, error.message) == (404, "Unknown service account")


async def test_a_key_is_not_for_another_account_of_the_same_name(identity: Identity) -> None:
    account = identity.accounts.create("p1234", "short-lived")
    email = account["email"]
    free = threading.Event()
    threads = ThreadPoolExecutor(1)
    asyncio.get_running_loop().set_default_executor(threads)
    threads.submit(free.wait)
    create = AccountKeyMethods(identity.accounts).service()[f"{KEYS}.create"]
    call = Call(f"{KEYS}.create", {"name": account["name"]}, {}, {}, Principal(OWNER))
    creating = asyncio.ensure_future(create(call))
    await asyncio.sleep(0)  # the pair is about to be made
    with identity.store.transaction() as transaction:
        identity.accounts.delete(transaction, account)
    identity.accounts.create("p1234", "short-lived")
    free.set()
    with pytest.raises(ApiError) as refusal:
        await creating
    assert (refusal.value.status, dict(identity.accounts.keys.of(email))) == (404, {})
