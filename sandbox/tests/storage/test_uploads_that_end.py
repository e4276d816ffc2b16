# SPDX-License-Identifier: GPL-3.0-or-later
"""Resumable uploads that end from outside, or whose end goes wrong or is not heard of.

https://cloud.google.com/storage/docs/resumable-uploads,
https://cloud.google.com/storage/docs/performing-resumable-uploads#status-check
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.storage.keyed_locks import KeyedLocks
from cloudspill_sandbox.storage.objects import CONTENT
from cloudspill_sandbox.storage.recovery import forget_expired, recover
from cloudspill_sandbox.storage.resumable import LIFETIME

from .conftest import Client
from .test_objects import files, text
from .test_resumable import PART, begun, incomplete, send
from .test_sources_that_go import held_up

FIRST = f"bytes 0-{PART - 1}/{PART + 1}"
LAST = f"bytes {PART}-{PART}/{PART + 1}"


@pytest.fixture(autouse=True)
async def _bucket(client: Client) -> None:
    await client.bucket()


async def delete_bucket(client: Client) -> None:
    await client.gone("buckets.delete", bucket="bucket")


async def let_its_time_pass(client: Client) -> None:
    client.clock.now += LIFETIME
    forget_expired(client.cloud)


End = Callable[[Client], Awaitable[None]]
ENDS = pytest.mark.parametrize("end", [delete_bucket, let_its_time_pass])


@ENDS
async def test_an_upload_that_ends_leaves_no_bytes(client: Client, end: End) -> None:
    upload = await begun(client)
    await send(client, upload, b"x" * PART, FIRST)
    await end(client)
    assert files(client) == []
    assert client.cloud.store.children("uploads") == {}


@ENDS
@pytest.mark.parametrize("total", ["*", str(2 * PART), str(PART)])
async def test_a_part_that_an_end_comes_before_is_refused_and_leaves_no_bytes(
    client: Client, end: End, total: str
) -> None:
    upload = await begun(client)
    part = send(client, upload, b"x" * PART, f"bytes 0-{PART - 1}/{total}")
    async with held_up(part) as call:
        await end(client)
    with pytest.raises(ApiError, match="upload session does not exist") as refusal:
        await call
    assert (refusal.value.status, refusal.value.reason) == (404, "notFound")
    assert files(client) == []


@ENDS
async def test_an_upload_that_ends_before_its_bytes_are_an_object_makes_none(
    client: Client, end: End
) -> None:
    upload = await begun(client)
    await send(client, upload, b"x" * PART, f"bytes 0-{PART - 1}/*")
    async with held_up(send(client, upload, b"", f"bytes */{PART}")) as call:
        await end(client)
    with pytest.raises(ApiError) as refusal:
        await call
    assert (refusal.value.status, refusal.value.reason) == (404, "notFound")
    assert files(client) == []
    assert client.cloud.store.children("buckets/bucket/objects") == {}


async def test_an_upload_whose_client_leaves_and_whose_bucket_goes_leaves_no_bytes(
    client: Client,
) -> None:
    upload = await begun(client)
    async with held_up(send(client, upload, b"x" * PART, FIRST, breaks=True)) as call:
        await delete_bucket(client)
    with pytest.raises(ConnectionError):
        await call
    assert files(client) == []


async def test_an_upload_that_is_done_says_what_it_said_whatever_became_of_the_object(
    client: Client,
) -> None:
    upload = await begun(client)
    made = await send(client, upload, b"first")
    await client.put("object", b"second")
    assert await send(client, upload, b"", "bytes */5") == made
    assert await send(client, upload, b"first") == made
    assert await text(client) == b"second"


async def test_an_upload_is_found_in_its_bucket_alone(client: Client) -> None:
    # Whose bucket the address names decides which project's policy is asked about overwriting.
    await client.bucket("other")
    upload = await begun(client)
    with pytest.raises(ApiError) as refusal:
        await send(client, upload, b"x", bucket="other")
    assert (refusal.value.status, refusal.value.reason) == (404, "notFound")
    assert (await send(client, upload, b"x"))["size"] == "1"


async def test_an_upload_goes_on_after_the_disk_was_full_at_its_end(client: Client) -> None:
    upload = await begun(client, {"metadata": {"large": "x" * 7000}})
    await send(client, upload, b"x" * PART, FIRST)
    database = client.cloud.store._database
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        await send(client, upload, b"y", LAST)
    database.execute(f"PRAGMA max_page_count={1 << 20}")
    assert (await send(client, upload, b"y", LAST))["size"] == str(PART + 1)
    assert await text(client) == b"x" * PART + b"y"
    assert len(files(client)) == 1


async def test_an_upload_goes_on_that_was_killed_before_its_bytes_were_an_object(
    client: Client,
) -> None:
    upload = await begun(client)
    await send(client, upload, b"x" * PART, FIRST)
    client.cloud.blobs.keep(client.cloud.store.children("uploads")[upload][CONTENT])
    restarted = replace(client, cloud=replace(client.cloud, uploads=KeyedLocks()))
    recover(restarted.cloud)
    assert incomplete(await send(restarted, upload, b"", f"bytes */{PART + 1}"), PART)
    await send(restarted, upload, b"y", LAST)
    assert await text(restarted) == b"x" * PART + b"y"
    assert len(files(client)) == 1


async def test_an_upload_that_another_release_began_ends_with_the_next_start(
    client: Client,
) -> None:
    upload = await begun(client)
    await send(client, upload, b"x" * PART, FIRST)
    document = client.cloud.store.children("uploads")[upload]
    del document["form"]
    client.cloud.store.put(f"uploads/{upload}", document)
    recover(client.cloud)
    with pytest.raises(ApiError) as refusal:
        await send(client, upload, b"y", LAST)
    assert refusal.value.status == 404
    assert files(client) == []


def test_bytes_that_were_removed_do_not_come_back_by_late_writing(client: Client) -> None:
    content = client.cloud.blobs.create()
    client.cloud.blobs.remove(content)
    with pytest.raises(FileNotFoundError):
        client.cloud.blobs.append(content)
    assert files(client) == []
