# SPDX-License-Identifier: GPL-3.0-or-later
"""google-auth: key files, self-signed tokens and identity tokens."""

from __future__ import annotations

import datetime

import google.auth
import google.auth.transport.requests
import pytest
import requests
from google.auth import exceptions, jwt
from google.oauth2 import id_token, service_account

from .conftest import SCOPES
from .target import Target

AUDIENCE = "https://compute.googleapis.com/"


def status_with(target: Target, token: str) -> int:
    """Return the status of a list of zones with this token."""
    url = f"https://compute.googleapis.com/compute/v1/projects/{target.project}/zones"
    header = {"Authorization": f"Bearer {token}"}
    return requests.get(url, headers=header, timeout=10).status_code


def test_application_default_credentials_are_the_key_file(target: Target) -> None:
    # https://cloud.google.com/docs/authentication/application-default-credentials
    credentials, project = google.auth.default()
    assert getattr(credentials, "service_account_email", None) == target.email
    assert project == target.project


def test_a_key_file_gives_an_access_token_for_an_hour(target: Target) -> None:
    # https://developers.google.com/identity/protocols/oauth2/service-account
    credentials = service_account.Credentials.from_service_account_file(
        str(target.key_file), scopes=SCOPES
    )
    credentials.refresh(google.auth.transport.requests.Request())
    assert credentials.token.startswith("ya29.")
    left = credentials.expiry.replace(tzinfo=datetime.UTC) - datetime.datetime.now(datetime.UTC)
    assert 3500 < left.total_seconds() <= 3600
    assert status_with(target, credentials.token) == 200


def test_a_self_signed_token_needs_no_token_endpoint(target: Target) -> None:
    # https://google.aip.dev/auth/4111
    credentials = jwt.Credentials.from_service_account_file(str(target.key_file), audience=AUDIENCE)
    credentials.refresh(google.auth.transport.requests.Request())
    assert status_with(target, credentials.token.decode()) == 200


def test_an_identity_token_verifies_against_the_published_keys(target: Target) -> None:
    # https://cloud.google.com/docs/authentication/get-id-token
    request = google.auth.transport.requests.Request()
    credentials = service_account.IDTokenCredentials.from_service_account_file(
        str(target.key_file), target_audience="https://app.example.org"
    )
    credentials.refresh(request)
    claims = id_token.verify_oauth2_token(
        credentials.token, request, audience="https://app.example.org"
    )
    assert claims["email"] == target.email


def test_a_grant_without_scopes_is_refused(target: Target) -> None:
    credentials = service_account.Credentials.from_service_account_file(
        str(target.key_file), scopes=[]
    )
    with pytest.raises(exceptions.RefreshError) as refusal:
        credentials.refresh(google.auth.transport.requests.Request())
    assert refusal.value.args[1]["error"] == "invalid_scope"
