# SPDX-License-Identifier: GPL-3.0-or-later
"""Copy, rewrite, compose."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import DAY, Client
from .test_objects import files

TO: dict[str, Any] = {
    "sourceBucket": "bucket",
    "sourceObject": "object",
    "destinationBucket": "other",
    "destinationObject": "copy",
}


@pytest.fixture(autouse=True)
async def _buckets(client: Client) -> None:
    await client.bucket()
    await client.bucket("other", location="US-WEST1")


async def text(client: Client, bucket: str, name: str) -> bytes:
    answer = await client.call("objects.get", bucket=bucket, object=name, alt="media")
    content = b"".join(iter(answer.body.read, b""))
    answer.body.close()
    return content


async def test_a_copy_has_the_same_bytes_and_metadata_and_lives_on(client: Client) -> None:
    body = {"metadata": {"a": "1"}, "contentType": "text/csv"}
    source = await client.call("objects.insert", body, b"abc", bucket="bucket", name="object")
    copy = await client.call("objects.copy", **TO)
    assert copy["generation"] != source["generation"]
    for field in ("size", "md5Hash", "crc32c", "metadata", "contentType"):
        assert copy[field] == source[field]
    await client.gone("objects.delete", bucket="bucket", object="object")
    assert await text(client, "other", "copy") == b"abc"


async def test_a_copy_takes_other_metadata_when_some_are_given(client: Client) -> None:
    body = {"metadata": {"a": "1"}, "cacheControl": "no-cache"}
    await client.call("objects.insert", body, b"abc", bucket="bucket", name="object")
    copy = await client.call("objects.copy", {"metadata": {"b": "2"}}, **TO)
    assert copy["metadata"] == {"b": "2"}
    assert "cacheControl" not in copy


async def test_conditions_on_source_and_destination_hold_or_refuse(client: Client) -> None:
    source = await client.put(content=b"abc")
    wrong = {"ifSourceGenerationMatch": 1}
    assert (await client.refused("objects.copy", **TO, **wrong)).status == 412
    right = {"ifSourceGenerationMatch": source["generation"], "ifGenerationMatch": 0}
    await client.call("objects.copy", **TO, **right)
    assert (await client.refused("objects.copy", **TO, **right)).status == 412
    assert len(files(client)) == 2


async def test_a_rewrite_between_locations_may_take_several_calls(client: Client) -> None:
    mib = 1024 * 1024
    await client.put(content=b"x" * (2 * mib + 5))
    limit: dict[str, Any] = {"maxBytesRewrittenPerCall": mib}
    first = await client.call("objects.rewrite", **TO, **limit)
    assert (first["done"], first["totalBytesRewritten"]) == (False, str(mib))
    assert (await client.refused("objects.get", bucket="other", object="copy")).status == 404
    token: dict[str, Any] = {"rewriteToken": first["rewriteToken"]}
    second = await client.call("objects.rewrite", **TO, **limit, **token)
    assert (second["done"], second["totalBytesRewritten"]) == (False, str(2 * mib))
    last = await client.call("objects.rewrite", **TO, **limit, **token)
    assert (last["done"], last["totalBytesRewritten"]) == (True, str(2 * mib + 5))
    assert last["resource"]["size"] == last["objectSize"] == str(2 * mib + 5)
    assert (await client.refused("objects.rewrite", **TO, **limit, **token)).status == 400


async def test_a_rewrite_changes_the_storage_class(client: Client) -> None:
    await client.put(content=b"abc")
    client.clock.now += DAY
    at = TO | {"destinationBucket": "bucket", "destinationObject": "object"}
    done = await client.call("objects.rewrite", {"storageClass": "NEARLINE"}, **at)
    assert (done["done"], done["resource"]["storageClass"]) == (True, "NEARLINE")
    assert await text(client, "bucket", "object") == b"abc"
    assert len(files(client)) == 1


async def test_a_composite_object_is_its_parts_one_after_the_other(client: Client) -> None:
    parts = [await client.put(name, name.encode() * 3) for name in ("a", "b")]
    into: dict[str, Any] = {"destinationBucket": "bucket", "destinationObject": "whole"}
    body = {
        "sourceObjects": [{"name": "a"}, {"name": "b", "generation": parts[1]["generation"]}],
        "destination": {"contentType": "text/csv", "metadata": {"k": "v"}},
    }
    whole = await client.call("objects.compose", body, **into)
    assert await text(client, "bucket", "whole") == b"aaabbb"
    assert (whole["componentCount"], whole["size"]) == (2, "6")
    assert (whole["contentType"], whole["metadata"]) == ("text/csv", {"k": "v"})
    assert "md5Hash" not in whole
    # An object may be composed of itself, which is how one appends.
    body = {"sourceObjects": [{"name": "whole"}, {"name": "a"}]}
    assert (await client.call("objects.compose", body, **into))["componentCount"] == 3
    assert await text(client, "bucket", "whole") == b"aaabbbaaa"


async def test_an_object_whose_type_was_removed_is_bytes(client: Client) -> None:
    await client.put()
    at: dict[str, Any] = {"bucket": "bucket", "object": "object"}
    assert "contentType" not in await client.call("objects.patch", {"contentType": None}, **at)
    served = await client.call("objects.get", alt="media", **at)
    served.body.close()
    assert served.headers["Content-Type"] == "application/octet-stream"
    into: dict[str, Any] = {"destinationBucket": "bucket", "destinationObject": "other"}
    body = {"sourceObjects": [{"name": "object"}]}
    for made in (
        await client.call("objects.compose", body, **into),
        await client.call("objects.copy", {}, sourceBucket="bucket", sourceObject="object", **into),
    ):
        assert made["contentType"] == "application/octet-stream"


@pytest.mark.parametrize(
    ("sources", "status", "sentence"),
    [
        ([], 400, "You must provide at least one source component."),
        ([{"name": "a"}] * 33, 400, "The number of source components provided (33) exceeds"),
        # https://github.com/GoogleCloudDataproc/hadoop-connectors/issues/571
        ([{"name": "missing"}], 404, "Object missing (generation: 0) not found."),
        ([{"name": "a", "generation": "7"}], 404, "Object a (generation: 7) not found."),
        ([{"name": "a", "objectPreconditions": {"ifGenerationMatch": "1"}}], 412, "At least one"),
    ],
)
async def test_what_cannot_be_composed_is_refused(
    client: Client, sources: list[dict[str, Any]], status: int, sentence: str
) -> None:
    await client.put("a")
    refusal = await client.refused(
        "objects.compose",
        {"sourceObjects": sources},
        destinationBucket="bucket",
        destinationObject="whole",
    )
    assert refusal.status == status
    assert refusal.message.startswith(sentence)
    assert len(files(client)) == 1
