# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens of the instance's service account, and guest attributes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cloudspill_sandbox.metadata.guest_attributes import MAX_TOTAL_BYTES, MAX_VALUE_BYTES

if TYPE_CHECKING:
    from sandbox.tests.metadata.conftest import Client, OneInstance

EMAIL = "415104041262-compute@developer.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
ACCOUNTS = "instance/service-accounts"
GUEST = "instance/guest-attributes"


@pytest.mark.parametrize("account", ["default", EMAIL])
async def test_a_token_is_that_of_the_address_that_asks(client: Client, account: str) -> None:
    status, text, headers = await client.get(f"{ACCOUNTS}/{account}/token")
    assert status == 200
    assert json.loads(text) == {
        "access_token": "token of 127.0.0.1",
        "expires_in": 3599,
        "token_type": "Bearer",
    }
    assert headers["content-type"] == "application/json"


async def test_a_token_may_be_narrowed_to_granted_scopes_only(client: Client) -> None:
    assert (await client.get(f"{ACCOUNTS}/default/token?scopes={SCOPE}"))[0] == 200
    status, text, _ = await client.get(f"{ACCOUNTS}/default/token?scopes={SCOPE},https://a/<b>")
    assert status == 403
    assert "https://a/&lt;b&gt;" in text


async def test_an_identity_token_needs_an_audience(client: Client) -> None:
    status, text, _ = await client.get(f"{ACCOUNTS}/default/identity?audience=https://app")
    assert (status, text) == (200, f"{EMAIL}/https://app")
    _, text, _ = await client.get(f"{ACCOUNTS}/default/identity?audience=https://app&format=full")
    assert text == f"{EMAIL}/https://app/full"
    status, text, _ = await client.get(f"{ACCOUNTS}/default/identity")
    assert (status, text) == (400, "non-empty audience parameter required")
    status, _, _ = await client.get(f"{ACCOUNTS}/default/identity?audience=a&format=brief")
    assert status == 400


@pytest.mark.parametrize("endpoint", ["token", "identity?audience=a", "email"])
async def test_another_account_is_not_found(client: Client, endpoint: str) -> None:
    assert (await client.get(f"{ACCOUNTS}/other@x.iam.gserviceaccount.com/{endpoint}"))[0] == 404


async def test_guest_attributes_are_written_read_and_deleted(client: Client) -> None:
    assert (await client.request("PUT", f"{GUEST}/hostkeys/ssh-rsa", data=b"AAAA"))[0] == 200
    assert (await client.request("PUT", f"{GUEST}/hostkeys/camelKey", data=b"BBBB"))[0] == 200
    assert (await client.get(f"{GUEST}/hostkeys/ssh-rsa"))[:2] == (200, "AAAA")
    assert (await client.get(f"{GUEST}/"))[1] == "hostkeys/\n"
    assert (await client.get(f"{GUEST}/hostkeys/"))[1] == "camelKey\nssh-rsa\n"
    _, text, _ = await client.get(f"{GUEST}/?recursive=true")
    assert json.loads(text) == {"hostkeys": {"camelKey": "BBBB", "ssh-rsa": "AAAA"}}
    assert (await client.request("DELETE", f"{GUEST}/hostkeys/ssh-rsa"))[0] == 200
    assert (await client.get(f"{GUEST}/hostkeys/ssh-rsa"))[0] == 404
    assert (await client.request("DELETE", f"{GUEST}/hostkeys/"))[0] == 200
    assert (await client.get(f"{GUEST}/"))[:2] == (200, "")


@pytest.mark.parametrize("path", ["absent", "absent/key", "a/b/c", ""])
async def test_deleting_what_is_absent_is_not_found(client: Client, path: str) -> None:
    assert (await client.request("DELETE", f"{GUEST}/{path}"))[0] == 404


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_guest_attributes_must_be_enabled(
    client: Client, source: OneInstance, method: str
) -> None:
    source.attributes = None
    status, text, _ = await client.request(method, f"{GUEST}/namespace/key")
    assert (status, text) == (403, "Guest attributes endpoint access is disabled.")


@pytest.mark.parametrize("path", ["namespace", "", "namespace/a/b", "name%20space/key"])
async def test_a_guest_attribute_has_a_namespace_and_a_key(client: Client, path: str) -> None:
    assert (await client.request("PUT", f"{GUEST}/{path}", data=b"value"))[0] == 400


async def test_a_value_that_is_no_text_is_refused(client: Client, source: OneInstance) -> None:
    assert (await client.request("PUT", f"{GUEST}/a/b", data=b"\xff\xfe"))[0] == 400
    assert source.attributes == {}


async def test_a_value_too_large_is_refused_and_nothing_lost(
    client: Client, source: OneInstance
) -> None:
    assert (await client.request("PUT", f"{GUEST}/a/b", data=b"x" * MAX_VALUE_BYTES))[0] == 200
    for size in (MAX_VALUE_BYTES + 1, 3 * MAX_VALUE_BYTES):
        assert (await client.request("PUT", f"{GUEST}/a/b", data=b"y" * size))[0] == 413
    assert source.attributes == {"a": {"b": "x" * MAX_VALUE_BYTES}}


async def test_all_values_together_are_bounded(client: Client, source: OneInstance) -> None:
    source.attributes = {"a": {"b": "x" * (MAX_TOTAL_BYTES - 10)}}
    assert (await client.request("PUT", f"{GUEST}/a/c", data=b"0123456789"))[0] == 413
    assert (await client.request("PUT", f"{GUEST}/a/b", data=b"z" * 100))[0] == 200
