# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for a change: what wakes a client, and what must not."""

from __future__ import annotations

import asyncio
import json
import resource
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sandbox.tests.metadata.conftest import Client, OneInstance

WAIT = "wait_for_change=true"


async def test_the_tag_none_is_answered_at_once(client: Client) -> None:
    query = f"recursive=true&alt=json&{WAIT}&timeout_sec=60&last_etag=NONE"
    status, text, headers = await client.get(f"/computeMetadata/v1//?{query}")
    assert (status, json.loads(text)["project"]["projectId"]) == (200, "cloudspill-sandbox")
    assert headers["etag"] != "NONE"


async def test_a_client_with_the_current_tag_sleeps_until_its_subtree_changes(
    client: Client, source: OneInstance
) -> None:
    _, _, headers = await client.get("instance/tags")
    waiting = asyncio.create_task(client.get(f"instance/tags?{WAIT}&last_etag={headers['etag']}"))
    await source.until(lambda: source.sleepers == 1)
    source.document["instance"]["attributes"]["elsewhere"] = "changed"
    source.announce()
    await source.until(lambda: (source.wakes, source.sleepers) == (1, 1))
    assert not waiting.done()
    source.document["instance"]["tags"] = ["jam"]
    source.announce()
    status, text, changed = await waiting
    assert (status, text) == (200, '["jam"]')
    assert changed["etag"] != headers["etag"]


async def test_a_change_between_two_requests_is_not_missed(
    client: Client, source: OneInstance
) -> None:
    _, _, headers = await client.get("instance/tags")
    source.document["instance"]["tags"] = ["jam"]
    status, text, _ = await client.get(f"instance/tags?{WAIT}&last_etag={headers['etag']}")
    assert (status, text) == (200, '["jam"]')


async def test_without_a_tag_the_next_change_is_waited_for(
    client: Client, source: OneInstance
) -> None:
    waiting = asyncio.create_task(client.get(f"instance/preempted?{WAIT}"))
    await source.until(lambda: source.sleepers == 1)
    source.document["instance"]["preempted"] = "TRUE"
    source.announce()
    assert (await waiting)[1] == "TRUE"


async def test_at_the_time_out_the_unchanged_value_comes(
    client: Client, source: OneInstance
) -> None:
    begun = asyncio.get_running_loop().time()
    status, text, _ = await client.get(f"instance/preempted?{WAIT}&timeout_sec=1")
    assert (status, text) == (200, "FALSE")
    assert 0.9 < asyncio.get_running_loop().time() - begun < 5
    assert source.sleepers == 0


async def test_a_value_that_vanishes_while_waited_for_is_not_found(
    client: Client, source: OneInstance
) -> None:
    waiting = asyncio.create_task(client.get(f"instance/attributes/startup-script?{WAIT}"))
    await source.until(lambda: source.sleepers == 1)
    del source.document["instance"]["attributes"]["startup-script"]
    source.announce()
    assert (await waiting)[0] == 404


async def test_a_client_that_goes_away_leaves_no_sleeper(
    client: Client, source: OneInstance
) -> None:
    waiting = asyncio.create_task(client.get(f"instance/?recursive=true&{WAIT}"))
    await source.until(lambda: source.sleepers == 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await source.until(lambda: source.sleepers == 0)


async def test_hundreds_of_sleepers_cost_nothing(client: Client, source: OneInstance) -> None:
    count = min(1000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2 - 50)
    waiting = [asyncio.create_task(client.get(f"instance/preempted?{WAIT}")) for _ in range(count)]
    await source.until(lambda: source.sleepers == count)
    before = resource.getrusage(resource.RUSAGE_SELF)
    await asyncio.sleep(0.5)
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.05
    source.document["instance"]["preempted"] = "TRUE"
    source.announce()
    assert {body for _, body, _ in await asyncio.gather(*waiting)} == {"TRUE"}


async def test_the_tag_depends_on_content_alone(client: Client, source: OneInstance) -> None:
    _, _, first = await client.get("instance/disks/?recursive=true")
    _, _, again = await client.get("instance/disks/")
    assert first["etag"] == again["etag"]
    source.document["instance"]["disks"][0]["mode"] = "READ_ONLY"
    _, _, changed = await client.get("instance/disks/?recursive=true")
    assert changed["etag"] != first["etag"]
