# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes over the buckets: one at the start, one whenever the clock is advanced, come what may."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cloudspill_sandbox.engine.clock import Clock
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.storage.upkeep import kept_up

from .conftest import DAY, Client

RULE = {"action": {"type": "Delete"}, "condition": {"age": 1}}


async def settled(holds: Any) -> None:
    """Let the other tasks run until something holds."""
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came about")


def objects(client: Client) -> int:
    return len(client.cloud.store.children("buckets/bucket/objects"))


async def test_a_pass_comes_at_the_start_and_when_the_clock_is_advanced(client: Client) -> None:
    await client.bucket(lifecycle={"rule": [RULE]})
    await client.put("old")
    client.clock.now += DAY
    ticking = Clock(Store(), client.clock)
    async with kept_up(client.cloud, ticking):
        await settled(lambda: objects(client) == 0)
        await client.put("new")
        client.clock.now += DAY
        ticking.advance(1)
        await settled(lambda: objects(client) == 0)


async def test_a_pass_that_fails_is_logged_and_the_next_one_comes(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    ticking = Clock(Store(), client.clock)
    client.cloud.store.put("buckets/broken", {"name": "broken", "lifecycle": {}})
    client.cloud.store.put("buckets/broken/objects/o", {"name": "o", "generation": "none"})
    async with kept_up(client.cloud, ticking):
        await settled(lambda: "a pass over the buckets failed" in caplog.text)
        client.cloud.store.delete("buckets/broken")
        await client.bucket(lifecycle={"rule": [RULE]})
        await client.put("old")
        client.clock.now += DAY
        ticking.advance(1)
        await settled(lambda: objects(client) == 0)


async def test_no_task_outlives_the_block(client: Client) -> None:
    before = asyncio.all_tasks()
    async with kept_up(client.cloud, Clock(Store(), client.clock)):
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
