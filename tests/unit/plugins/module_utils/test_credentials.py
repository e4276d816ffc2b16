# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials: what is accepted, and what a refusal says."""

from __future__ import annotations

import errno
import grp
import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cloudspill.gcp.plugins.module_utils.api_errors import CredentialsError
from ansible_collections.cloudspill.gcp.plugins.module_utils.credentials import (
    load_credentials,
    unreadable,
)
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A service account's key that is sound."""
    private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = tmp_path / "key.json"
    path.touch(mode=0o600)
    path.write_text(
        json.dumps(
            {
                "type": "service_account",
                "client_email": "ansible@acme.iam.gserviceaccount.com",
                "private_key": pem.decode(),
                "token_uri": "https://oauth2.googleapis.com/token",
            }
        )
    )
    return path


def service_account(path: object) -> dict[str, Any]:
    return {"auth_kind": "serviceaccount", "service_account_file": str(path)}


def change(key_file: Path, **fields: Any) -> None:
    key_file.write_text(json.dumps({**json.loads(key_file.read_text()), **fields}))


def test_a_key_file_is_accepted_as_file_and_as_contents(key_file: Path) -> None:
    by_contents = {
        "auth_kind": "serviceaccount",
        "service_account_contents": key_file.read_text(),
    }
    for options in (service_account(key_file), by_contents):
        email = load_credentials(options).service_account_email
        assert email == "ansible@acme.iam.gserviceaccount.com"


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match=r"none\.json: No such file or directory"):
        load_credentials(service_account(tmp_path / "none.json"))


def test_a_key_that_everybody_can_read_is_refused_with_the_command_that_mends_it(
    key_file: Path,
) -> None:
    key_file.chmod(0o644)
    with pytest.raises(CredentialsError, match=rf"run `chmod 600 {key_file}`"):
        load_credentials(service_account(key_file))


def test_a_file_that_is_no_json_is_not_quoted(key_file: Path) -> None:
    key_file.write_text("-----BEGIN PRIVATE KEY----- secret")
    with pytest.raises(CredentialsError, match="is no JSON") as caught:
        load_credentials(service_account(key_file))
    assert "secret" not in str(caught.value)


def test_missing_fields_of_a_key_are_named(key_file: Path) -> None:
    change(key_file, private_key="", token_uri=None)
    with pytest.raises(CredentialsError, match=r"\(private_key, token_uri missing\)"):
        load_credentials(service_account(key_file))


def test_a_malformed_private_key_names_its_account_alone(key_file: Path) -> None:
    change(key_file, private_key="-----BEGIN PRIVATE KEY-----\nsecret\n")
    with pytest.raises(CredentialsError, match=r"private key of ansible@acme") as caught:
        load_credentials(service_account(key_file))
    assert "secret" not in str(caught.value)


def test_a_kind_without_what_it_needs_says_what_to_set() -> None:
    with pytest.raises(CredentialsError, match="set gcp_service_account_file"):
        load_credentials({"auth_kind": "serviceaccount"})
    with pytest.raises(CredentialsError, match="set access_token"):
        load_credentials({"auth_kind": "accesstoken"})


def test_default_credentials_that_do_not_exist_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "gone.json"))
    with pytest.raises(CredentialsError, match=r"gone\.json, which does not exist"):
        load_credentials({"auth_kind": "application"})


@pytest.mark.parametrize("kind", ["application", "serviceaccount"])
def test_a_key_file_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path))
    with pytest.raises(CredentialsError, match=rf"cannot read the key file {tmp_path}: Is a dir"):
        load_credentials({"auth_kind": kind, "service_account_file": str(tmp_path)})


def test_a_key_file_of_another_user_says_who_can_read_it_and_what_to_do(key_file: Path) -> None:
    key_file.chmod(0o640)
    owner = pwd.getpwuid(os.getuid()).pw_name
    group = grp.getgrgid(key_file.stat().st_gid).gr_name
    refused = PermissionError(errno.EACCES, "Permission denied")
    assert str(unreadable(key_file, refused)) == (
        f"only {owner} and the group {group} can read the key file {key_file}: run this as "
        f"{owner}, or ask {owner} for a key and a target of your own"
    )
    key_file.chmod(0o600)
    assert str(unreadable(key_file, refused)).startswith(f"only {owner} can read the key file")
