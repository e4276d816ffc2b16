# SPDX-License-Identifier: GPL-3.0-or-later
"""Uploads: metadata and media out of one stream, however it is cut."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudspill_sandbox.engine.call import Media
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.front.http import HttpRequest, headers
from cloudspill_sandbox.front.uploads import MAX_METADATA, received

TARGET = "/upload/storage/v1/b/bucket/o"
METADATA = json.dumps({"name": "x"}).encode()


def request(content: bytes, kind: str, size: int = 65536) -> HttpRequest:
    """Return an upload whose body comes in pieces of `size` bytes."""

    async def stream() -> AsyncIterator[bytes]:
        for start in range(0, len(content), size):
            yield content[start : start + size]

    fields = headers({"Content-Type": kind})
    return HttpRequest("POST", "storage.googleapis.com", TARGET, fields, b"", stream())


def related(media: bytes, newline: bytes = b"\r\n", boundary: bytes = b"=-=") -> bytes:
    """Return a multipart/related body."""
    lines = [
        b"--" + boundary,
        b"content-type: application/json",
        b"",
        METADATA,
        b"--" + boundary,
        b"content-type: image/png",
        b"",
        media,
        b"--" + boundary + b"--",
        b"",
    ]
    return newline.join(lines)


async def read(media: Media | None) -> bytes:
    assert media is not None
    return b"".join([chunk async for chunk in media.chunks])


@given(
    media=st.lists(
        st.sampled_from([b"\r\n", b"\n", b"--", b"=-=", b"--=-", b"\r\n--=-", b"abc", b"\r"])
    ).map(b"".join),
    size=st.integers(1, 40),
    newline=st.sampled_from([b"\r\n", b"\n"]),
)
async def test_media_come_as_they_were_sent(media: bytes, size: int, newline: bytes) -> None:
    if newline + b"--=-=" in newline + media + newline:
        return  # no client chooses a boundary that the media contain
    body = related(media, newline)
    asked = request(body, 'multipart/related; boundary="=-="', size)
    text, upload = await received(asked, "multipart", None)
    assert text == METADATA
    assert upload is not None
    assert upload.content_type == "image/png"
    assert await read(upload) == media


@pytest.mark.parametrize("boundary", ['"=-="', "'=-='", "=-="])
async def test_a_boundary_may_be_quoted_either_way(boundary: str) -> None:
    asked = request(related(b"media"), f"multipart/related; boundary={boundary}")
    _, media = await received(asked, "multipart", None)
    assert await read(media) == b"media"


async def test_parts_need_no_headers() -> None:
    body = b"--b\r\n\r\n{}\r\n--b\r\n\r\nmedia\r\n--b--"
    text, media = await received(request(body, "multipart/related; boundary=b"), "multipart", None)
    assert (text, await read(media)) == (b"{}", b"media")
    assert media is not None
    assert media.content_type is None


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain", related(b"x")),
        ("multipart/related", related(b"x")),
        ("multipart/related; boundary=other", related(b"x")),
        ("multipart/related; boundary==-=", b""),
        ("multipart/related; boundary==-=", related(b"x")[:40]),
    ],
)
async def test_what_is_no_multipart_is_refused(kind: str, body: bytes) -> None:
    with pytest.raises(ApiError, match="Failed to parse the multipart upload") as refusal:
        await received(request(body, kind), "multipart", None)
    assert refusal.value.status == 400


async def test_media_without_an_end_are_refused_while_they_are_read() -> None:
    cut = related(b"media")[:-10]
    _, media = await received(request(cut, "multipart/related; boundary==-="), "multipart", None)
    with pytest.raises(ApiError, match="it ends before its last boundary"):
        await read(media)


@pytest.mark.parametrize("upload_type", ["multipart", "resumable"])
async def test_metadata_without_an_end_are_not_collected(upload_type: str) -> None:
    body = b"--=-=\r\n\r\n" + b"x" * (2 * MAX_METADATA)
    with pytest.raises(ApiError) as refusal:
        await received(request(body, "multipart/related; boundary==-="), upload_type, None)
    assert refusal.value.status == 413


@pytest.mark.parametrize("upload_type", [None, "", "other"])
async def test_an_upload_names_its_protocol(upload_type: str | None) -> None:
    with pytest.raises(ApiError) as refusal:
        await received(request(b"x", "text/plain"), upload_type, None)
    assert (refusal.value.status, refusal.value.location) == (400, "uploadType")


async def test_nothing_is_uploaded_within_a_batch() -> None:
    asked = HttpRequest("POST", "storage.googleapis.com", TARGET, headers({}), b"x")
    with pytest.raises(ApiError, match="within a batch"):
        await received(asked, "media", None)
