# SPDX-License-Identifier: GPL-3.0-or-later
"""Service accounts, their keys, and the owner's key file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cloudspill_sandbox.engine.call import Call, Principal
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.identity.account_keys import KeyFile
from cloudspill_sandbox.identity.authorizer import ProjectAuthorizer, permission_of
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
    identity.accounts.delete(email)
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


def call(method: str, email: str, **path: str) -> Call:
    return Call(method, path, {}, {}, Principal(email))


def test_members_act_in_their_project_alone(identity: Identity, key_file: KeyFile) -> None:
    identity.store.put("projects/other", {"name": "other"})
    authorizer = ProjectAuthorizer(identity.store, ["debian-cloud"])
    email = key_file["client_email"]
    authorizer.authorize(call("compute.instances.insert", email, project="p1234", zone="z"))
    with pytest.raises(ApiError) as caught:
        authorizer.authorize(
            call("compute.instances.insert", email, project="other", zone="us-west1-b")
        )
    assert (caught.value.status, caught.value.reason) == (403, "forbidden")
    assert caught.value.message == (
        "Required 'compute.instances.create' permission for 'projects/other/zones/us-west1-b'"
    )
    with pytest.raises(ApiError) as caught:
        authorizer.authorize(call("compute.instances.list", email, project="none", zone="z"))
    assert caught.value.message == "The resource 'projects/none' was not found"


def test_a_project_s_number_is_as_good_as_its_id(identity: Identity, key_file: KeyFile) -> None:
    authorizer = ProjectAuthorizer(identity.store, numbers={"42": "p1234"})
    email = key_file["client_email"]
    authorizer.authorize(call("compute.disks.list", email, project="42", zone="z"))
    with pytest.raises(ApiError) as caught:
        authorizer.authorize(call("compute.disks.list", "a-stranger", project="42", zone="z"))
    assert caught.value.status == 403


def test_public_images_are_for_everybody_to_read(identity: Identity) -> None:
    authorizer = ProjectAuthorizer(identity.store, ["debian-cloud"])
    stranger = "x@y.iam.gserviceaccount.com"
    authorizer.authorize(
        call("compute.images.getFromFamily", stranger, project="debian-cloud", family="debian-12")
    )
    with pytest.raises(ApiError) as caught:
        authorizer.authorize(
            call("compute.images.delete", stranger, project="debian-cloud", image="i")
        )
    assert caught.value.status == 404


@pytest.mark.parametrize(
    ("method", "permission"),
    [
        ("compute.instances.insert", "compute.instances.create"),
        ("compute.instances.aggregatedList", "compute.instances.list"),
        ("compute.instances.setTags", "compute.instances.setTags"),
        ("compute.networks.patch", "compute.networks.update"),
    ],
)
def test_permissions_have_their_own_verbs(method: str, permission: str) -> None:
    assert permission_of(method) == permission
