# SPDX-License-Identifier: GPL-3.0-or-later
"""The account that `up` hands out lets its user in at each start, whatever was done to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cloudspill_sandbox.identity.account_keys import LIMIT
from cloudspill_sandbox.identity.iam import Iam
from cloudspill_sandbox.identity.keys import KeyPair
from cloudspill_sandbox.identity.owner import ensure_owned, ensure_owner, owner_email

from .conftest import Identity
from .iam_calls import PROJECT, Caller

EMAIL = owner_email("p1234")
ACCOUNT = f"{PROJECT}/serviceAccounts/{EMAIL}"
ACCOUNTS = "iam.projects.serviceAccounts"


@pytest.fixture
def start(identity: Identity, iam: Iam, tmp_path: Path) -> Path:
    """Start for the first time; return the key file."""
    return started(identity, iam, tmp_path / "credentials.json")


def started(identity: Identity, iam: Iam, path: Path) -> Path:
    ensure_owned(identity.store, iam.accounts, iam.policies, "p1234")
    ensure_owner(iam.accounts, "p1234", path)
    return path


def works(path: Path, ask: Caller) -> bool:
    """Whether the key file authenticates an owner of the project."""
    key_id = json.loads(path.read_text())["private_key_id"]
    ask.by(EMAIL)(f"{ACCOUNTS}.list", name=PROJECT)
    return bool(ask(f"{ACCOUNTS}.keys.get", name=f"{ACCOUNT}/keys/{key_id}"))


def test_a_deleted_owner_is_made_an_owner_again(
    identity: Identity, iam: Iam, ask: Caller, start: Path
) -> None:
    assert works(start, ask)
    ask(f"{ACCOUNTS}.delete", name=ACCOUNT)
    started(identity, iam, start)
    assert works(start, ask)


def test_a_disabled_owner_is_enabled_and_keeps_its_key(
    identity: Identity, iam: Iam, ask: Caller, start: Path
) -> None:
    key_file = start.read_text()
    ask(f"{ACCOUNTS}.disable", {}, name=ACCOUNT)
    started(identity, iam, start)
    assert iam.accounts.keys.usable(EMAIL, json.loads(key_file)["private_key_id"])
    assert start.read_text() == key_file


def test_the_oldest_of_too_many_keys_makes_room(
    identity: Identity, iam: Iam, ask: Caller, start: Path, pairs: list[KeyPair]
) -> None:
    for number in range(LIMIT - 1):
        resource = pairs[0].resource(ACCOUNT) | {"name": f"{ACCOUNT}/keys/{number}"}
        identity.store.put(resource["name"], resource)
    first = json.loads(start.read_text())["private_key_id"]
    start.unlink()
    started(identity, iam, start)
    assert works(start, ask)
    assert first not in iam.accounts.keys.of(EMAIL)
    assert len(iam.accounts.keys.of(EMAIL)) == LIMIT
