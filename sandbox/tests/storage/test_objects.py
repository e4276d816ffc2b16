# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects: uploads in one request, versions, preconditions, changes, holds."""

from __future__ import annotations

import base64
import hashlib
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cloudspill_sandbox.engine.call import Call, Media, Wire
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.storage.recovery import recover
from cloudspill_sandbox.storage.service import storage_service

from .conftest import DAY, OWNER, Client

AT: dict[str, Any] = {"bucket": "bucket", "object": "object"}


@pytest.fixture(autouse=True)
async def _bucket(client: Client) -> None:
    await client.bucket()


def files(client: Client) -> list[Path]:
    """Return the content files on the disk."""
    return [path for path in client.cloud.blobs._directory.rglob("*") if path.is_file()]


async def text(client: Client, **parameters: Any) -> bytes:
    """Return an object's bytes."""
    answer = await client.call("objects.get", **AT | parameters, alt="media")
    content = b""
    while block := answer.body.read():
        content += block
    answer.body.close()
    return content


async def test_an_object_says_what_was_sent(client: Client) -> None:
    made = await client.put("object", b"hello")
    assert made["size"] == "5"
    assert made["md5Hash"] == base64.b64encode(hashlib.md5(b"hello").digest()).decode()
    assert made["crc32c"] == "mnG7TA=="
    assert made["contentType"] == "text/plain"
    assert made["storageClass"] == "STANDARD"
    assert (made["bucket"], made["name"]) == ("bucket", "object")
    assert made["id"] == f"bucket/object/{made['generation']}"
    assert made["mediaLink"] == (
        "https://storage.googleapis.com/download/storage/v1/b/bucket/o/object"
        f"?generation={made['generation']}&alt=media"
    )
    assert await client.call("objects.get", **AT) == made
    assert await text(client) == b"hello"


async def test_bytes_lie_in_files_for_the_owner_alone(client: Client) -> None:
    await client.put("object", b"hello")
    (file,) = files(client)
    assert file.read_bytes() == b"hello"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


async def test_what_is_overwritten_or_deleted_leaves_no_bytes(client: Client) -> None:
    await client.put("object", b"1")
    await client.put("object", b"2")
    assert [file.read_bytes() for file in files(client)] == [b"2"]
    await client.gone("objects.delete", **AT)
    assert files(client) == []
    assert (await client.refused("objects.get", **AT)).status == 404


async def test_a_reader_keeps_the_bytes_that_it_began_to_read(client: Client) -> None:
    await client.put("object", b"old" * 200_000)
    answer = await client.call("objects.get", **AT, alt="media")
    first = answer.body.read()
    await client.put("object", b"new")
    rest = b"".join(iter(answer.body.read, b""))
    answer.body.close()
    assert first + rest == b"old" * 200_000


async def test_an_upload_that_breaks_off_leaves_nothing(client: Client) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionError("gone")

    call = Call(
        "storage.objects.insert",
        {"bucket": "bucket"},
        {"name": "object", "uploadType": "media"},
        {},
        OWNER,
        Wire("POST", "https://storage.googleapis.com"),
        Media(None, broken()),
    )
    before = client.documents()
    with pytest.raises(ConnectionError):
        await storage_service(client.cloud)["storage.objects.insert"](call)
    assert client.documents() == before
    assert files(client) == []


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("md5Hash", "AAAAAAAAAAAAAAAAAAAAAA==", 'Provided MD5 hash "AAAAAAAAAAAAAAAAAAAAAA==" '),
        ("crc32c", "AAAAAA==", 'Provided CRC32C "AAAAAA==" doesn\'t match calculated CRC32C "mn'),
    ],
)
async def test_other_checksums_than_the_bytes_have_are_refused(
    client: Client, field: str, value: str, sentence: str
) -> None:
    before = client.documents()
    with pytest.raises(ApiError, match=sentence) as refusal:
        await client.call("objects.insert", {field: value}, b"hello", bucket="bucket", name="x")
    assert (refusal.value.status, refusal.value.reason) == (400, "invalid")
    header = {"crc32c": "crc32c=", "md5Hash": "md5="}[field] + value
    hashed = replace(client, headers={"X-Goog-Hash": header})
    with pytest.raises(ApiError, match=sentence):
        await hashed.put("x", b"hello")
    assert client.documents() == before
    assert files(client) == []


