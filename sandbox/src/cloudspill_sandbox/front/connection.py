# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTP connection to the API."""

from __future__ import annotations

from aiohttp import web

from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.front.http import JSON_TYPE, json_response
from cloudspill_sandbox.http_connection import MALFORMED, HttpConnection


class Connection(HttpConnection):
    """A connection whose refusals are Google's JSON."""

    __slots__ = ()

    def malformed(self, status: int) -> web.Response:
        """Return Google's error JSON for what is no request."""
        body = json_response(ApiError(status, "badRequest", MALFORMED).body()).body
        return web.Response(status=status, body=body, headers={"Content-Type": JSON_TYPE})
