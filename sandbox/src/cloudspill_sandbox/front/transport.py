# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies over the socket: read whole or as they come, sent from memory or from a file."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import zlib
from collections.abc import AsyncIterator

from aiohttp import HttpVersion11, web
from aiohttp.web_protocol import RequestPayloadError

from cloudspill_sandbox.engine.call import Content
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.validation import LARGE
from cloudspill_sandbox.front.http import HttpResponse
from cloudspill_sandbox.http_connection import MALFORMED

MAX_BODY = 10 * 1024 * 1024
"""Bytes of a body that is held in memory."""

LARGE_AT_ONCE = 32
"""Large bodies that are held at once."""

BODY_TIMEOUT = 60.0
"""Seconds for a body that is read whole, and for the next bytes of an upload."""

_LOG = logging.getLogger("cloudspill_sandbox.front")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""What zlib is told to take, by content coding (RFC 9110, section 8.4.1)."""
_PIECE = 64 * 1024


@contextlib.asynccontextmanager
async def whole(request: web.BaseRequest, room: asyncio.Semaphore) -> AsyncIterator[bytes]:
    """Hold a request's body in memory; where it is large, as long as there is room.

    Args:
        room: for large bodies.

    Raises:
        ApiError: 400, it is longer than MAX_BODY, or its encoding is broken; 408, it does not
            come in time, or others take all the room.
        ConnectionError: the client left.
    """
    async with contextlib.AsyncExitStack() as held:
        yield await _read(request, held, room)


async def _read(
    request: web.BaseRequest, held: contextlib.AsyncExitStack, room: asyncio.Semaphore
) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            async for chunk in unpacked(coding_of(request), _pieces(request)):
                if len(body) <= LARGE < len(body) + len(chunk):
                    await held.enter_async_context(room)
                body += chunk
                if len(body) > MAX_BODY:
                    raise _too_large()
    except TimeoutError:
        raise _too_slow() from None
    return bytes(body)


async def chunks(request: web.BaseRequest) -> AsyncIterator[bytes]:
    """Yield a request's body as it comes, packed if it was, some 64 KiB at a time at most.

    Raises:
        ApiError: 408, the client stopped sending; 400, the framing is broken.
        ConnectionError: the client left.
    """
    pieces = _pieces(request)
    try:
        while True:
            async with asyncio.timeout(BODY_TIMEOUT):
                chunk = await anext(pieces, b"")
            if not chunk:
                return
            yield chunk
    except TimeoutError:
        raise _too_slow() from None


def coding_of(request: web.BaseRequest) -> str:
    """Return a request's Content-Encoding, "" for none."""
    return request.headers.get("Content-Encoding", "")


async def unpacked(coding: str, packed: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield what a body stands for that came as its Content-Encoding says.

    So come documents, and uploads by the JSON API, which are stored unpacked (--gzip-in-flight in
    https://cloud.google.com/sdk/gcloud/reference/storage/cp). The XML API stores what it is sent.

    Raises:
        ApiError: 400, the encoding is broken.
    """
    window = _WINDOWS.get(coding.strip().lower())
    if window is None:
        async for chunk in packed:
            yield chunk
        return
    unpacker, begun = zlib.decompressobj(window), False
    try:
        async for chunk in packed:
            begun, rest = True, chunk
            while rest:
                if unpacker.eof:  # what follows is another member
                    unpacker = zlib.decompressobj(window)
                if block := unpacker.decompress(rest, _PIECE):
                    yield block
                rest = unpacker.unconsumed_tail or unpacker.unused_data
                await asyncio.sleep(0)  # two megabytes may be two gigabytes: others have a turn
    except zlib.error:
        raise _broken() from None
    if begun and not unpacker.eof:
        raise _broken()


async def _pieces(request: web.BaseRequest) -> AsyncIterator[bytes]:
    """Yield a body as it comes; a client that waits for a word is told to go on (RFC 9110, 10.1.1).

    Raises:
        ApiError: 400, the framing is broken.
    """
    waits = request.headers.get("Expect", "").lower() == "100-continue"
    if waits and request.can_read_body and request.version >= HttpVersion11:
        await request.writer.write(_CONTINUE)
        request.writer.output_size = 0
    try:
        while chunk := await request.content.readany():
            yield chunk
    except RequestPayloadError:
        raise _broken() from None


async def send(request: web.BaseRequest, response: HttpResponse) -> web.StreamResponse:
    """Return the response to a request; one from a file has been sent by then."""
    headers = {"Server": "ESF", **response.headers}
    if response.content_type is not None:
        headers["Content-Type"] = response.content_type
    if response.content is None:
        return web.Response(status=response.status, body=response.body, headers=headers)
    streamed = web.StreamResponse(status=response.status, headers=headers)
    try:
        await _stream(request, streamed, response.content)
    except ConnectionError:
        _LOG.info("%s left before it had the whole answer", request.remote or "a client")
    finally:
        response.content.close()
    return streamed


async def _stream(request: web.BaseRequest, response: web.StreamResponse, content: Content) -> None:
    if content.size is None:
        response.enable_chunked_encoding()
    else:
        response.content_length = content.size
    await response.prepare(request)
    if request.method != "HEAD":
        while chunk := await asyncio.to_thread(content.read):
            await response.write(chunk)
    await response.write_eof()


def _too_large() -> ApiError:
    # Words: a real answer, https://github.com/PsychoinformaticsLab/pliers/issues/481
    limit = f"Request payload size exceeds the limit: {MAX_BODY} bytes."
    return ApiError(400, "badRequest", limit, code="INVALID_ARGUMENT")


def _too_slow() -> ApiError:
    return ApiError(408, "requestTimeout", "The request body did not come in time.")


def _broken() -> ApiError:
    return ApiError(400, "badRequest", MALFORMED)
