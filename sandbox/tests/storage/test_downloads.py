# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes of objects: ranges, headers, unpacking."""

from __future__ import annotations

import gzip
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudspill_sandbox.engine.call import Reply

from .conftest import Client

AT: dict[str, Any] = {"bucket": "bucket", "object": "object", "alt": "media"}
CONTENT = b"0123456789"


@pytest.fixture(autouse=True)
async def _bucket(client: Client) -> None:
    await client.bucket()


def with_headers(client: Client, **headers: str) -> Client:
    return replace(client, headers={key.replace("_", "-"): value for key, value in headers.items()})


def read(reply: Reply) -> bytes:
    """Return the bytes of an answer, read as the front does."""
    content = reply.body
    assert not isinstance(content, dict | bytes)
    size, got = content.size, b""
    while block := content.read():
        got += block
    content.close()
    assert size in (None, len(got))
    return got


@pytest.mark.parametrize(
    ("header", "status", "content", "content_range"),
    [
        ("bytes=0-0", 206, b"0", "bytes 0-0/10"),
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=7-100", 206, b"789", "bytes 7-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-100", 206, CONTENT, "bytes 0-9/10"),
        ("bytes=4-2", 200, CONTENT, None),
        ("bytes=0-1,3-4", 200, CONTENT, None),
        ("lines=1-2", 200, CONTENT, None),
        ("bytes=-", 200, CONTENT, None),
        (f"bytes=0-{'9' * 5000}", 200, CONTENT, None),
    ],
)
async def test_a_range_is_part_of_the_bytes(
    client: Client, header: str, status: int, content: bytes, content_range: str | None
) -> None:
    await client.put(content=CONTENT)
    reply = await with_headers(client, Range=header).call("objects.get", **AT)
    assert (reply.status, read(reply)) == (status, content)
    assert reply.headers.get("Content-Range") == content_range


@pytest.mark.parametrize(("header", "content"), [("bytes=10-", CONTENT), ("bytes=0-", b"")])
async def test_a_range_behind_the_end_is_refused(
    client: Client, header: str, content: bytes
) -> None:
    await client.put(content=content)
    refusal = await with_headers(client, Range=header).refused("objects.get", **AT)
    assert (refusal.status, refusal.reason) == (416, "requestedRangeNotSatisfiable")
    assert refusal.headers["Content-Range"] == f"bytes */{len(content)}"


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(1, 600_000), start=st.integers(0, 700_000), length=st.integers(1, 700_000))
async def test_any_range_is_the_slice_of_the_bytes(
    client: Client, size: int, start: int, length: int
) -> None:
    content = bytes(number % 251 for number in range(251)) * (size // 251 + 1)
    await client.put(content=content[:size])
    asking = with_headers(client, Range=f"bytes={start}-{start + length - 1}")
    if start < size:
        got = read(await asking.call("objects.get", **AT))
        assert got == content[:size][start : start + length]
    else:
        assert (await asking.refused("objects.get", **AT)).status == 416


async def test_headers_say_what_the_object_is(client: Client) -> None:
    body = {
        "cacheControl": "no-cache",
        "contentDisposition": "attachment",
        "contentLanguage": "de",
        "metadata": {"team": "a", "no header": "b", "lines": "a\nb"},
    }
    made = await client.call("objects.insert", body, CONTENT, bucket="bucket", name="object")
    reply = await client.call("objects.get", **AT)
    read(reply)
    assert reply.headers["X-Goog-Generation"] == made["generation"]
    assert reply.headers["X-Goog-Metageneration"] == "1"
    assert reply.headers["X-Goog-Hash"] == f"crc32c={made['crc32c']},md5={made['md5Hash']}"
    assert reply.headers["X-Goog-Stored-Content-Length"] == "10"
    assert reply.headers["X-Goog-Storage-Class"] == "STANDARD"
    assert reply.headers["ETag"] == made["etag"]
    assert reply.headers["Content-Type"] == "text/plain"
    assert (reply.headers["Cache-Control"], reply.headers["Content-Language"]) == ("no-cache", "de")
    assert reply.headers["Content-Disposition"] == "attachment"
    meta = {key: value for key, value in reply.headers.items() if key.startswith("X-Goog-Meta-")}
    assert meta == {"X-Goog-Meta-team": "a"}


@pytest.mark.parametrize(
    ("cache_control", "accepted", "unpacked"),
    [("no-cache", "", True), ("no-cache", "gzip, br", False), ("no-transform", "", False)],
)
async def test_gzip_is_unpacked_for_who_does_not_accept_it(
    client: Client, cache_control: str, accepted: str, unpacked: bool
) -> None:
    plain = b"text " * 200_000
    packed = gzip.compress(plain)
    body = {"contentEncoding": "gzip", "cacheControl": cache_control}
    await client.call("objects.insert", body, packed, bucket="bucket", name="object")
    reply = await with_headers(client, Accept_Encoding=accepted).call("objects.get", **AT)
    assert read(reply) == (plain if unpacked else packed)
    assert reply.headers.get("Content-Encoding") == (None if unpacked else "gzip")
    assert reply.headers["X-Goog-Stored-Content-Encoding"] == "gzip"


async def test_every_member_of_a_gzip_file_is_unpacked(client: Client) -> None:
    packed = gzip.compress(b"one ") + gzip.compress(b"two ") + b"\0" * 512
    body = {"contentEncoding": "gzip"}
    await client.call("objects.insert", body, packed, bucket="bucket", name="object")
    assert read(await client.call("objects.get", **AT)) == b"one two "


@pytest.mark.parametrize("content", [CONTENT, b"", b"\x1f"])
async def test_what_is_called_gzip_and_is_none_is_sent_as_it_is(
    client: Client, content: bytes
) -> None:
    body = {"contentEncoding": "gzip"}
    await client.call("objects.insert", body, content, bucket="bucket", name="object")
    reply = await client.call("objects.get", **AT)
    assert (read(reply), reply.headers["Content-Encoding"]) == (content, "gzip")


@pytest.mark.parametrize(
    ("parameters", "headers"),
    [
        ({"contentEncoding": "a\r\nSet-Cookie: b", "media": b""}, {}),
        ({"uploadType": "resumable"}, {"X-Upload-Content-Type": "text/\x01plain"}),
    ],
)
async def test_what_no_header_of_an_answer_could_carry_is_not_taken(
    client: Client, parameters: dict[str, Any], headers: dict[str, str]
) -> None:
    asking = with_headers(client, **headers)
    refusal = await asking.refused("objects.insert", bucket="bucket", name="object", **parameters)
    assert (refusal.status, "control characters" in refusal.message) == (400, True)
