# SPDX-License-Identifier: GPL-3.0-or-later
"""Resumable uploads: parts, offsets, restarts, ends.

https://cloud.google.com/storage/docs/performing-resumable-uploads
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudspill_sandbox.engine.call import ANONYMOUS, Call, Media, Reply, Wire
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.storage.keyed_locks import KeyedLocks
from cloudspill_sandbox.storage.recovery import recover
from cloudspill_sandbox.storage.resumable import GRANULARITY, LIFETIME
from cloudspill_sandbox.storage.service import storage_service

from .conftest import Client
from .test_objects import files, text

KIB = 1024
PART = GRANULARITY
INSERT = "storage.objects.insert"


@pytest.fixture(autouse=True)
async def _bucket(client: Client) -> None:
    await client.bucket()


async def begun(client: Client, body: Any = None, **headers: str) -> str:
    """Begin an upload of `object`; return its id."""
    asking = replace(client, headers={key.replace("_", "-"): v for key, v in headers.items()})
    reply = await asking.call(
        "objects.insert", body, bucket="bucket", name="object", uploadType="resumable"
    )
    assert (reply.status, reply.body) == (200, b"")
    match = re.fullmatch(
        r"https://storage\.googleapis\.com/upload/storage/v1/b/bucket/o"
        r"\?uploadType=resumable&name=object&upload_id=([\w-]+)",
        reply.headers["Location"],
    )
    assert match is not None
    return match[1]


async def send(
    client: Client,
    upload_id: str,
    content: bytes = b"",
    content_range: str | None = None,
    *,
    method: str = "PUT",
    breaks: bool = False,
    bucket: str = "bucket",
    **more: str,
) -> Any:
    """Send one part as the front passes it on."""

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 64 * KIB):
            yield content[start : start + 64 * KIB]
        if breaks:
            raise ConnectionError("gone")

    headers = {} if content_range is None else {"Content-Range": content_range}
    headers |= {key.replace("_", "-"): value for key, value in more.items()}
    query = {"uploadType": "resumable", "upload_id": upload_id}
    wire = Wire(method, "https://storage.googleapis.com", headers)
    call = Call(INSERT, {"bucket": bucket}, query, {}, ANONYMOUS, wire, Media(None, chunks()))
    return await storage_service(client.cloud)[INSERT](call)


def incomplete(reply: Any, received: int) -> bool:
    """Whether an answer says that so many bytes are there and more are to come."""
    assert isinstance(reply, Reply)
    expected = {"Range": f"bytes=0-{received - 1}"} if received else {}
    return reply.status == 308 and dict(reply.headers) == expected


async def test_the_whole_may_come_at_once(client: Client) -> None:
    upload = await begun(client, {"metadata": {"a": "1"}}, X_Upload_Content_Type="image/png")
    made = await send(client, upload, b"hello")
    assert (made["size"], made["contentType"], made["metadata"]) == ("5", "image/png", {"a": "1"})
    assert await text(client) == b"hello"


async def test_the_request_that_begins_it_says_how_large_the_whole_may_be(client: Client) -> None:
    # https://cloud.google.com/storage/docs/xml-api/reference-headers#xgoogcontentlengthrange;
    # Signal's server limits with it uploads that its clients begin (GcsAttachmentGenerator.java).
    upload = await begun(client, X_Goog_Content_Length_Range="1,4")
    with pytest.raises(ApiError) as refusal:
        await send(client, upload, b"hello")
    assert (refusal.value.status, refusal.value.reason) == (400, "EntityTooLarge")
    assert files(client) == []
    upload = await begun(client, X_Goog_Content_Length_Range="1,5")
    assert (await send(client, upload, b"hello"))["size"] == "5"


async def test_nothing_is_seen_of_an_upload_before_its_end(client: Client) -> None:
    upload = await begun(client)
    await send(client, upload, b"x" * PART, f"bytes 0-{PART - 1}/*")
    assert (await client.refused("objects.get", bucket="bucket", object="object")).status == 404


async def test_parts_come_one_after_the_other(client: Client) -> None:
    upload = await begun(client)
    assert incomplete(await send(client, upload, b"", "bytes */*"), 0)
    assert incomplete(await send(client, upload, b"a" * PART, f"bytes 0-{PART - 1}/*"), PART)
    assert incomplete(await send(client, upload, b"", "bytes */*"), PART)
    made = await send(client, upload, b"b" * 7, f"bytes {PART}-{PART + 6}/{PART + 7}")
    assert made["size"] == str(PART + 7)
    assert await text(client) == b"a" * PART + b"b" * 7


async def test_a_client_that_finds_out_the_size_at_the_end_says_it_then(client: Client) -> None:
    upload = await begun(client)
    await send(client, upload, b"a" * PART, f"bytes 0-{PART - 1}/*")
    made = await send(client, upload, b"", f"bytes */{PART}")
    assert made["size"] == str(PART)
    assert await send(client, upload, b"", f"bytes */{PART}") == made


async def test_a_client_of_go_is_told_in_a_header_that_more_is_to_come(client: Client) -> None:
    # google-api-go-client, internal/gensupport/resumable.go: it fails when it is answered a 308.
    upload = await begun(client)
    asking: dict[str, Any] = {"method": "POST", "X_GUploader_No_308": "yes"}
    told = {"X-HTTP-Status-Code-Override": "308"}
    none = await send(client, upload, b"", "bytes */*", **asking)
    assert (none.status, none.body, none.headers) == (200, b"", told)
    part = await send(client, upload, b"a" * PART, f"bytes 0-{PART - 1}/*", **asking)
    assert (part.status, part.headers) == (200, told | {"Range": f"bytes=0-{PART - 1}"})
    made = await send(client, upload, b"b", f"bytes {PART}-{PART}/{PART + 1}", **asking)
    assert made["size"] == str(PART + 1)


async def test_an_upload_survives_a_restart(client: Client) -> None:
    upload = await begun(client)
    await send(client, upload, b"a" * PART, f"bytes 0-{PART - 1}/{PART + 3}")
    restarted = replace(client, cloud=replace(client.cloud, uploads=KeyedLocks()))
    recover(restarted.cloud)
    assert incomplete(await send(restarted, upload, b"", "bytes */*"), PART)
    await send(restarted, upload, b"end", f"bytes {PART}-{PART + 2}/{PART + 3}")
    assert await text(restarted) == b"a" * PART + b"end"


async def test_what_came_before_the_client_left_is_kept(client: Client) -> None:
    upload = await begun(client)
    content = bytes(range(256)) * 4 * KIB  # four parts
    total = len(content)
    with pytest.raises(ConnectionError):
        await send(
            client, upload, content[: 3 * PART - 5], f"bytes 0-{total - 1}/{total}", breaks=True
        )
    assert incomplete(await send(client, upload, b"", f"bytes */{total}"), 2 * PART)
    rest = content[2 * PART :]
    await send(client, upload, rest, f"bytes {2 * PART}-{total - 1}/{total}")
    assert await text(client) == content


async def test_bytes_that_are_there_already_are_skipped(client: Client) -> None:
    upload = await begun(client)
    content = b"a" * PART + b"b" * PART
    await send(client, upload, content[:PART], f"bytes 0-{PART - 1}/{2 * PART}")
    await send(client, upload, content, f"bytes 0-{2 * PART - 1}/{2 * PART}")
    assert await text(client) == content


@pytest.mark.parametrize(
    ("content", "content_range", "sentence"),
    [
        (b"x", "bytes 0-1/2", "There were 1 byte(s) in the request body.  There should have been"),
        (b"xyz", "bytes 0-1/9", "There were 3 byte(s) in the request body"),
        (b"x", "bytes 0-0/9", "is required to be equal or greater than 262144"),
        (b"x", "bytes 3-1/9", "Failed to parse Content-Range header."),
        (b"x", "bytes 0-9/9", "Failed to parse Content-Range header."),
        (b"x", f"bytes 0-0/{'9' * 5000}", "Failed to parse Content-Range header."),
        (b"x", "lines 0-1/2", "Failed to parse Content-Range header."),
    ],
)
async def test_parts_that_do_not_fit_are_refused_and_change_nothing(
    client: Client, content: bytes, content_range: str, sentence: str
) -> None:
    upload = await begun(client)
    with pytest.raises(ApiError, match=re.escape(sentence)) as refusal:
        await send(client, upload, content, content_range)
    assert refusal.value.status == 400
    assert incomplete(await send(client, upload, b"", "bytes */*"), 0)


async def test_a_part_beyond_what_came_is_refused_in_plain_text(client: Client) -> None:
    # A real answer is quoted in docs/services/gcs.md of https://github.com/floci-io/floci-gcp; by
    # its type java-storage knows that bytes were lost, and does not ask again
    # (JsonResumableSessionPutTask.java).
    upload = await begun(client)
    with pytest.raises(ApiError) as refusal:
        await send(client, upload, b"x", "bytes 5-5/10")
    assert (refusal.value.status, refusal.value.bare) == (503, True)
    assert refusal.value.headers == {"Content-Type": "text/plain; charset=utf-8"}
    assert refusal.value.message == (
        "Invalid request.  According to the Content-Range header, the upload offset is 5 byte(s), "
        "which exceeds already uploaded size of 0 byte(s)."
    )
    assert incomplete(await send(client, upload, b"", "bytes */*"), 0)


async def test_the_size_of_the_whole_cannot_change(client: Client) -> None:
    upload = await begun(client, X_Upload_Content_Length="10")
    with pytest.raises(ApiError, match="does not match the expected final size of 10 byte"):
        await send(client, upload, b"x" * 5, "bytes 0-4/5")
    with pytest.raises(ApiError, match="where 10 byte"):
        await send(client, upload, b"x" * 11)


async def test_a_cancelled_upload_is_gone(client: Client) -> None:
    upload = await begun(client)
    assert (await send(client, upload, method="DELETE")).status == 499
    assert (await send(client, upload, b"x")).status == 499
    assert files(client) == []


async def test_an_upload_ends_after_a_week(client: Client) -> None:
    upload = await begun(client)
    client.clock.now += LIFETIME
    with pytest.raises(ApiError) as refusal:
        await send(client, upload, b"x")
    assert refusal.value.status == 410
    recover(client.cloud)
    with pytest.raises(ApiError) as refusal:
        await send(client, upload, b"x")
    assert refusal.value.status == 404
    assert files(client) == []


async def test_preconditions_count_when_it_begins_and_when_it_ends(client: Client) -> None:
    await client.put(content=b"live")
    asked: dict[str, Any] = {"bucket": "bucket", "name": "object", "uploadType": "resumable"}
    with pytest.raises(ApiError) as refusal:
        await client.call("objects.insert", **asked, ifGenerationMatch=0)
    assert refusal.value.status == 412
    await client.gone("objects.delete", bucket="bucket", object="object")
    reply = await client.call(
        "objects.insert",
        bucket="bucket",
        name="object",
        uploadType="resumable",
        ifGenerationMatch=0,
    )
    upload = reply.headers["X-GUploader-UploadID"]
    await client.put(content=b"faster")
    with pytest.raises(ApiError) as refusal:
        await send(client, upload, b"late")
    assert refusal.value.status == 412
    assert await text(client) == b"faster"
    assert len(files(client)) == 1


async def test_a_wrong_checksum_ends_the_upload(client: Client) -> None:
    upload = await begun(client, {"crc32c": "AAAAAA=="})
    with pytest.raises(ApiError, match="doesn't match calculated CRC32C"):
        await send(client, upload, b"hello")
    assert files(client) == []


async def test_two_requests_for_one_upload_wait_for_each_other(client: Client) -> None:
    upload = await begun(client)
    content = b"a" * PART
    parts = (send(client, upload, content, f"bytes 0-{PART - 1}/{PART}") for _ in range(3))
    made = await asyncio.gather(*parts)
    assert [one["generation"] for one in made] == [made[0]["generation"]] * 3
    assert await text(client) == content


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(st.integers(1, 3), min_size=1, max_size=4),
    tail=st.integers(0, 2 * PART),
    breaks=st.lists(st.booleans(), min_size=8, max_size=8),
)
async def test_whatever_breaks_the_bytes_are_those_that_were_sent(
    client: Client, parts: list[int], tail: int, breaks: list[bool]
) -> None:
    total = sum(parts) * PART + tail
    content = bytes(number % 251 for number in range(1000)) * (total // 1000 + 1)
    content = content[:total]
    upload = await begun(client)
    position, made = 0, None
    for size, broken in zip([*parts, 100], breaks, strict=False):
        end = min(position + size * PART, total)
        header = f"bytes {position}-{end - 1}/{total}" if end > position else f"bytes */{total}"
        try:
            made = await send(client, upload, content[position:end], header, breaks=broken)
        except ConnectionError:
            made = await send(client, upload, b"", f"bytes */{total}")
        if isinstance(made, Reply):
            found = made.headers.get("Range")
            position = int(found.rpartition("-")[2]) + 1 if found else 0
        else:
            break
    if isinstance(made, Reply):
        rest = f"bytes {position}-{total - 1}/{total}" if position < total else f"bytes */{total}"
        made = await send(client, upload, content[position:], rest)
    assert await text(client) == content
