# SPDX-License-Identifier: GPL-3.0-or-later
"""Uploads: what of a request is metadata, and the media behind it, never held in memory.

https://cloud.google.com/storage/docs/uploads-downloads#uploads. The protocols are `media` (the
body is the media), `multipart` (RFC 2387: a JSON part, then the media) and `resumable` (first the
metadata alone, then the media in requests of their own, which carry an `upload_id`).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator
from email.message import Message

from cloudspill_sandbox.engine.call import Media
from cloudspill_sandbox.engine.errors import ApiError, invalid_parameter
from cloudspill_sandbox.front.http import HttpRequest

MAX_METADATA = 1024 * 1024
"""Bytes of the JSON that describes an object."""

UPLOAD_ID = "upload_id"


async def received(
    request: HttpRequest, upload_type: str | None, upload_id: str | None
) -> tuple[bytes, Media | None]:
    """Return the JSON text ("" without one) and the media of an upload.

    Raises:
        ApiError: 400, it follows none of the protocols; 413, the metadata are too long.
    """
    kind = request.headers.get("Content-Type")
    if request.stream is None:
        raise ApiError(400, "badRequest", "Media cannot be uploaded within a batch request.")
    if upload_id is not None or upload_type == "media":
        return request.body, Media(kind, request.stream)
    if upload_type == "resumable":
        return await _collected(request.stream), None
    if upload_type == "multipart":
        return await _multipart(kind or "", request.stream)
    sentence = "Invalid upload request: uploadType must be media, multipart or resumable"
    message = f"{sentence}, not '{upload_type or ''}'."
    raise invalid_parameter("uploadType", message, logged=f"{sentence}.")


async def _collected(stream: AsyncIterable[bytes]) -> bytes:
    content = bytearray()
    async for chunk in stream:
        content += chunk
        if len(content) > MAX_METADATA:
            raise _too_long()
    return bytes(content)


async def _multipart(kind: str, stream: AsyncIterator[bytes]) -> tuple[bytes, Media]:
    buffer = _Buffer(stream)
    dashes = b"--" + _boundary(kind)
    await buffer.until(dashes)
    newline = b"\r\n" if (await buffer.until(b"\n")).endswith(b"\r") else b"\n"
    await buffer.head(newline)
    text = await buffer.until(newline + dashes)
    await buffer.until(newline)
    head = await buffer.head(newline)
    return text, Media(_content_type(head), buffer.rest_until(newline + dashes))


def _boundary(kind: str) -> bytes:
    """Return the boundary out of a Content-Type; apitools puts it between single quotes."""
    header = Message()
    header["Content-Type"] = kind
    boundary = header.get_boundary()
    if header.get_content_type() != "multipart/related" or not boundary:
        raise _malformed("its Content-Type must be multipart/related with a boundary")
    if len(boundary) > 2 and boundary[0] == boundary[-1] == "'":
        boundary = boundary[1:-1]
    return boundary.encode("latin-1", "replace")


def _content_type(head: bytes) -> str | None:
    found = re.search(rb"(?im)^content-type:[ \t]*([^\r\n]*)", head)
    return found[1].decode("latin-1").strip() or None if found else None


class _Buffer:
    """Looks for marks in a stream; holds no more of it than it must."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self._stream = stream
        self._bytes = bytearray()

    async def until(self, mark: bytes) -> bytes:
        """Return what comes before a mark, and go on behind it."""
        searched = 0
        while (position := self._bytes.find(mark, searched)) < 0:
            searched = max(0, len(self._bytes) - len(mark) + 1)
            if len(self._bytes) > MAX_METADATA:
                raise _too_long()
            await self._more()
        text = bytes(self._bytes[:position])
        del self._bytes[: position + len(mark)]
        return text

    async def head(self, newline: bytes) -> bytes:
        """Return the headers of a part, which may have none, and go on behind the empty line."""
        self._bytes[:0] = newline
        return await self.until(newline * 2)

    async def rest_until(self, mark: bytes) -> AsyncIterator[bytes]:
        """Yield what comes before a mark; then read to the stream's end."""
        while (position := self._bytes.find(mark)) < 0:
            known = len(self._bytes) - len(mark) + 1
            if known > 0:
                yield bytes(self._bytes[:known])
                del self._bytes[:known]
            await self._more()
        yield bytes(self._bytes[:position])
        async for _ in self._stream:
            pass

    async def _more(self) -> None:
        async for chunk in self._stream:
            self._bytes += chunk
            return
        raise _malformed("it ends before its last boundary")


def _malformed(why: str) -> ApiError:
    return ApiError(400, "badRequest", f"Failed to parse the multipart upload request: {why}.")


def _too_long() -> ApiError:
    return ApiError(
        413, "uploadTooLarge", f"The metadata of an upload exceed {MAX_METADATA} bytes."
    )
