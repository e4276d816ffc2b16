# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks that end before they ask Google for anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def play(tmp_path: Path) -> Run:
    """Run a playbook, with the variables of a target that does not exist and those given."""
    target = {
        "cloudspill_environment": {},
        "gcp_project": "acme",
        "gcp_auth_kind": "serviceaccount",
        "gcp_service_account_file": str(tmp_path / "no-key.json"),
        "flask_app_repository": "https://git.example.com/app.git",
        "instance_ssh_key_file": str(tmp_path / "ssh_key"),
        "ansible_python_interpreter": sys.executable,
    }
    environment = {
        **os.environ,
        "ANSIBLE_HOME": str(tmp_path),
        "ANSIBLE_FORCE_COLOR": "0",
        "COLUMNS": "400",
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
    }

    def run(playbook: str, **variables: object) -> subprocess.CompletedProcess[str]:
        given = json.dumps({**target, **variables})
        command = [str(BIN / "ansible-playbook"), "-i", "localhost,", "-c", "local", "-e", given]
        return subprocess.run(
            [*command, f"playbooks/{playbook}"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run
