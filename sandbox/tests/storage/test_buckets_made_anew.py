# SPDX-License-Identifier: GPL-3.0-or-later
"""Buckets that are deleted and made anew while something is being written into them.

The name is the same, the bucket is not: what was begun in the old one is refused as for any bucket
that is gone. https://cloud.google.com/storage/docs/json_api/v1/status-codes#404-not-found
"""

from __future__ import annotations

from typing import Any

import pytest

from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.storage.generations import Generations

from .conftest import Client
from .test_objects import files
from .test_resumable import PART, begun, send
from .test_sources_that_go import held_up

FROM = {"sourceBucket": "source", "sourceObject": "object"}
TO = {"destinationBucket": "bucket", "destinationObject": "copy"}
SMALL_STEPS = {"maxBytesRewrittenPerCall": 1 << 20}


@pytest.fixture(autouse=True)
async def _buckets(client: Client) -> None:
    await client.bucket()
    await client.bucket("source", location="US-WEST1")
    await client.put("object", b"abc", bucket="source")


async def made_anew(client: Client) -> None:
    """Delete `bucket` with what is in it, and make another one of its name."""
    for item in (await client.call("objects.list", bucket="bucket")).get("items", ()):
        await client.gone("objects.delete", bucket="bucket", object=item["name"])
    await client.gone("buckets.delete", bucket="bucket")
    await client.bucket()


async def nothing_came(client: Client) -> bool:
    """Whether the new bucket is empty, and no bytes are kept but those of the source."""
    listed = await client.call("objects.list", bucket="bucket", versions="true")
    return "items" not in listed and [file.read_bytes() for file in files(client)] == [b"abc"]


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("objects.insert", {"bucket": "bucket", "name": "copy", "media": b"xyz"}),
        ("objects.copy", {**FROM, **TO}),
        ("objects.rewrite", {**FROM, **TO}),
        ("objects.compose", {"body": {"sourceObjects": [{"name": "part"}]}, **TO}),
    ],
)
async def test_what_was_begun_is_not_written_into_the_new_bucket(
    client: Client, method: str, parameters: dict[str, Any]
) -> None:
    await client.put("part", b"xyz")
    async with held_up(client.call(method, **parameters)) as call:
        await made_anew(client)
    with pytest.raises(ApiError, match=r"^The specified bucket does not exist\.$") as refusal:
        await call
    assert (refusal.value.status, refusal.value.reason) == (404, "notFound")
    assert await nothing_came(client)


async def test_the_last_part_of_an_upload_is_not_written_into_the_new_bucket(
    client: Client,
) -> None:
    upload = await begun(client)
    await send(client, upload, b"x" * PART, f"bytes 0-{PART - 1}/*")
    last = send(client, upload, b"x", f"bytes {PART}-{PART}/{PART + 1}")
    async with held_up(last) as call:
        await made_anew(client)
    with pytest.raises(ApiError) as refusal:
        await call
    assert (refusal.value.status, refusal.value.reason) == (404, "notFound")
    assert await nothing_came(client)


async def test_a_rewrite_of_several_calls_does_not_go_on_into_the_new_bucket(
    client: Client,
) -> None:
    await client.put("large", b"x" * (5 << 19), bucket="source")
    call: dict[str, Any] = {**FROM, "sourceObject": "large", **TO, **SMALL_STEPS}
    begun = await client.call("objects.rewrite", **call)
    await made_anew(client)
    refusal = await client.refused("objects.rewrite", **call, rewriteToken=begun["rewriteToken"])
    assert (refusal.status, refusal.reason) == (404, "notFound")


async def test_a_new_bucket_is_told_from_one_of_an_earlier_life_whatever_the_clock_says(
    client: Client,
) -> None:
    made = (await client.call("buckets.get", bucket="bucket"))["generation"]
    later = Generations(client.cloud.store, lambda: 0.0)
    assert int(later.next()) > int(made)
