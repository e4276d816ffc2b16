# SPDX-License-Identifier: GPL-3.0-or-later
"""The command, as any user types it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
from pathlib import Path

COMMAND = str(Path(sys.executable).with_name("cloudspill-sandbox"))


def free_port() -> int:
    """A port that nobody has; it stays free over restarts, below those that connections take."""
    for port in random.SystemRandom().sample(range(20000, 32768), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise RuntimeError("a hundred ports of the loopback are all taken")


class Shell:
    """Runs the command with a state of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.environment = os.environ | {
            "CLOUDSPILL_SANDBOX": "cli",
            "CLOUDSPILL_SANDBOX_PORT": str(self.port),
            "CLOUDSPILL_STATE_ROOT": str(folder / "state"),
            "CLOUDSPILL_RUN_ROOT": str(folder / "run"),
        }

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def status(self) -> dict[str, object]:
        document: dict[str, object] = json.loads(self("status", "--output", "json").stdout)
        return document
