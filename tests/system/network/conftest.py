# SPDX-License-Identifier: GPL-3.0-or-later
"""A running VPC on a host of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cloudspill_sandbox.network.router import NamespaceNetwork
from cloudspill_sandbox.settings import Settings
from tests.system.network.guests import A, B, C
from tests.system.network.vpc_host import NAME, host_of_its_own


@pytest.fixture
def host() -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("needs root for network namespaces")
    with host_of_its_own():
        yield


@pytest.fixture
async def network(host: None, tmp_path: Path) -> AsyncIterator[NamespaceNetwork]:
    """The VPC with A and B in one network and C in another; nothing is applied yet."""
    running = NamespaceNetwork(Settings(name=NAME, state_root=tmp_path))
    await running.start()
    try:
        await asyncio.gather(*(running.attach((nic,)) for nic in (A, B, C)))
        yield running
    finally:
        await running.stop()
