# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's own playbooks, run against the target of the contract tests."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .target import Target

ROOT = Path(__file__).parents[2]
DEADLINE = 240


@dataclass(frozen=True, slots=True)
class Play:
    """What came of a playbook run.

    Attributes:
        status: of ansible-playbook.
        output: all that it said, with every run of white space as one space.
    """

    status: int
    output: str

    @property
    def changed(self) -> int:
        """Tasks that said `changed`, over all hosts."""
        return sum(int(count) for count in re.findall(r"\bchanged=(\d+)", self.output))


@dataclass(frozen=True, slots=True)
class Plays:
    """Runs playbooks of the collection.

    Attributes:
        home: the user's folder: ssh keys and caches go there.
        key_file: key of the service account that they run as.
    """

    target: Target
    home: Path
    key_file: Path

    def run(self, playbook: str, *options: str, **variables: Any) -> Play:
        """Run `playbooks/<playbook>` with variables of roles."""
        given: Mapping[str, Any] = {
            "cloudspill_environment": dict(self.target.variables),
            "gcp_project": self.target.project,
            "gcp_auth_kind": "serviceaccount",
            "gcp_service_account_file": str(self.key_file),
            "flask_app_repository": "https://git.example.com/app.git",
            "ansible_python_interpreter": sys.executable,
            **variables,
        }
        program = Path(sys.executable).with_name("ansible-playbook")
        words = [str(program), "-i", "localhost,", "-c", "local", "-e", json.dumps(given)]
        done = subprocess.run(
            [*words, *options, f"playbooks/{playbook}"],
            cwd=ROOT,
            env=self.target.shell(HOME=str(self.home), ANSIBLE_FORCE_COLOR="0"),
            timeout=DEADLINE,
            capture_output=True,
            text=True,
            check=False,
        )
        return Play(done.returncode, " ".join((done.stdout + done.stderr).split()))
