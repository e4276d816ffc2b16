# SPDX-License-Identifier: GPL-3.0-or-later
"""The command against a sandbox in memory, as any user runs it."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import google.auth
import pytest
from google.auth.transport.requests import AuthorizedSession

from .shell import COMMAND, Shell, free_port


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A command line whose sandbox is ended whatever happens."""
    subject = Shell(tmp_path)
    try:
        yield subject
    finally:
        subject("down")


def test_reset_of_a_sandbox_in_memory_starts_one_in_memory_again(shell: Shell) -> None:
    assert shell("up", "--in-memory").returncode == 0
    before = shell.status()
    done = shell("reset")
    assert done.returncode == 0, done.stderr
    after = shell.status()
    assert after["in_memory"] is True
    assert after["port"] == before["port"]
    assert after["pid"] != before["pid"]


def test_a_latency_profile_is_shown_kept_by_reset_and_not_changed_underway(shell: Shell) -> None:
    started = shell("up", "--in-memory", "--latency", "gce", "--seed", "7")
    assert started.returncode == 0, started.stderr
    assert (shell.status()["latency"], shell.status()["seed"]) == ("gce", 7)
    assert shell("up", "--in-memory").returncode == 0
    for arguments, runs in (
        (["--latency", "instant"], "latency gce"),
        (["--seed", "8"], "seed 7"),
        (["--port", str(free_port())], f"port {shell.port}"),
    ):
        refused = shell("up", "--in-memory", *arguments)
        assert refused.returncode == 1
        assert f"the sandbox is up with {runs}, not " in refused.stderr
    assert shell("reset").returncode == 0
    assert (shell.status()["latency"], shell.status()["seed"]) == ("gce", 7)


def test_a_sandbox_of_another_kind_than_the_running_one_is_refused(shell: Shell) -> None:
    assert shell("up", "--in-memory").returncode == 0
    for words, reason in (
        (("up",), "up in memory, without machines"),
        (("up", "--in-memory", "--keep-state"), "up without --keep-state"),
    ):
        refused = shell(*words)
        assert refused.returncode == 1
        assert reason in refused.stderr
    shell.environment["CLOUDSPILL_SANDBOX_KEEP_STATE"] = "1"
    refused = shell("up", "--in-memory")
    assert "up without --keep-state" in refused.stderr
    assert shell("down").returncode == 0
    assert shell("up", "--in-memory").returncode == 0
    assert shell("up", "--in-memory", "--keep-state").returncode == 0


def test_reset_keeps_the_quotas(shell: Shell) -> None:
    assert shell("up", "--in-memory", "--quota", "CPUS=8").returncode == 0
    assert shell("reset").returncode == 0
    assert shell.status()["quotas"] == "CPUS=8"


def test_a_seed_without_a_profile_that_draws_is_refused(shell: Shell) -> None:
    refused = shell("up", "--in-memory", "--seed", "7")
    assert refused.returncode == 1
    assert "--latency gce" in refused.stderr
    assert shell.status() == {"running": False}


