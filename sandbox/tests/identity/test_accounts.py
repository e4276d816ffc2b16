# SPDX-License-Identifier: GPL-3.0-or-later
"""Service accounts, their keys, and the owner's key file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.identity.account_keys import KeyFile
from cloudspill_sandbox.identity.owner import ensure_owner

from .conftest import Identity


def test_an_account_is_made_once(identity: Identity) -> None:
    account = identity.accounts.create("p1234", "worker-1", display_name="Worker")
    assert account["email"] == "worker-1@p1234.iam.gserviceaccount.com"
    assert len(account["uniqueId"]) == 21
    assert identity.accounts.find(account["email"]) == account
    with pytest.raises(ApiError) as caught:
        identity.accounts.create("p1234", "worker-1")
    assert caught.value.status == 409


@pytest.mark.parametrize("account_id", ["short", "UPPER-case", "-begins", "ends-in-", "a" * 31])
def test_a_bad_account_id_is_refused(identity: Identity, account_id: str) -> None:
    with pytest.raises(ApiError) as caught:
        identity.accounts.create("p1234", account_id)
    assert caught.value.status == 400
    assert account_id in caught.value.message


def test_a_key_file_holds_what_google_s_clients_read(key_file: KeyFile) -> None:
    assert key_file["type"] == "service_account"
    assert key_file["token_uri"] == "https://oauth2.googleapis.com/token"
    assert key_file["universe_domain"] == "googleapis.com"
    assert key_file["private_key"].startswith("-----BEGIN PRIVATE KEY-----")
    assert len(key_file["private_key_id"]) == 40


def test_the_private_key_is_not_kept(identity: Identity, key_file: KeyFile) -> None:
    keys = identity.store.children(
        f"projects/p1234/serviceAccounts/{key_file['client_email']}/keys"
    )
    assert list(keys) == [key_file["private_key_id"]]
    assert "PRIVATE" not in json.dumps(dict(keys))


def test_an_account_goes_with_its_keys(identity: Identity, key_file: KeyFile) -> None:
    email = key_file["client_email"]
    with identity.store.transaction() as transaction:
        identity.accounts.delete(transaction, identity.accounts.existing(email))
    assert identity.accounts.find(email) is None
    assert not identity.store.children(f"projects/p1234/serviceAccounts/{email}/keys")
    with pytest.raises(ApiError) as caught:
        identity.accounts.keys.create(email)
    assert caught.value.status == 404


def test_the_owner_s_key_file_stays_while_its_key_holds(identity: Identity, tmp_path: Path) -> None:
    path = tmp_path / "client" / "credentials.json"
    email = ensure_owner(identity.accounts, "p1234", path)["email"]
    first = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    ensure_owner(identity.accounts, "p1234", path)
    assert path.read_bytes() == first
    identity.accounts.keys.delete(email, json.loads(first)["private_key_id"])
    ensure_owner(identity.accounts, "p1234", path)
    assert path.read_bytes() != first
    path.write_text("damaged")
    ensure_owner(identity.accounts, "p1234", path)
    assert json.loads(path.read_bytes())["client_email"] == email
