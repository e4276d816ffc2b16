# SPDX-License-Identifier: GPL-3.0-or-later
"""The monitor's stream: ticks, logs and checkpoints go home; renewals and requests come."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from . import archives, protocol
from .folders import Folders
from .guard import Guard
from .host_cpu import HostCpu
from .keeper import Keeper
from .lines import next_line
from .log_follow import follow
from .protocol import Document, Refusal, bad_request, encode
from .run_life import RunLife

_log = logging.getLogger(__name__)
_CHUNK = 192 * 1024
"""Bytes of an archive in one line: 256 KiB in base64."""
_MOST_AT_ONCE = 64


class Stream:
    """One connection of the monitor.

    Args:
        reader, writer: the connection.
        keeper, life, guard: who carries out what is asked.
        folders: where logs and archives are.
        status: tells how everything stands.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        keeper: Keeper,
        life: RunLife,
        guard: Guard,
        folders: Folders,
        status: Callable[[], Document],
    ) -> None:
        self._reader, self._writer = reader, writer
        self._keeper, self._life, self._guard = keeper, life, guard
        self._folders = folders
        self._status = status
        self._sending = asyncio.Lock()
        self._changed = asyncio.Event()
        self._ended = False
        self._requests: set[asyncio.Future[None]] = set()
        self._followed: dict[int, asyncio.Future[None]] = {}
        self._do: dict[str, Callable[[Document], Awaitable[Document]]] = {
            "status": self._tell_status,
            "fence": self._fence,
            "stop": self._stop,
            "resume": self._resume,
            "release": self._release,
            "pull": self._pull,
            "follow": self._follow,
        }

    def end(self) -> None:
        """Another stream has come: nothing that this one still delivers is obeyed."""
        self._ended = True
        transport: Any = self._writer.transport
        transport.abort()

    async def serve(self, tick: float) -> None:
        """Serve until the connection ends."""
        unlisten = self._life.on_change(self._changed.set)
        ticking = asyncio.ensure_future(self._tick(tick))
        try:
            await self._read()
        finally:
            unlisten()
            self._ended = True
            for work in [ticking, *self._followed.values()]:
                work.cancel()

    async def _read(self) -> None:
        while not self._ended:
            try:
                line = await next_line(self._reader)
                if line is None or self._ended:
                    return
                document = protocol.decode(line)
                if "renew" in document:
                    self._guard.renew(document["renew"])
                else:
                    self._begin(document)
            except Refusal as refusal:
                await self._send({"id": None, **refusal.answer()})

    def _begin(self, document: Document) -> None:
        if len(self._requests) >= _MOST_AT_ONCE:
            raise Refusal("busy", f"{_MOST_AT_ONCE} requests are being carried out")
        request = asyncio.ensure_future(self._request(document))
        self._requests.add(request)
        request.add_done_callback(self._requests.discard)

    async def _request(self, document: Document) -> None:
        number = document.get("id") if isinstance(document.get("id"), (int, str)) else None
        answer: Document
        try:
            do = self._do.get(str(document.get("do")))
            if do is None:
                raise bad_request(f"a stream can be asked for {', '.join(self._do)}")
            answer = {"id": number, "ok": await do(document)}
        except Refusal as refusal:
            answer = {"id": number, **refusal.answer()}
        except ConnectionError:
            return
        except OSError as error:
            _log.exception("a request failed")
            answer = {"id": number, **Refusal("failed", str(error)).answer()}
        with contextlib.suppress(ConnectionError):
            await self._send(answer)

    async def _tick(self, seconds: float) -> None:
        cpu = HostCpu()
        busy = 0.0
        with contextlib.suppress(ConnectionError):
            while True:
                async with self._sending:  # the token is as young as can be
                    self._writer.write(encode({"tick": self._state(busy)}))
                    await self._writer.drain()
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), seconds)
                if self._changed.is_set():
                    self._changed.clear()
                else:
                    busy = cpu.percent()

    def _state(self, cpu: float) -> Document:
        status = self._status()
        return {
            "token": self._guard.token(),
            "expires_in": status["lease"]["expires_in"],
            "cpu": cpu,
            "preempted": status["preempted"],
            "fenced": status["lease"]["fenced"],
            "runs": status["runs"],
        }

    async def _send(self, document: Document) -> None:
        if self._ended:
            raise ConnectionResetError("the stream has ended")
        async with self._sending:
            self._writer.write(encode(document))
            await self._writer.drain()

    async def _tell_status(self, _document: Document) -> Document:
        return self._status()

    async def _fence(self, document: Document) -> Document:
        await self._keeper.fence(protocol.number(document, "move"))
        return self._status()  # nothing that was on its way can change it any more

    async def _stop(self, document: Document) -> Document:
        return self._life.describe(await self._keeper.end(protocol.number(document, "run")))

    async def _resume(self, document: Document) -> Document:
        return self._life.describe(await self._keeper.resume(protocol.number(document, "run")))

    async def _release(self, document: Document) -> Document:
        return self._life.describe(await self._keeper.release(protocol.number(document, "run")))

    async def _follow(self, document: Document) -> Document:
        number, offset = protocol.number(document, "run"), protocol.number(document, "offset")
        most = protocol.number(document, "most") if document.get("most") is not None else None
        log = self._folders.log(self._keeper.run(number).run)
        earlier = self._followed.pop(number, None)
        if earlier is not None:
            earlier.cancel()
            await asyncio.wait([earlier])
        following = follow(log, number, offset, most, self._send)
        self._followed[number] = asyncio.ensure_future(_until_lost(following))
        return {"log_size": log.stat().st_size if log.exists() else 0}

    async def _pull(self, document: Document) -> Document:
        number = protocol.number(document, "run")
        run = self._keeper.run(number)
        if run.live:
            live = self._folders.archives / f"{number}.live-{secrets.token_hex(4)}"
            folder = self._life.folder(run)
            packed = await asyncio.to_thread(archives.pack_live, folder, run.checkpoint_paths, live)
            try:
                await self._send_archive(document.get("id"), live)
            finally:
                live.unlink(missing_ok=True)
            sum_and_size = {"sha256": packed.sha256, "size": packed.size}
            return {**sum_and_size, "state": "running", "left_out": list(packed.left_out)}
        run = await self._keeper.end(number)  # packs what a full disk kept from being packed
        await self._send_archive(document.get("id"), self._keeper.archive(run))
        told = self._life.describe(run)
        return {name: told[name] for name in ("sha256", "size", "state", "left_out")}

    async def _send_archive(self, number: object, archive: Path) -> None:
        with archive.open("rb") as file:
            while data := await asyncio.to_thread(file.read, _CHUNK):
                await self._send({"id": number, "data": base64.b64encode(data).decode()})


async def _until_lost(work: Awaitable[None]) -> None:
    with contextlib.suppress(ConnectionError):
        await work
