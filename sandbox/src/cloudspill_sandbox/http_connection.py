# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTP connection, and what becomes of clients that speak something else.

Google's agents in a guest speak gRPC, that is HTTP/2, even where TLS has not agreed on it.
"""

from __future__ import annotations

import logging
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler, RequestPayloadError

MALFORMED = "Your client has issued a malformed or illegal request."
"""Google's sentence for what is no request."""

_LOG = logging.getLogger(__name__)
_PREFACE = b"PRI * HTTP/2.0\r\n"


class HttpConnection(RequestHandler):
    """aiohttp's connection; what is no HTTP/1.1 costs a line in the log and no traceback."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request, or end a connection that begins as HTTP/2 does.

        Without a word: to gRPC, a server that answers the preface (RFC 9113, section 3.4) and then
        refuses is one to come back to at once; one that ends the connection is left alone for
        longer and longer (https://grpc.github.io/grpc/core/md_doc_connection-backoff.html).
        """
        if not data.startswith(_PREFACE) or self.transport is None:
            super().data_received(data)
            return
        _LOG.info("HTTP/2 from %s refused: HTTP/1.1 is spoken here", self._peer())
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP with a 400; the rest is aiohttp's to handle."""
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        # Its message quotes what the client sent, which may hold a token: log its name alone.
        _LOG.info("no HTTP request from %s: %s", self._peer(), type(exc).__name__)
        response = self.malformed(status)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log an accident; a body that cannot be decoded is none, though aiohttp meets it again."""
        if isinstance(kw.get("exc_info"), RequestPayloadError):
            _LOG.info("the body of a request from %s cannot be decoded", self._peer())
        else:
            super().log_exception(*args, **kw)

    def malformed(self, status: int) -> web.Response:
        """Return the answer to what is no request."""
        return web.Response(status=status, text=MALFORMED)

    def _peer(self) -> str:
        peer = self.transport.get_extra_info("peername") if self.transport else None
        return str(peer[0]) if peer else "a client that is gone"
