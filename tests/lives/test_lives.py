# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing acknowledged is lost, whenever the sandbox is killed: with machines in memory."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.lives import invariants, inventory
from tests.lives.__main__ import free_port
from tests.lives.api import Api
from tests.lives.ledger import Ledger
from tests.lives.load import Client
from tests.lives.process import SandboxProcess, settings_below
from tests.lives.survival import SEED, figure, survived

LONG = [pytest.mark.slow, pytest.mark.exhaustive, pytest.mark.timeout(1200)]


@pytest.mark.parametrize("kills", [10, pytest.param(200, marks=LONG)])
def test_kills_in_memory_lose_nothing(
    tmp_path: Path, kills: int, record_property: Callable[[str, object], None]
) -> None:
    result = survived(settings_below(tmp_path, "lives", free_port()), kills, 6, 0.8)
    assert result.acknowledged.total() > 3 * kills  # on an idle machine, 80 times as many
    record_property("figure", figure(result))


@pytest.fixture
def process(tmp_path: Path) -> Iterator[SandboxProcess]:
    made = SandboxProcess(settings_below(tmp_path, "crowd", free_port()))
    yield made
    made.kill()


def test_fifty_clients_at_once_corrupt_nothing(process: SandboxProcess) -> None:
    """What it takes in time is in bench/load.py."""
    ledger = Ledger()
    names = [f"c{number}" for number in range(50)]
    clients = [Client(name, ledger, random.Random(f"{SEED} {name}")) for name in names]
    process.launch()
    process.wait_until_ready()
    with Api(process.settings) as api:
        api.make_bucket()

    def work(client: Client) -> None:
        with Api(process.settings) as own:
            client.work(own, steps=12)

    with ThreadPoolExecutor(len(clients)) as threads:
        list(threads.map(work, clients))
    assert [wrong for client in clients for wrong in client.tally.wrong] == []
    assert sum(client.tally.acknowledged.total() for client in clients) > 300
    for _ in range(2):  # by what it shows, and by what it kept
        with Api(process.settings) as api:
            assert ledger.audit(api) == []
            assert invariants.violations(inventory.take(api, process.settings)) == []
        process.kill()
        process.launch()
        process.wait_until_ready()