@pytest.mark.parametrize("name", [".", "..", "a\nb", "x" * 1025, ".well-known/acme-challenge/x"])
async def test_names_that_google_does_not_allow_are_refused(client: Client, name: str) -> None:
    with pytest.raises(ApiError) as refusal:
        await client.put(name)
    assert refusal.value.status == 400


async def test_a_name_is_needed_and_must_agree(client: Client) -> None:
    with pytest.raises(ApiError) as missing:
        await client.call("objects.insert", {}, b"x", bucket="bucket")
    assert (missing.value.status, missing.value.reason) == (400, "required")
    with pytest.raises(ApiError, match="does not agree with value"):
        await client.call("objects.insert", {"name": "a"}, b"x", bucket="bucket", name="b")


async def test_generations_only_grow_whatever_the_clock_says(client: Client) -> None:
    first = await client.put()
    client.clock.now -= DAY
    second = await client.put()
    assert int(second["generation"]) > int(first["generation"])


@pytest.mark.parametrize(
    ("condition", "holds_when_absent", "holds_when_live"),
    [
        ({"ifGenerationMatch": 0}, True, False),
        ({"ifGenerationMatch": 1}, False, False),
        ({"ifGenerationNotMatch": 0}, False, True),
        ({"ifMetagenerationMatch": 1}, False, True),
        ({"ifMetagenerationMatch": 2}, False, False),
        ({"ifMetagenerationNotMatch": 1}, True, False),
    ],
)
async def test_preconditions_decide_whether_an_object_is_written(
    client: Client, condition: dict[str, Any], holds_when_absent: bool, holds_when_live: bool
) -> None:
    for holds in (holds_when_absent, holds_when_live):
        if holds:
            await client.put(content=b"new", **condition)
        else:
            with pytest.raises(ApiError) as refusal:
                await client.put(content=b"new", **condition)
            assert (refusal.value.status, refusal.value.reason) == (412, "conditionNotMet")
        await client.put(content=b"live")


@pytest.mark.parametrize(
    ("content_length_range", "reason"),
    [
        ("0,5", None),
        ("5,5", None),
        ("no range", None),
        ("0,4", "EntityTooLarge"),
        ("6,10", "EntityTooSmall"),
    ],
)
async def test_a_request_says_how_large_an_object_may_be(
    client: Client, content_length_range: str, reason: str | None
) -> None:
    # https://cloud.google.com/storage/docs/xml-api/reference-headers#xgoogcontentlengthrange and
    # https://cloud.google.com/storage/docs/json_api/v1/parameters#xgoogcontentlengthrange
    limited = replace(client, headers={"X-Goog-Content-Length-Range": content_length_range})
    if reason is None:
        assert (await limited.put(content=b"hello"))["size"] == "5"
        return
    with pytest.raises(ApiError) as refusal:
        await limited.put(content=b"hello")
    assert (refusal.value.status, refusal.value.reason) == (400, reason)
    assert (await client.refused("objects.get", **AT)).status == 404
    assert files(client) == []


async def test_a_reader_is_told_that_nothing_changed(client: Client) -> None:
    made = await client.put()
    same = await client.refused("objects.get", **AT, ifGenerationNotMatch=made["generation"])
    assert same.status == 304
    tagged = replace(client, headers={"If-None-Match": f'"{made["etag"]}"'})
    assert (await tagged.refused("objects.get", **AT)).status == 304
    other = replace(client, headers={"If-Match": '"other"'})
    assert (await other.refused("objects.get", **AT)).status == 412


async def test_entity_tags_do_not_decide_whether_an_object_is_changed(client: Client) -> None:
    # As Google answered at https://github.com/googleapis/python-storage/pull/489
    await client.put()
    other = replace(client, headers={"If-Match": '"other"', "If-None-Match": "*"})
    assert (await other.call("objects.patch", {"cacheControl": "no-cache"}, **AT))["metageneration"]
    await other.gone("objects.delete", **AT)


async def test_with_versioning_nothing_is_lost_until_it_is_named(client: Client) -> None:
    await client.call("buckets.patch", {"versioning": {"enabled": True}}, bucket="bucket")
    first = await client.put(content=b"1")
    second = await client.put(content=b"2")
    await client.gone("objects.delete", **AT)
    assert (await client.refused("objects.get", **AT)).status == 404
    listed = await client.call("objects.list", bucket="bucket", versions=True)
    assert [item["generation"] for item in listed["items"]] == [
        first["generation"],
        second["generation"],
    ]
    assert all(item["timeDeleted"] for item in listed["items"])
    assert await text(client, generation=first["generation"]) == b"1"
    await client.gone("objects.delete", **AT, generation=first["generation"])
    assert [file.read_bytes() for file in files(client)] == [b"2"]
    refused = await client.refused("objects.get", **AT, generation=first["generation"])
    assert refused.message == f"No such object: bucket/object#{first['generation']}"


