# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines of two projects: apart on the network, and each knows its own project."""

from __future__ import annotations

import functools
import json

import pytest

from tests.system.sandbox import Sandbox, eventually, opens

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(280)]

ONE, TWO = "acme-one", "acme-two"
ZONE = "us-west1-b"
PROJECT = "http://metadata.google.internal/computeMetadata/v1/project/project-id"


def create(sandbox: Sandbox, project: str, name: str) -> tuple[str, str]:
    """Make an instance as the project's owner; return its internal and external address."""
    said = sandbox.cli("env", "--project", project, "--output", "json").stdout
    words = ("gcloud", "compute", "instances", "create", name, "--zone", ZONE)
    made = sandbox.run(*words, "--machine-type", "f1-micro", "--format", "json",
                       extra=json.loads(said)).stdout  # fmt: skip
    (interface,) = json.loads(made)[0]["networkInterfaces"]
    return interface["networkIP"], interface["accessConfigs"][0]["natIP"]


def shell(sandbox: Sandbox, name: str, *words: str) -> tuple[int, str]:
    done = sandbox.cli("ssh", name, *words, check=False)
    return done.returncode, done.stdout


def test_machines_of_two_projects_are_apart(sandbox: Sandbox) -> None:
    sandbox.up("--project", ONE, "--project", TWO)
    places = {"first": ONE, "second": ONE, "other": TWO}
    addresses = {name: create(sandbox, project, name) for name, project in places.items()}
    for name, (_, external) in addresses.items():
        answers = functools.partial(opens, external, 22)
        eventually(answers, 60, f"{name} answers on port 22")
    reach = ("timeout", "3", "bash", "-c")
    inside = {name: f"echo > /dev/tcp/{internal}/22" for name, (internal, _) in addresses.items()}
    reached = functools.partial(shell, sandbox, "first", *reach, inside["second"])
    eventually(lambda: reached()[0] == 0, 60, "first reaches second")
    assert shell(sandbox, "first", *reach, inside["other"])[0] != 0
    assert shell(sandbox, "other", *reach, inside["first"])[0] != 0
    asked = ("curl", "-s", "-H", "Metadata-Flavor:Google", PROJECT)
    assert shell(sandbox, "first", *asked) == (0, ONE)
    assert shell(sandbox, "other", *asked) == (0, TWO)
    assert shell(sandbox, "other", "hostname", "-f")[1].strip().endswith(f".c.{TWO}.internal")
