# SPDX-License-Identifier: GPL-3.0-or-later
"""A sandbox's process as a child of the test: started, killed at any moment, started again."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

from cloudspill_sandbox.control import protocol
from cloudspill_sandbox.settings import LatencyProfile, Settings

STOP_TIMEOUT = 160.0


class DidNotStartError(RuntimeError):
    """The sandbox ended before its API answered; the message is what it said."""


class SandboxProcess:
    """One sandbox through its lives.

    Args:
        settings: of the sandbox.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._daemon: subprocess.Popen[bytes] | None = None
        self._pipe = -1

    def launch(self, latency: LatencyProfile = LatencyProfile.INSTANT, seed: int = 0) -> None:
        """Start the process and return at once."""
        self.settings = dataclasses.replace(self.settings, latency=latency, seed=seed)
        self.settings.state_dir.mkdir(parents=True, exist_ok=True)
        self._pipe, writer = os.pipe()
        with self.settings.log_file.open("ab") as log:
            self._daemon = subprocess.Popen(
                [sys.executable, "-m", "cloudspill_sandbox.daemon", str(writer)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=os.environ | self.settings.to_environment(),
                pass_fds=(writer,),
                start_new_session=True,
            )
        os.close(writer)

    def wait_until_ready(self) -> None:
        """Return when the API answers.

        Raises:
            DidNotStartError: it never will.
        """
        pipe, self._pipe = self._pipe, -1
        last = "nothing"
        for message in protocol.messages(pipe):
            if message.kind == "ready":
                return
            last = message.text
        raise DidNotStartError(f"the last that it said was {last!r}; see {self.settings.log_file}")

    def ask_to_stop(self) -> None:
        """Send SIGTERM."""
        if self._daemon is not None:
            self._daemon.terminate()

    def kill(self) -> None:
        """Send SIGKILL and return when the process is gone; no error when it is gone already."""
        if self._daemon is not None:
            self._daemon.kill()
        self._wait()

    def stop(self) -> None:
        """As `cloudspill-sandbox down`."""
        self.ask_to_stop()
        self._wait()

    def _wait(self) -> None:
        if self._daemon is not None:
            self._daemon.wait(STOP_TIMEOUT)
            self._daemon = None
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1


def settings_below(directory: Path, name: str, port: int) -> Settings:
    """Return the settings of a sandbox of in-memory machines that keeps its state in a folder."""
    return Settings(
        name=name,
        port=port,
        state_root=directory / "state",
        run_root=directory / "run",
        in_memory=True,
        keep_state=True,
    )
