# SPDX-License-Identifier: GPL-3.0-or-later
"""A refusal quotes to the client what was wrong; the log says only where it stood."""

from __future__ import annotations

import logging

import pytest

from cloudspill_sandbox.front.http import HttpRequest, headers
from cloudspill_sandbox.front.oauth import OAuthEndpoint

from .conftest import INSTANCES, World

SECRET = "-----BEGIN PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("body", "logged"),
    [
        (
            f'{{"canIpForward": "{SECRET}"}}',
            "Invalid value at 'resource.can_ip_forward' (TYPE_BOOL)",
        ),
        (f'{{"disks": ["{SECRET}"]}}', "Invalid value at 'resource.disks[0]'"),
        (f'{{"labels": {{"a": ["{SECRET}"]}}}}', "cannot start list."),
        (f'{{"name": "a" {SECRET}}}', "Unexpected token."),
    ],
)
async def test_no_value_of_a_refused_body_is_logged(
    world: World, caplog: pytest.LogCaptureFixture, body: str, logged: str
) -> None:
    caplog.set_level(logging.DEBUG)
    response = await world.ask("POST", INSTANCES, body.encode())
    assert response.status == 400
    (line,) = [record.getMessage() for record in caplog.records]
    assert logged in line
    assert "BEGIN" not in line


async def test_the_client_gets_the_value_that_was_wrong(world: World) -> None:
    response = await world.ask("POST", INSTANCES, f'{{"canIpForward": "{SECRET}"}}'.encode())
    assert SECRET in response.body.decode()


async def test_no_value_of_a_refused_token_request_is_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    body = b"grant_type=a%0Ab&refresh_token=secret"
    endpoint = OAuthEndpoint(world.authenticator)
    response = endpoint.answer(
        HttpRequest("POST", "oauth2.googleapis.com", "/token", headers({}), body)
    )
    assert b"Invalid grant_type: a\\nb" in response.body
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("oauth2.token POST oauth2.googleapis.com/token: 400 in ")
    assert line.endswith(" (unsupported_grant_type: Invalid grant_type)")
