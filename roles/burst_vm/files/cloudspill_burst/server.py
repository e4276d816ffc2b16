# SPDX-License-Identifier: GPL-3.0-or-later
"""The keeper's socket: calls, each on a connection of its own, and the monitor's one stream."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from . import protocol
from .folders import Folders
from .guard import Guard
from .keeper import Keeper
from .lease import Phase
from .lines import incoming, next_line, receive
from .protocol import MAX_LINE, Document, Refusal, bad_request, encode
from .run_life import RunLife
from .stream import Stream

_log = logging.getLogger(__name__)
_CHUNK = 256 * 1024


class Server:
    """Answers on a Unix socket that only this process's user can open.

    Args:
        folders: where the socket is.
        boot: identity of this boot.
        keeper, life, guard: who carries out what is asked.
        boottime: CLOCK_BOOTTIME.
        tick: seconds between the ticks of a stream.
    """

    def __init__(
        self,
        folders: Folders,
        boot: str,
        keeper: Keeper,
        life: RunLife,
        guard: Guard,
        boottime: Callable[[], float],
        tick: float,
    ) -> None:
        self._folders, self._boot = folders, boot
        self._keeper, self._life, self._guard = keeper, life, guard
        self._boottime, self._tick = boottime, tick
        self._connections: set[asyncio.Future[None]] = set()
        self._stream: Stream | None = None
        self._server: asyncio.AbstractServer | None = None

    async def open(self) -> None:
        """Start to listen."""
        self._folders.socket.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(
            self._accept, str(self._folders.socket), limit=MAX_LINE
        )
        self._folders.socket.chmod(0o600)

    async def close(self) -> None:
        """Cut all connections and stop listening."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The event loop itself does not hold on to tasks.
        connection = asyncio.ensure_future(self._connection(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await next_line(reader)
            if line is None:
                return
            document = protocol.decode(line)
            if document.get("do") == "stream":
                await self._serve_stream(reader, writer)
            else:
                answer, archive = await self._call(document, reader)
                await _send(writer, answer, archive)
        except Refusal as refusal:
            await _send(writer, refusal.answer(), None)
        except OSError as error:
            if not isinstance(error, ConnectionError):
                _log.exception("a request failed")
            with contextlib.suppress(ConnectionError):
                await _send(writer, Refusal("failed", str(error)).answer(), None)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _serve_stream(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        stream = Stream(
            reader, writer, self._keeper, self._life, self._guard, self._folders, self.status
        )
        earlier, self._stream = self._stream, stream
        if earlier is not None:
            earlier.end()
        await stream.serve(self._tick)

    async def _call(
        self, document: Document, reader: asyncio.StreamReader
    ) -> tuple[Document, Path | None]:
        size = protocol.number(document, "archive", 0)
        with incoming(self._folders.incoming) as path:
            await receive(reader, size, path)
            return await self._answer(document, path if size else None)

    async def _answer(
        self, document: Document, archive: Path | None
    ) -> tuple[Document, Path | None]:
        asked = document.get("do")
        if asked == "status":
            return self.status(), None
        if asked == "prepare":
            move, slug = protocol.number(document, "move"), protocol.slug(document)
            if archive is None:
                raise bad_request("prepare needs an archive")
            await self._keeper.prepare(move, slug, archive)
            return {}, None
        if asked == "start":
            run = await self._keeper.start(protocol.start(document), archive)
            return self._life.describe(run), None
        if asked == "stop":
            move, number = protocol.number(document, "move"), protocol.number(document, "run")
            run = await self._keeper.stop(move, number)
            return {**self._life.describe(run), "archive": run.size}, self._keeper.archive(run)
        raise bad_request(f"a call can be status, prepare, start or stop, not {asked!r:.80}")

    def status(self) -> Document:
        """Return how everything stands."""
        return {
            "boot_id": self._boot,
            "boottime": self._boottime(),
            "lease": {
                "expires_in": round(self._guard.expires_in, 3),
                "fenced": self._guard.phase is Phase.OVER,
                "renewed": self._guard.heard,
            },
            "fenced_move": self._keeper.fenced_move(),
            "preempted": self._keeper.preempted,
            "runs": self._keeper.status(),
        }


async def _send(writer: asyncio.StreamWriter, answer: Document, archive: Path | None) -> None:
    with contextlib.ExitStack() as stack:
        # Open before the first byte: what is announced must come.
        file = stack.enter_context(archive.open("rb")) if archive is not None else None
        writer.write(encode(answer))
        await writer.drain()
        while file is not None and (data := file.read(_CHUNK)):
            writer.write(data)
            await writer.drain()
