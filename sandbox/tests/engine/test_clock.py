# SPDX-License-Identifier: GPL-3.0-or-later
"""A clock that is set ahead, and those who wait for it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cloudspill_sandbox.engine.clock import Clock
from cloudspill_sandbox.engine.store import Store

NOW = 1_800_000_000.0


@dataclass
class Host:
    """The host's clock."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "state.sqlite3")
    yield store
    store.close()


@pytest.fixture
def clock(store: Store, host: Host) -> Clock:
    return Clock(store, host)


def test_it_is_the_hosts_until_it_is_set_ahead(clock: Clock, host: Host) -> None:
    host.now += 5
    assert (clock(), clock.offset) == (NOW + 5, 0)
    assert clock.advance(60) == 60
    assert clock.advance(0.5) == 60.5
    host.now += 1
    assert (clock(), clock.offset) == (NOW + 66.5, 60.5)


@pytest.mark.parametrize("seconds", [0, -1, math.nan, -math.inf, math.inf, 1e12])
def test_it_never_stands_goes_back_or_leaves_the_calendar(
    clock: Clock, store: Store, host: Host, seconds: float
) -> None:
    clock.advance(60)
    with pytest.raises(ValueError, match="the clock"):
        clock.advance(seconds)
    assert clock() == NOW + 60
    assert Clock(store, host)() == NOW + 60


def test_a_new_life_does_not_step_back(clock: Clock, host: Host, tmp_path: Path) -> None:
    clock.advance(3600)
    again = Store(tmp_path / "state.sqlite3")  # what a kill at this moment would have left
    try:
        assert Clock(again, host)() == NOW + 3600
    finally:
        again.close()


async def test_a_time_is_reached_by_setting_the_clock_ahead(clock: Clock) -> None:
    waiting = asyncio.create_task(clock.reached(NOW + 100))
    other = asyncio.create_task(clock.reached(NOW + 1000))
    await asyncio.sleep(0)
    clock.advance(99)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    clock.advance(1)
    await waiting
    assert not other.done()
    other.cancel()


async def test_a_time_is_reached_by_waiting(store: Store) -> None:
    clock = Clock(store)
    until = clock() + 0.02
    await clock.reached(until)
    assert clock() >= until
    await clock.reached(until)  # what is past is reached


async def test_who_waits_no_more_is_forgotten(clock: Clock) -> None:
    waiting = asyncio.create_task(clock.reached(NOW + 100))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert clock._waiting == set()
