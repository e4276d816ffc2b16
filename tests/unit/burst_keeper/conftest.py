# SPDX-License-Identifier: GPL-3.0-or-later
"""A keeper that runs, and a monitor's stream to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.unit.burst_keeper.bench import Bench, Stream


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the VM is."""
    return tmp_path


@pytest_asyncio.fixture
async def bench(folder: Path) -> AsyncIterator[Bench]:
    """A VM with a keeper."""
    bench = Bench(folder)
    async with bench.running():
        yield bench


@pytest_asyncio.fixture
async def stream(bench: Bench) -> AsyncIterator[Stream]:
    """A stream whose tokens come back."""
    async with bench.stream() as stream:
        yield stream
