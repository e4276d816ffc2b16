# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects and buckets that are deleted while a request is about to use them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from cloudspill_sandbox.engine.errors import ApiError

from .conftest import Client
from .test_objects import files
from .test_resumable import PART, begun, send

TO = {"destinationBucket": "bucket", "destinationObject": "copy"}
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
    with busy_threads():
        call = asyncio.create_task(client.call(method, **parameters))
        await asyncio.sleep(0)
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
