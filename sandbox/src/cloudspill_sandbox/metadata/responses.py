# SPDX-License-Identifier: GPL-3.0-or-later
"""How the metadata server answers: headers that clients check, and refusals.

https://cloud.google.com/compute/docs/metadata/querying-metadata and, for how libraries
recognise the server, https://cloud.google.com/compute/docs/instances/detect-compute-engine.
"""

from __future__ import annotations

import html
import json
from typing import Any

from aiohttp import web

_EVERY_ANSWER = {
    "Metadata-Flavor": "Google",
    "Server": "Metadata Server for VM",
    "X-XSS-Protection": "0",
    "X-Frame-Options": "SAMEORIGIN",
}
_TITLES = {
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Request Entity Too Large",
}


class Refusal(Exception):  # noqa: N818 (it is an answer, not a failure)
    """A request that is answered by a status and a sentence.

    Args:
        status: HTTP status code, a key of _TITLES.
        sentence: what is wrong, as Google says it where Google's words are known.
        plain: the body is the sentence alone, as for guest attributes.
    """

    def __init__(self, status: int, sentence: str, *, plain: bool = False) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.plain = plain


def not_found(path: str) -> Refusal:
    """Return the refusal of a path that does not exist."""
    return Refusal(
        404, f"The requested URL <code>{html.escape(path)}</code> was not found on this server."
    )


def forbidden(path: str, reason: str) -> Refusal:
    """Return the refusal of a request that lacks what every client of the server sends."""
    return Refusal(
        403,
        "Your client does not have permission to get URL "
        f"<code>{html.escape(path)}</code> from this server. {reason}",
    )


def text(body: str, etag: str | None = None) -> web.Response:
    """Return a value or a listing."""
    return _response(200, body, "application/text", etag)


def json_text(body: str, etag: str | None = None) -> web.Response:
    """Return JSON that is already text."""
    return _response(200, body, "application/json", etag)


def json_object(body: dict[str, Any]) -> web.Response:
    """Return an object such as a token."""
    return json_text(json.dumps(body, separators=(",", ":")))


def redirect(location: str) -> web.Response:
    """Send a client from a directory's name to the directory."""
    answer = _response(301, "", "text/html", None)
    answer.headers["Location"] = location
    return answer


def refusal(refused: Refusal) -> web.Response:
    """Return an error page in the form of Google's front ends."""
    if refused.plain:
        return _response(refused.status, refused.sentence, "text/html", None)
    title = f"Error {refused.status} ({_TITLES[refused.status]})!!1"
    page = (
        f"<!DOCTYPE html>\n<html lang=en>\n<meta charset=utf-8>\n<title>{title}</title>\n"
        f"<p><b>{refused.status}.</b> <ins>That&rsquo;s an error.</ins>\n"
        f"<p>{refused.sentence} <ins>That&rsquo;s all we know.</ins>\n"
    )
    return _response(refused.status, page, "text/html", None)


def _response(status: int, body: str, content_type: str, etag: str | None) -> web.Response:
    headers = dict(_EVERY_ANSWER)
    if etag is not None:
        headers["ETag"] = etag
    if content_type == "text/html":
        content_type = "text/html; charset=UTF-8"
    headers["Content-Type"] = content_type
    return web.Response(status=status, body=body.encode(), headers=headers)
