# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies over the socket: read whole or as they come, sent from memory or from a file."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from aiohttp import web
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
        yield await _read(request, held, room) if request.can_read_body else b""


async def _read(
    request: web.BaseRequest, held: contextlib.AsyncExitStack, room: asyncio.Semaphore
) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            while chunk := await request.content.readany():
                if len(body) <= LARGE < len(body) + len(chunk):
                    await held.enter_async_context(room)
                body += chunk
                if len(body) > MAX_BODY:
                    raise _too_large()
    except TimeoutError:
        raise _too_slow() from None
    except RequestPayloadError:
        raise _broken() from None
    return bytes(body)


async def chunks(request: web.BaseRequest) -> AsyncIterator[bytes]:
    """Yield a request's body as it comes, some 64 KiB at a time at most.

    Raises:
        ApiError: 408, the client stopped sending; 400, the encoding is broken.
        ConnectionError: the client left.
    """
    if not request.can_read_body:
        return
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(_CONTINUE)
        request.writer.output_size = 0
    try:
        while True:
            async with asyncio.timeout(BODY_TIMEOUT):
                chunk = await request.content.readany()
            if not chunk:
                return
            yield chunk
    except TimeoutError:
        raise _too_slow() from None
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