def test_down_does_not_wait_for_what_waits_as_on_google_cloud(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell("up", "--in-memory", "--latency", "gce")
    for name, value in json.loads(shell("env", "--output", "json").stdout).items():
        monkeypatch.setenv(name, value)
    credentials, project = google.auth.default(
        scopes=["https://www.googleapis.com/auth/cloud-platform"]
    )
    images = f"https://compute.googleapis.com/compute/v1/projects/{project}/global/images"
    debian = "projects/debian-cloud/global/images/family/debian-12"
    with AuthorizedSession(credentials) as session:
        operation = session.post(images, json={"name": "copy", "sourceImage": debian}).json()
    assert operation["status"] == "RUNNING", operation
    began = time.monotonic()
    assert shell("down").returncode == 0
    assert time.monotonic() - began < 8  # an image takes two minutes, a stop waits ten seconds


def test_after_a_kill_env_says_that_nothing_runs(shell: Shell) -> None:
    shell("up", "--in-memory")
    assert "HTTPS_PROXY" in shell("env").stdout
    pid = shell.status()["pid"]
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    refused = shell("env")
    assert (refused.returncode, refused.stdout) == (3, "")
    assert "cloudspill-sandbox up" in refused.stderr
    assert shell("up", "--in-memory").returncode == 0


def test_two_ups_at_once_both_end_well_with_one_sandbox(shell: Shell) -> None:
    commands = [
        subprocess.Popen(
            [COMMAND, "up", "--in-memory"],
            env=shell.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    ended = [(command.communicate(timeout=60)[1], command.returncode) for command in commands]
    assert [status for _, status in ended] == [0, 0, 0], ended
    pid = shell.status()["pid"]
    assert all(f"pid {pid}" in said for said, _ in ended)


def test_of_two_ups_at_once_that_differ_one_is_refused(shell: Shell) -> None:
    commands = {
        latency: subprocess.Popen(
            [COMMAND, "up", "--in-memory", "--latency", latency],
            env=shell.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for latency in ("gce", "instant")
    }
    said = {latency: command.communicate(timeout=60)[1] for latency, command in commands.items()}
    runs = shell.status()["latency"]
    (refused,) = {"gce", "instant"} - {runs}
    assert {latency: command.returncode for latency, command in commands.items()} == {
        runs: 0,
        refused: 1,
    }
    assert f"the sandbox is up with latency {runs}, not {refused}" in said[refused]


def test_what_a_client_sends_cannot_forge_lines_of_the_log(shell: Shell) -> None:
    shell("up", "--in-memory")
    with socket.create_connection(("127.0.0.1", shell.port)) as connection:
        connection.sendall(b"CONNECT a\x1b[31mforged:443 HTTP/1.1\r\n\r\n")
        connection.recv(4096)
    log = (shell.folder / "state" / "cli" / "sandbox.log").read_text()
    assert "\x1b" not in log


def test_bytes_that_are_no_text_cost_one_line_of_the_log(shell: Shell) -> None:
    shell("up", "--in-memory")
    bundle = json.loads(shell("env", "--output", "json").stdout)["SSL_CERT_FILE"]
    trusting = ssl.create_default_context(cafile=bundle)
    with socket.create_connection(("127.0.0.1", shell.port)) as connection:
        connection.sendall(b"CONNECT compute.googleapis.com:443 HTTP/1.1\r\n\r\n")
        connection.recv(4096)
        with trusting.wrap_socket(connection, server_hostname="compute.googleapis.com") as secure:
            secure.sendall(b"GET /odd HTTP/1.1\r\nHost: no\xffname\r\n\r\n")
            assert secure.recv(4096).startswith(b"HTTP/1.1 404 ")
    log = (shell.folder / "state" / "cli" / "sandbox.log").read_text()
    assert "Traceback" not in log
    assert "404 GET no\\udcffname/odd" in shell("log").stdout


def test_down_leaves_no_socket_and_a_second_down_finds_nothing(shell: Shell) -> None:
    shell("up", "--in-memory")
    assert shell("down").returncode == 0
    assert not (shell.folder / "run" / "cli" / "admin.sock").exists()
    assert shell("down").stderr.strip().endswith("the sandbox was not running")


@pytest.mark.parametrize(
    "arguments",
    [
        ["serial", "no such"],
        ["ssh", "absent"],
        ["up", "--publish", "app"],
        ["up", "--port", "9"],
    ],
)
def test_odd_arguments_are_refused_in_one_sentence(shell: Shell, arguments: list[str]) -> None:
    shell("up", "--in-memory")
    refused = shell(*arguments)
    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert line.startswith("cloudspill-sandbox: ")


@pytest.mark.parametrize("root", ["/proc", "/dev/null"])
def test_a_state_folder_that_cannot_be_made_is_named(shell: Shell, root: str) -> None:
    shell.environment["CLOUDSPILL_STATE_ROOT"] = root
    refused = shell("up", "--in-memory")
    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert root in line


def test_a_sandbox_with_machines_must_be_found_by_its_name_alone(shell: Shell) -> None:
    refused = shell("up")
    assert refused.returncode == 1
    assert "CLOUDSPILL_RUN_ROOT" in refused.stderr
