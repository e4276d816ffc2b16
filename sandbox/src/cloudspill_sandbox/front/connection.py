# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTP connection to the API."""

from __future__ import annotations

import contextlib
import socket

from aiohttp import web

from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.front.http import JSON_TYPE, json_response
from cloudspill_sandbox.http_connection import MALFORMED, HttpConnection


class Connection(HttpConnection):
    """A connection whose refusals are Google's JSON."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request, and acknowledge at once those that more follow.

        Behind a proxy urllib3 leaves Nagle's algorithm on and sends a body on its own: it would
        wait for the kernel's delayed acknowledgement of the headers, 40 ms with each request.
        """
        if self.transport is not None and not data.startswith(b"GET "):
            connection = self.transport.get_extra_info("socket")  # None: closed meanwhile
            with contextlib.suppress(OSError, AttributeError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        super().data_received(data)

    def malformed(self, status: int) -> web.Response:
        """Return Google's error JSON for what is no request."""
        body = json_response(ApiError(status, "badRequest", MALFORMED).body()).body
        return web.Response(status=status, body=body, headers={"Content-Type": JSON_TYPE})
