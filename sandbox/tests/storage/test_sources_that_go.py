# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects and buckets that are deleted or changed while a request is about to use them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from cloudspill_sandbox.engine.errors import ApiError

from .conftest import Client
from .test_objects import files
from .test_resumable import PART, begun, send

TO: dict[str, Any] = {"destinationBucket": "bucket", "destinationObject": "copy"}
FROM = {"sourceBucket": "bucket", "sourceObject": "object"}


@pytest.fixture(autouse=True)
async def _bucket(client: Client) -> None:
    await client.bucket()


@contextmanager
def busy_threads() -> Iterator[None]:
    """Let whatever goes to a thread wait until the block ends."""
    threads, free = ThreadPoolExecutor(1), threading.Event()
    asyncio.get_running_loop().set_default_executor(threads)
    threads.submit(free.wait)
    try:
        yield
    finally:
        free.set()


@asynccontextmanager
async def held_up(call: Coroutine[Any, Any, Any]) -> AsyncIterator[asyncio.Task[Any]]:
    """Begin a call, and let it wait at its first work for a thread until the block ends."""
    with busy_threads():
        task = asyncio.create_task(call)
        await asyncio.sleep(0)
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))  # for others
        yield task


async def moved_into_copy(client: Client, meanwhile: Awaitable[Any]) -> Any:
    """Compose `copy` out of `object`, which is to go, while something else is done; return that."""
    body = {"sourceObjects": [{"name": "object"}], "deleteSourceObjects": True}
    async with held_up(client.call("objects.compose", body, **TO)) as call:
        done = await meanwhile
    await call
    return done


async def versions_in(client: Client) -> dict[str, str]:
    """Return the names of all versions in the bucket, by their generations."""
    listed = await client.call("objects.list", bucket="bucket", versions="true")
    return {item["generation"]: item["name"] for item in listed["items"]}


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("objects.copy", {**FROM, **TO}),
        ("objects.rewrite", {**FROM, **TO}),
        ("objects.compose", {"body": {"sourceObjects": [{"name": "object"}]}, **TO}),
    ],
)
async def test_bytes_of_a_source_are_held_from_the_beginning(
    client: Client, method: str, parameters: dict[str, Any]
) -> None:
    await client.put("object", b"abc")
    async with held_up(client.call(method, **parameters)) as call:
        await client.gone("objects.delete", bucket="bucket", object="object")
    await call
    (kept,) = files(client)
    assert kept.read_bytes() == b"abc"


async def test_an_upload_does_not_go_on_in_another_bucket_of_the_same_name(
    client: Client,
) -> None:
    upload = await begun(client)
    await send(client, upload, b"x" * PART, f"bytes 0-{PART - 1}/*")
    await client.gone("buckets.delete", bucket="bucket")
    await client.bucket()
    with pytest.raises(ApiError) as refusal:
        await send(client, upload, b"x", f"bytes {PART}-{PART}/{PART + 1}")
    assert refusal.value.status == 404
    assert "items" not in await client.call("objects.list", bucket="bucket")


@pytest.mark.parametrize("versioned", [False, True])
async def test_composing_deletes_no_source_that_was_written_meanwhile(
    client: Client, versioned: bool
) -> None:
    await client.call("buckets.patch", {"versioning": {"enabled": versioned}}, bucket="bucket")
    await client.put("object", b"old")
    newer = await moved_into_copy(client, client.put("object", b"newer"))
    left = await versions_in(client)
    assert sorted(left.values()) == ["copy", "object"]
    assert left[newer["generation"]] == "object"
    assert sorted(file.read_bytes() for file in files(client)) == [b"newer", b"old"]


async def test_composing_deletes_the_version_that_it_was_told_to_read(client: Client) -> None:
    await client.call("buckets.patch", {"versioning": {"enabled": True}}, bucket="bucket")
    old = await client.put("object", b"old")
    live = await client.put("object", b"live")
    source = {"name": "object", "generation": old["generation"]}
    body = {"sourceObjects": [source], "deleteSourceObjects": True}
    made = await client.call("objects.compose", body, **TO)
    assert await versions_in(client) == {live["generation"]: "object", made["generation"]: "copy"}


async def test_composing_deletes_its_sources_for_good(client: Client) -> None:
    # https://docs.cloud.google.com/storage/docs/composing-objects, "Cost considerations": Object
    # Versioning does not keep them.
    await client.call("buckets.patch", {"versioning": {"enabled": True}}, bucket="bucket")
    await client.put("object", b"abc")
    body = {"sourceObjects": [{"name": "object"}, {"name": "object"}], "deleteSourceObjects": True}
    made = await client.call("objects.compose", body, **TO)
    assert await versions_in(client) == {made["generation"]: "copy"}
    (kept,) = files(client)
    assert kept.read_bytes() == b"abcabc"


@pytest.mark.parametrize("versioned", [False, True])
async def test_composing_into_a_source_deletes_what_it_was_and_not_what_it_is(
    client: Client, versioned: bool
) -> None:
    await client.call("buckets.patch", {"versioning": {"enabled": versioned}}, bucket="bucket")
    await client.put("copy", b"first, ")
    await client.put("object", b"second")
    sources = [{"name": "copy"}, {"name": "object"}]
    body = {"sourceObjects": sources, "deleteSourceObjects": True}
    made = await client.call("objects.compose", body, **TO)
    assert await versions_in(client) == {made["generation"]: "copy"}
    (kept,) = files(client)
    assert kept.read_bytes() == b"first, second"


async def test_composing_deletes_no_source_that_is_to_be_kept_by_now(client: Client) -> None:
    kept = await client.put("object", b"abc")
    policy = {"retentionPolicy": {"retentionPeriod": "60"}}
    change = client.call("buckets.patch", policy, bucket="bucket")
    with pytest.raises(ApiError, match="retention policy"):
        await moved_into_copy(client, change)
    assert await versions_in(client) == {kept["generation"]: "object"}
    assert len(files(client)) == 1
