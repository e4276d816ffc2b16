# SPDX-License-Identifier: GPL-3.0-or-later
"""`cloudspill-sandbox log`: each call in one line, each refusal with its reason, no secret."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from .shell import COMMAND, Shell

HOST = "https://compute.googleapis.com/compute/v1/projects/cloudspill-sandbox"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path)
    try:
        assert made("up", "--in-memory").returncode == 0
        yield made
    finally:
        made("down")


def ask(shell: Shell, path: str, **headers: str) -> int:
    variables = json.loads(shell("env", "--output", "json").stdout)
    with requests.Session() as session:
        session.trust_env = False
        session.proxies = {"https": variables["HTTPS_PROXY"]}
        session.verify = variables["SSL_CERT_FILE"]
        return session.get(HOST + path, headers=headers, timeout=10).status_code


def test_a_call_is_a_line_and_a_refusal_says_why(shell: Shell) -> None:
    assert ask(shell, "/global/networks?access_token=hidden-one") == 401
    assert ask(shell, "/nothing", Authorization="Bearer hidden-two") == 404
    every = shell("log").stdout.splitlines()
    assert len(every) == 2
    assert "401 compute.networks.list compute.googleapis.com/compute/v1/" in every[0]
    assert "authError: Request had invalid authentication credentials" in every[0]
    assert "404 GET compute.googleapis.com/compute/v1/projects/cloudspill-sandbox/noth" in every[1]
    assert "hidden" not in "".join(every)
    assert shell("log", "--method", "compute.networks.*").stdout.splitlines() == every[:1]
    assert shell("log", "-n", "1").stdout.splitlines() == every[1:]


def test_it_is_read_by_programs_and_after_the_end(shell: Shell) -> None:
    ask(shell, "/global/networks")
    shell("down")
    (line,) = shell("log", "--refused", "--output", "json").stdout.splitlines()
    record = json.loads(line)
    assert (record["status"], record["method"]) == (401, "compute.networks.list")


def test_who_follows_sees_what_comes(shell: Shell) -> None:
    ask(shell, "/before")
    with subprocess.Popen(
        [COMMAND, "log", "--follow"],
        env=shell.environment | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as following:
        assert following.stdout is not None
        try:
            assert "/before" in following.stdout.readline()
            ask(shell, "/after")
            assert "/after" in following.stdout.readline()
        finally:
            following.terminate()
