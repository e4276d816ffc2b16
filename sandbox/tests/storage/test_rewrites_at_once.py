# SPDX-License-Identifier: GPL-3.0-or-later
"""The last call of a rewrite: it fails, or there are two of it.

https://cloud.google.com/storage/docs/json_api/v1/objects/rewrite
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.storage.recovery import recover

from .conftest import Client
from .test_objects import files
from .test_sources_that_go import busy_threads, held_up

CALL: dict[str, Any] = {
    "sourceBucket": "bucket",
    "sourceObject": "object",
    "destinationBucket": "other",
    "destinationObject": "copy",
    "maxBytesRewrittenPerCall": 1 << 20,
}


@pytest.fixture
async def token(client: Client) -> str:
    """Begin a rewrite that needs one more call; return the token for that."""
    await client.bucket()
    await client.bucket("other", location="US-WEST1")
    await client.put(content=b"x" * (3 << 19))
    answer = await client.call("objects.rewrite", **CALL)
    assert not answer["done"]
    return str(answer["rewriteToken"])


async def test_a_rewrite_whose_last_call_failed_can_go_on(client: Client, token: str) -> None:
    last = {**CALL, "rewriteToken": token, "ifGenerationMatch": 0}
    async with held_up(client.call("objects.rewrite", **last)) as call:
        await client.put("copy", bucket="other")
    with pytest.raises(ApiError) as refusal:
        await call
    assert refusal.value.status == 412
    await client.gone("objects.delete", bucket="other", object="copy")
    assert (await client.call("objects.rewrite", **last))["done"]


async def test_a_token_writes_the_object_once(client: Client, token: str) -> None:
    last = {**CALL, "rewriteToken": token}
    with busy_threads():
        calls = [asyncio.create_task(client.call("objects.rewrite", **last)) for _ in range(2)]
        await asyncio.sleep(0)
    first, second = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(first, dict)
    assert isinstance(second, ApiError)
    assert (second.status, second.message) == (
        400,
        "Invalid argument. The rewriteToken is none of this rewrite.",
    )
    live = await client.call("objects.get", bucket="other", object="copy")
    assert live["generation"] == first["resource"]["generation"]
    assert len(files(client)) == 2


async def test_a_rewrite_that_does_not_say_which_bucket_it_is_for_is_forgotten(
    client: Client, token: str
) -> None:
    rewrite = client.cloud.store.children("rewrites")[token]
    del rewrite["bucketGeneration"]  # as in what an older release kept
    client.cloud.store.put(f"rewrites/{token}", rewrite)
    recover(client.cloud)
    with pytest.raises(ApiError, match="none of this rewrite"):
        await client.call("objects.rewrite", **CALL, rewriteToken=token)
