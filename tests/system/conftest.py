# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox of the system tests.

Only one sandbox can run on a host. One that a person runs is stopped for the length of the tests
and started again after them: its instances boot on their disks, with their addresses.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.sandbox import Sandbox, host_to_ourselves

VARIABLES = {"CLOUDSPILL_SANDBOX": "systest", "CLOUDSPILL_SANDBOX_PORT": "8461"}


@pytest.fixture(scope="session")
def host() -> Iterator[None]:
    """The host without a person's sandbox."""
    if os.geteuid() != 0:
        pytest.skip("needs root: the sandbox makes namespaces and mounts")
    with host_to_ourselves():
        yield


@pytest.fixture(scope="module")
def sandbox(host: None) -> Iterator[Sandbox]:
    """A sandbox that does not run yet; whatever a test leaves of it is removed afterwards."""
    # ssh keeps its shared connections below the home, and the path of a socket must be short.
    with tempfile.TemporaryDirectory(prefix="home-", ignore_cleanup_errors=True) as home:
        subject = Sandbox(Path(home), VARIABLES)
        subject.destroy()
        try:
            yield subject
        finally:
            subject.destroy()


@pytest.fixture(scope="module")
def running(sandbox: Sandbox) -> Sandbox:
    """The sandbox, up and empty."""
    sandbox.up()
    return sandbox
