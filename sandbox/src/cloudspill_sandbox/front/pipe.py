# SPDX-License-Identifier: GPL-3.0-or-later
"""Raw connections: read one HTTP head from them, then join two, or hand one on."""

from __future__ import annotations

import asyncio
from typing import cast

MAX_HEAD = 16 * 1024
HEAD_END = b"\r\n\r\n"


class HeadError(Exception):
    """The other side sent no HTTP head, or too long a one."""


class HeadReader(asyncio.Protocol):
    """Reads an HTTP head, then holds the connection still until someone takes it over."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: asyncio.Future[tuple[bytes, bytes]] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport

    async def head(self) -> tuple[bytes, bytes]:
        """Return the head without its empty line, and what came after it.

        Raises:
            HeadError: the connection ended first, or the head is too long.
        """
        return await self._head

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Collect until the empty line."""
        self._buffer += data
        if self._head.done():
            return
        head, end, rest = self._buffer.partition(HEAD_END)
        if end:
            self.transport.pause_reading()
            self._head.set_result((bytes(head), bytes(rest)))
        elif len(self._buffer) > MAX_HEAD:
            self._fail("head too long")

    def eof_received(self) -> None:
        """Give up on a head that will not come."""
        self._fail("connection ended")

    def connection_lost(self, _error: Exception | None) -> None:
        """Give up on a head that will not come."""
        self._fail("connection lost")

    def _fail(self, why: str) -> None:
        if not self._head.done():
            self._head.set_exception(HeadError(why))
            self._head.exception()  # retrieved: nobody may be waiting any more


class Held(asyncio.Protocol):
    """Keeps a fresh connection still until someone takes it over."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Stop reading before it begins."""
        cast("asyncio.Transport", transport).pause_reading()


def join(
    one: asyncio.Transport, other: asyncio.Transport, open_ends: set[asyncio.Transport]
) -> None:
    """Pass bytes both ways until both sides have ended, each no faster than the other takes.

    Args:
        open_ends: holds both connections as long as they live.
    """
    ended: set[asyncio.Transport] = set()
    for own, peer in ((one, other), (other, one)):
        open_ends.add(own)
        own.set_protocol(_Pipe(own, peer, ended, open_ends))
        own.resume_reading()


class _Pipe(asyncio.Protocol):
    """One end of a joined pair.

    Args:
        ended: those of the pair that have sent all they will.
    """

    def __init__(
        self,
        own: asyncio.Transport,
        peer: asyncio.Transport,
        ended: set[asyncio.Transport],
        open_ends: set[asyncio.Transport],
    ) -> None:
        self._own = own
        self._peer = peer
        self._ended = ended
        self._open_ends = open_ends

    def data_received(self, data: bytes) -> None:
        self._peer.write(data)

    def eof_received(self) -> bool:
        """Pass a half-close on; keep our own half open as long as the peer may answer."""
        self._ended.add(self._own)
        if self._peer.is_closing() or not self._peer.can_write_eof():
            return False
        self._peer.write_eof()
        return self._peer not in self._ended

    def pause_writing(self) -> None:
        if not self._peer.is_closing():
            self._peer.pause_reading()

    def resume_writing(self) -> None:
        if not self._peer.is_closing():
            self._peer.resume_reading()

    def connection_lost(self, _error: Exception | None) -> None:
        self._open_ends.discard(self._own)
        self._peer.close()


class Handover(asyncio.Protocol):
    """Stands in while TLS is set up in place, and loses no byte that comes with its last step."""

    def __init__(self) -> None:
        self._early = bytearray()
        self._lost = False

    def data_received(self, data: bytes) -> None:
        """Keep what comes before the real protocol is there."""
        self._early += data

    def connection_lost(self, _error: Exception | None) -> None:
        """Remember."""
        self._lost = True

    def to(self, protocol: asyncio.Protocol, transport: asyncio.Transport) -> None:
        """Put the real protocol in place."""
        if self._lost:
            return
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        transport.resume_reading()
        if self._early:
            protocol.data_received(bytes(self._early))
