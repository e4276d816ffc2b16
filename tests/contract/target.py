# SPDX-License-Identifier: GPL-3.0-or-later
"""The cloud that the contract tests talk to: a sandbox of their own, or Google's.

Without more, a sandbox in memory is started for the tests. To point the very same tests at Google
Cloud, name it, a project and a key file; nothing else changes:

    CLOUDSPILL_CONTRACT_TARGET=gcp GCP_PROJECT=my-project \\
        GOOGLE_APPLICATION_CREDENTIALS=key.json .venv/bin/pytest tests/contract

They make small resources whose names begin with a token of the run, and delete those again. What
holds for the sandbox alone (its 501s, its log, its size) is skipped there.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

START_TIMEOUT = 60.0
STOP_TIMEOUT = 160.0


@dataclass(frozen=True, slots=True)
class Target:
    """A cloud and how clients reach it.

    Attributes:
        variables: what a user's shell would hold; a client needs nothing else.
        log: the sandbox's log; None on Google Cloud.
        admin: the sandbox's admin socket; None on Google Cloud.
        answers: what the sandbox's witness wrote (engine/witness.py); None on Google Cloud.
    """

    variables: Mapping[str, str]
    log: Path | None = None
    admin: Path | None = None
    answers: Path | None = None
    region: str = "us-west1"
    zone: str = "us-west1-b"

    @property
    def project(self) -> str:
        """Id of the project."""
        return self.variables["GCP_PROJECT"]

    @property
    def endpoint(self) -> str:
        """Where the sandbox answers a client whose endpoint is overridden."""
        return self.variables["HTTPS_PROXY"]

    @property
    def key_file(self) -> Path:
        """Service-account key file."""
        return Path(self.variables["GOOGLE_APPLICATION_CREDENTIALS"])

    @property
    def email(self) -> str:
        """Address of the service account."""
        return str(json.loads(self.key_file.read_text())["client_email"])

    def shell(self, **more: str) -> dict[str, str]:
        """Return an environment for a client that is a program."""
        return os.environ | dict(self.variables) | more


@contextlib.contextmanager
def chosen(directory: Path) -> Iterator[Target]:
    """Give the target that the environment names.

    Raises:
        RuntimeError: the environment names an incomplete one, or the sandbox does not start.
    """
    name = os.environ.get("CLOUDSPILL_CONTRACT_TARGET", "sandbox")
    if name == "gcp":
        yield Target(_of_google())
    elif name == "sandbox":
        with sandbox(directory) as target:
            yield target
    else:
        raise RuntimeError(f"CLOUDSPILL_CONTRACT_TARGET={name!r}: it is `sandbox` or `gcp`")


@contextlib.contextmanager
def sandbox(directory: Path, *options: str) -> Iterator[Target]:
    """Run a sandbox in memory, with all its files in `directory`; it needs no root.

    Args:
        options: more of `cloudspill-sandbox up`.

    Raises:
        RuntimeError: it does not start; the message holds what it said.
    """
    variables = os.environ | {
        "CLOUDSPILL_SANDBOX": "contract",
        "CLOUDSPILL_SANDBOX_PORT": str(_free_port()),
        "CLOUDSPILL_STATE_ROOT": str(directory / "state"),
        "CLOUDSPILL_RUN_ROOT": str(directory / "run"),
        "CLOUDSPILL_SANDBOX_WITNESS": str(directory / "answers.jsonl"),
    }
    try:
        _sandbox(variables, START_TIMEOUT, "up", "--in-memory", *options)
        environment = _sandbox(variables, START_TIMEOUT, "env", "--output", "json")
        yield Target(
            json.loads(environment),
            log=directory / "state/contract/sandbox.log",
            admin=directory / "run/contract/admin.sock",
            answers=directory / "answers.jsonl",
        )
    finally:
        _sandbox(variables, STOP_TIMEOUT, "down")


def _sandbox(variables: Mapping[str, str], timeout: float, *arguments: str) -> str:
    program = Path(sys.executable).with_name("cloudspill-sandbox")
    done = subprocess.run(
        [program, *arguments],
        env=variables,
        timeout=timeout,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"cloudspill-sandbox {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _of_google() -> dict[str, str]:
    names = ("GCP_PROJECT", "GOOGLE_APPLICATION_CREDENTIALS")
    if missing := [name for name in names if name not in os.environ]:
        raise RuntimeError(f"for CLOUDSPILL_CONTRACT_TARGET=gcp set {' and '.join(missing)}")
    project, key_file = (os.environ[name] for name in names)
    return {
        "GCP_PROJECT": project,
        "GOOGLE_APPLICATION_CREDENTIALS": key_file,
        "GOOGLE_CLOUD_PROJECT": project,
        "CLOUDSDK_CORE_PROJECT": project,
        "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE": key_file,
    }
