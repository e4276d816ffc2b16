# SPDX-License-Identifier: GPL-3.0-or-later
"""What several tests need: processes that are ended afterwards, and a clock moved by hand."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def boottime(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + 1.7e9


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def spawn() -> Iterator[Callable[..., int]]:
    """Starts a command in a session of its own; returns its process id."""
    started: list[subprocess.Popen[bytes]] = []

    def start(command: list[str]) -> int:
        process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
        started.append(process)
        return process.pid

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
