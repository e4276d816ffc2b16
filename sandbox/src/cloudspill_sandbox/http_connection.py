# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP connections: how many one guest may have, and what becomes of what is no HTTP.

Google's agents in a guest speak gRPC, that is HTTP/2, even where TLS has not agreed on it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler, RequestPayloadError

MALFORMED = "Your client has issued a malformed or illegal request."
"""Google's sentence for what is no request."""

KEEP_ALIVE = 300.0
"""Seconds that a connection may be idle, or take for the head of a request."""

MAX_CONNECTIONS = 256
"""Connections at once from one address other than loopback, that is from one guest."""

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


class LimitedServer(web.Server):
    """aiohttp's server with a limit on the connections of one guest."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, keepalive_timeout=KEEP_ALIVE, access_log=None, **more)
        self._peers: Counter[str] = Counter()
        # A TLS transport that has closed no longer knows its peer.
        self._peer_of: dict[RequestHandler, str] = {}

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Count the peer's connections; end the one too many."""
        super().connection_made(handler, transport)
        peer: str = transport.get_extra_info("peername", ("",))[0]
        self._peer_of[handler] = peer
        self._peers[peer] += 1
        if self._peers[peer] > MAX_CONNECTIONS and not peer.startswith("127."):
            _LOG.warning("%s has more than %d connections: refused", peer, MAX_CONNECTIONS)
            transport.abort()

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Forget the connection."""
        super().connection_lost(handler, exc)
        peer = self._peer_of.pop(handler, None)
        if peer is not None:
            self._peers[peer] -= 1
            if not self._peers[peer]:
                del self._peers[peer]