async def test_a_patch_keeps_what_it_does_not_name_and_an_update_resets_it(client: Client) -> None:
    body = {"metadata": {"a": "1", "b": "2"}, "cacheControl": "no-cache"}
    await client.call("objects.insert", body, b"x", bucket="bucket", name="object")
    patched = await client.call("objects.patch", {"metadata": {"a": None, "c": "3"}}, **AT)
    assert patched["metadata"] == {"b": "2", "c": "3"}
    assert (patched["cacheControl"], patched["metageneration"]) == ("no-cache", "2")
    updated = await client.call("objects.update", {"contentType": "text/html"}, **AT)
    assert updated.keys() & {"metadata", "cacheControl"} == set()
    assert (updated["contentType"], updated["metageneration"]) == ("text/html", "3")
    assert await text(client) == b"x"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"customTime": "yesterday"}, 400),
        ({"storageClass": "WARM"}, 400),
        ({"metadata": {"a": "x" * 9000}}, 400),
        ({"cacheControl": "no-cache\r\nX-Other: 1"}, 400),
        ({"storageClass": "NEARLINE"}, 400),
        ({"kmsKeyName": "projects/p/locations/l/keyRings/r/cryptoKeys/k"}, 501),
        ({"retention": {"mode": "Locked"}}, 501),
    ],
)
async def test_settings_that_cannot_be_are_refused(
    client: Client, body: dict[str, Any], status: int
) -> None:
    await client.put()
    assert (await client.refused("objects.patch", body, **AT)).status == status


async def test_a_custom_time_only_goes_forward(client: Client) -> None:
    await client.put()
    await client.call("objects.patch", {"customTime": "2026-01-02T00:00:00Z"}, **AT)
    for earlier in ("2026-01-01T00:00:00Z", None):
        refusal = await client.refused("objects.patch", {"customTime": earlier}, **AT)
        assert refusal.message.startswith("Custom time cannot be removed or set to an earlier")


@pytest.mark.parametrize(
    ("hold", "name"), [("temporaryHold", "Temporary"), ("eventBasedHold", "Event-Based")]
)
async def test_a_held_object_is_neither_deleted_nor_overwritten(
    client: Client, hold: str, name: str
) -> None:
    await client.put(content=b"kept")
    await client.call("objects.patch", {hold: True}, **AT)
    refusal = await client.refused("objects.delete", **AT)
    assert (refusal.status, refusal.reason) == (403, "objectUnderActiveHold")
    assert refusal.message.startswith(f"Object 'bucket/object' is under active {name} hold")
    with pytest.raises(ApiError, match="under active"):
        await client.put(content=b"other")
    assert await text(client) == b"kept"
    await client.call("objects.patch", {hold: False}, **AT)
    await client.gone("objects.delete", **AT)


async def test_a_retention_policy_keeps_objects_until_their_time(client: Client) -> None:
    policy = {"retentionPolicy": {"retentionPeriod": "86400"}}
    await client.call("buckets.patch", policy, bucket="bucket")
    made = await client.put()
    assert made["retentionExpirationTime"] > made["timeCreated"]
    refusal = await client.refused("objects.delete", **AT)
    assert (refusal.status, refusal.reason) == (403, "retentionPolicyNotMet")
    client.clock.now += DAY + 1
    await client.gone("objects.delete", **AT)


async def test_a_start_removes_the_files_that_no_document_names(client: Client) -> None:
    await client.put(content=b"kept")
    client.cloud.blobs.create()
    orphan = client.cloud.blobs.create()
    client.cloud.blobs.keep(orphan)
    assert len(files(client)) == 3
    recover(client.cloud)
    assert [file.read_bytes() for file in files(client)] == [b"kept"]


async def test_a_hold_keeps_the_live_version_live_with_versioning_too(client: Client) -> None:
    await client.call("buckets.patch", {"versioning": {"enabled": True}}, bucket="bucket")
    await client.put(content=b"kept")
    await client.call("objects.patch", {"temporaryHold": True}, **AT)
    assert (await client.refused("objects.delete", **AT)).reason == "objectUnderActiveHold"
    assert await text(client) == b"kept"
