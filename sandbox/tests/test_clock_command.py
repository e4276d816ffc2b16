# SPDX-License-Identifier: GPL-3.0-or-later
"""The cloud's time set ahead under clients whose own clocks are not."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import google.auth
import google.auth.transport.requests
import pytest
import requests
from google.auth.transport.requests import AuthorizedSession
from google.oauth2 import id_token, service_account

from .shell import Shell

SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]
COMPUTE = "https://compute.googleapis.com/compute/v1/projects/cloudspill-sandbox"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A running sandbox in memory."""
    subject = Shell(tmp_path)
    try:
        assert subject("up", "--in-memory").returncode == 0
        yield subject
    finally:
        subject("down")


@pytest.fixture
def _as_a_client(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in json.loads(shell("env", "--output", "json").stdout).items():
        monkeypatch.setenv(name, value)


def ahead(shell: Shell) -> float:
    """Seconds by which the cloud's clock is ahead, as `status` says."""
    clock = shell.status()["clock"]
    assert isinstance(clock, dict)
    return float(clock["ahead_seconds"])


def test_the_clock_is_set_ahead_and_said_to_be(shell: Shell) -> None:
    assert ahead(shell) == 0
    assert "clock" not in shell("status").stdout
    assert "the host's" in shell("clock", "show").stdout
    assert "1:30:00 ahead of the host" in shell("clock", "advance", "5400").stdout
    shown = json.loads(shell("clock", "show", "--output", "json").stdout)
    assert shown["ahead_seconds"] == 5400
    assert "1:30:00 ahead of the host" in shell("status").stdout


def test_a_reset_sets_the_clock_back(shell: Shell) -> None:
    assert shell("clock", "advance", "5400").returncode == 0
    assert shell("reset").returncode == 0
    assert ahead(shell) == 0


@pytest.mark.parametrize(
    ("seconds", "sentence"),
    [("-5", "only goes forward"), ("0", "only goes forward"), ("1e300", "year 9999")],
)
def test_a_clock_that_cannot_be_set_stays(shell: Shell, seconds: str, sentence: str) -> None:
    refused = shell("clock", "advance", seconds)
    assert (refused.returncode, sentence in refused.stderr) == (1, True), refused.stderr
    assert ahead(shell) == 0


def test_without_a_sandbox_there_is_no_clock(tmp_path: Path) -> None:
    assert Shell(tmp_path)("clock", "advance", "5").returncode == 3


@pytest.mark.usefixtures("_as_a_client")
def test_clients_renew_what_expired_with_assertions_of_their_own_time(shell: Shell) -> None:
    credentials, _ = google.auth.default(scopes=SCOPES)
    with AuthorizedSession(credentials) as session:
        assert session.get(COMPUTE).status_code == 200
        before = credentials.token
        assert shell("clock", "advance", "3000").returncode == 0
        assert session.get(COMPUTE).status_code == 200
        assert credentials.token == before, "it still lives"
        assert shell("clock", "advance", "3000").returncode == 0
        stale = requests.get(COMPUTE, headers={"Authorization": f"Bearer {before}"}, timeout=10)
        assert stale.status_code == 401
        assert session.get(COMPUTE).status_code == 200
        assert credentials.token != before


@pytest.mark.usefixtures("_as_a_client")
def test_a_self_signed_jwt_lives_by_the_time_of_who_signed_it(shell: Shell) -> None:
    credentials, _ = google.auth.default(scopes=SCOPES)
    assert isinstance(credentials, service_account.Credentials)
    signed = credentials.with_always_use_jwt_access(True)
    with AuthorizedSession(signed) as session:
        assert session.get(COMPUTE).status_code == 200
        assert shell("clock", "advance", str(30 * 24 * 3600)).returncode == 0
        assert session.get(COMPUTE).status_code == 200


@pytest.mark.usefixtures("_as_a_client")
def test_identity_tokens_hold_where_the_clock_is_not_ahead(shell: Shell) -> None:
    assert shell("clock", "advance", str(30 * 24 * 3600)).returncode == 0
    request = google.auth.transport.requests.Request()
    credentials = service_account.IDTokenCredentials.from_service_account_file(
        os.environ["GOOGLE_APPLICATION_CREDENTIALS"], target_audience="https://example.com"
    )
    credentials.refresh(request)
    claims = id_token.verify_oauth2_token(credentials.token, request, "https://example.com")
    assert claims["aud"] == "https://example.com"
