# SPDX-License-Identifier: GPL-3.0-or-later
"""Several API calls in one HTTP request: multipart/mixed of application/http.

https://cloud.google.com/compute/docs/api/how-tos/batch. gcloud uses it for two instances or more.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from email.message import Message
from email.parser import HeaderParser
from http import HTTPStatus
from urllib.parse import urlsplit

from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.front.http import HttpRequest, HttpResponse, headers, json_response

MAX_CALLS = 1000
"""Google's own limit."""

_LARGE = 16 * 1024
"""Bytes from which on a batch is taken apart in a thread."""

_LARGEST_HEAD = 64 * 1024
"""Bytes of headers that a part may have, and a call."""

_NO_MEDIA = json_response(
    ApiError(400, "badRequest", "Media cannot be downloaded within a batch request.").body(),
    status=400,
)

Answerer = Callable[[HttpRequest], Awaitable[HttpResponse]]


async def answer_batch(request: HttpRequest, answer: Answerer) -> HttpResponse:
    """Answer every call of a batch, one after the other, in its order.

    Raises:
        ApiError: 400, the request is no batch; nothing was done then.
    """
    if len(request.body) > _LARGE:
        calls = await asyncio.to_thread(_calls, request)
    else:
        calls = _calls(request)
    boundary = f"batch_{secrets.token_urlsafe(18)}"
    content = bytearray()
    for content_id, call in calls:
        await asyncio.sleep(0)  # a thousand calls: others have their turn between them
        response = await answer(call)
        if response.content is not None:
            response.content.close()
            response = _NO_MEDIA
        content += f"--{boundary}\r\n".encode() + _part(content_id, response)
    content += f"--{boundary}--\r\n".encode()
    return HttpResponse(200, bytes(content), f'multipart/mixed; boundary="{boundary}"')


def _calls(request: HttpRequest) -> list[tuple[str | None, HttpRequest]]:
    """Return the calls of a batch, each with its Content-ID."""
    return [(head.get("Content-ID"), _call(head, text, request)) for head, text in _parts(request)]


def _parts(request: HttpRequest) -> list[tuple[Message, bytes]]:
    """Return the headers and the content of each part.

    By hand: what Python's parser of mail needs grows with the lines and, for parts within parts,
    with the square of their depth; six bodies of 4 MB were a minute's work and 3 GB.
    """
    kind = Message()
    kind["Content-Type"] = request.headers.get("Content-Type", "")
    if kind.get_content_type() != "multipart/mixed":
        raise _refusal("The batch request's Content-Type must be multipart/mixed.")
    boundary = kind.get_boundary()
    if not boundary:
        raise _refusal("Failed to parse batch request, error: malformed multipart.")
    name = re.escape(boundary.encode("latin-1", "replace"))
    line = re.compile(rb"(?:\A|\r?\n)--" + name + rb"(?P<last>--)?[ \t]*(?=\r?\n|\Z)")
    starts: list[int] = []
    ends: list[int] = []
    for found in line.finditer(request.body):
        ends.append(found.start())
        if found["last"] or len(starts) > MAX_CALLS:
            break
        starts.append(found.end())
    else:
        ends.append(len(request.body))
    if not starts:
        raise _refusal("Failed to parse batch request, error: 0 items.")
    if len(starts) > MAX_CALLS:
        raise _refusal(f"The batch request exceeds the maximum of {MAX_CALLS} calls.")
    return [
        _split(request.body[start:end].replace(b"\r\n", b"\n").removeprefix(b"\n"))
        for start, end in zip(starts, ends[1:], strict=True)
    ]


def _split(text: bytes) -> tuple[Message, bytes]:
    """Return the headers that a text begins with, and what follows them."""
    head, _, rest = text.partition(b"\n\n")
    if text.startswith(b"\n"):  # no headers
        head, rest = b"", text[1:]
    if len(head) > _LARGEST_HEAD:
        raise _refusal("Failed to parse batch request, error: the headers of a part are too large.")
    return HeaderParser().parsestr(head.decode("latin-1")), rest


def _call(part: Message, text: bytes, outer: HttpRequest) -> HttpRequest:
    """Return the call inside a part; what it does not say, the outer request says."""
    line, _, rest = text.lstrip(b"\n").partition(b"\n")
    words = line.decode("latin-1").split(" ")
    if part.get_content_type() != "application/http" or len(words) not in (2, 3):
        raise _refusal("Failed to parse batch request, error: a part is no HTTP request.")
    head, body = _split(rest)
    fields = headers({key: str(value) for key, value in head.items()})
    for name in ("Authorization", "User-Agent"):
        if name not in fields and name in outer.headers:
            fields[name] = outer.headers[name]
    try:
        url = urlsplit(words[1])
    except ValueError:
        raise _refusal("Failed to parse batch request, error: a part has no valid URL.") from None
    target = (url.path if url.path.startswith("/") else f"/{url.path}") or "/"
    if url.query:
        target += f"?{url.query}"
    return replace(
        outer, method=words[0].upper(), target=target, headers=fields, body=body.rstrip(b"\n")
    )


def _part(content_id: str | None, response: HttpResponse) -> bytes:
    lines = ["Content-Type: application/http"]
    if content_id:
        lines.append(f"Content-ID: <response-{content_id.strip().strip('<>')}>")
    reason = HTTPStatus(response.status).phrase
    lines += ["", f"HTTP/1.1 {response.status} {reason}"]
    fields = {"Content-Type": response.content_type} | dict(response.headers)
    lines += [f"{name}: {value}" for name, value in fields.items() if value]
    lines += [f"Content-Length: {len(response.body)}", "", ""]
    return "\r\n".join(lines).encode() + response.body + b"\r\n"


def _refusal(message: str) -> ApiError:
    return ApiError(400, "badRequest", message, code="INVALID_ARGUMENT")
