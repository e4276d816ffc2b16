# SPDX-License-Identifier: GPL-3.0-or-later
"""The gcloud command as its user has it: https://cloud.google.com/sdk/gcloud/reference."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from .target import Target

DEADLINE = 180


class Gcloud:
    """Runs gcloud with a configuration folder of its own.

    Args:
        folder: for the configuration.
        group: what every command begins with, `compute`.
        more: further variables of its environment.

    Attributes:
        environment: of every command.
    """

    def __init__(self, target: Target, folder: Path, *group: str, **more: str) -> None:
        self._group = group
        self.environment = target.shell(
            CLOUDSDK_CONFIG=str(folder),
            CLOUDSDK_CORE_DISABLE_PROMPTS="1",
            CLOUDSDK_CORE_DISABLE_USAGE_REPORTING="true",
            CLOUDSDK_COMPUTE_ZONE=target.zone,
            CLOUDSDK_COMPUTE_REGION=target.region,
            **more,
        )

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Return how a command ended."""
        return subprocess.run(
            ["gcloud", *self._group, *words, "--format=json"],
            env=self.environment,
            timeout=DEADLINE,
            capture_output=True,
            text=True,
            check=False,
        )

    def __call__(self, *words: str) -> Any:
        """Return what a command printed; it must end well and without a warning."""
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        assert "WARNING" not in done.stderr
        return json.loads(done.stdout or "null")
