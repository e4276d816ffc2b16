# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM's end of the stream, spoken by the test itself, behind a program that passes for ssh."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cloudspill_monitor.burst.link import VmLink
from cloudspill_monitor.clock import Clock

DEADLINE = 20.0

# Carries its standard streams to the socket that is its "host"; first says how it was started.
_RELAY = """\
#!{python} -IS
import json, os, select, socket, sys
guest = socket.socket(socket.AF_UNIX)
guest.connect(sys.argv[-5])
guest.sendall(json.dumps(
    {{"pid": os.getpid(), "argv": sys.argv[1:], "move": os.environ.get("CLOUDSPILL_MOVE")}}
).encode() + b"\\n")
while True:
    ready, _, _ = select.select([0, guest], [], [])
    if 0 in ready:
        data = os.read(0, 65536)
        if not data:
            sys.exit(0)
        guest.sendall(data)
    if guest in ready:
        data = guest.recv(65536)
        if not data:
            sys.exit("Connection to the guest closed.")
        while data:
            data = data[os.write(1, data):]
"""


class Connection:
    """One stream as the VM sees it. `started` is how its ssh was started."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, started: dict[str, Any]
    ) -> None:
        self.started = started
        self._reader = reader
        self._writer = writer
        self._ticks = 0

    async def raw(self, data: bytes) -> None:
        """Write bytes as they are."""
        self._writer.write(data)
        async with asyncio.timeout(DEADLINE):
            await self._writer.drain()

    async def send(self, message: dict[str, Any]) -> None:
        """Write a line."""
        await self.raw(json.dumps(message).encode() + b"\n")

    async def tick(self, **fields: Any) -> str:
        """Write a tick; returns its token."""
        self._ticks += 1
        token = f"boot/{self._ticks}"
        await self.send({"tick": {**TICK, "token": token, **fields}})
        return token

    async def log(self, run: int, offset: int, data: bytes) -> None:
        """Write bytes of a log."""
        packed = base64.b64encode(data).decode()
        await self.send({"log": {"run": run, "offset": offset, "data": packed}})

    async def chunk(self, number: int, data: bytes) -> None:
        """Write a piece of what request `number` pulls."""
        await self.send({"id": number, "data": base64.b64encode(data).decode()})

    async def receive(self) -> dict[str, Any]:
        """The next line from home."""
        async with asyncio.timeout(DEADLINE):
            line = await self._reader.readline()
        assert line.endswith(b"\n"), "the monitor has closed the stream"
        message: dict[str, Any] = json.loads(line)
        return message

    async def receive_request(self) -> dict[str, Any]:
        """The next line from home that is no renewal."""
        while "renew" in (message := await self.receive()):
            pass
        return message

    async def closed(self) -> None:
        """Wait until the monitor has ended the stream."""
        async with asyncio.timeout(DEADLINE):
            while await self._reader.read(65536):
                pass

    def close(self) -> None:
        """Cut it."""
        self._writer.close()


TICK = {"expires_in": 30.0, "cpu": 50.0, "preempted": False, "fenced": False, "runs": []}


class StreamGuest:
    """A VM: `ssh_command` leads to it, and each stream is one Connection."""

    def __init__(self, directory: Path) -> None:
        self._socket = directory / "guest.sock"
        relay = directory / "relay"
        relay.write_text(_RELAY.format(python=sys.executable))
        relay.chmod(0o700)
        self.ssh_command = (str(relay), str(self._socket))
        self._connections: asyncio.Queue[Connection] = asyncio.Queue()
        self._all: list[Connection] = []

    async def connection(self) -> Connection:
        """The next stream that the monitor makes."""
        async with asyncio.timeout(DEADLINE):
            return await self._connections.get()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[StreamGuest]:
        """Let it be reached, as long as this lasts."""
        server = await asyncio.start_unix_server(self._accept, self._socket)
        try:
            yield self
        finally:
            server.close()
            for connection in self._all:
                connection.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        started = json.loads(await reader.readline())
        connection = Connection(reader, writer, started)
        self._all.append(connection)
        await self._connections.put(connection)


@asynccontextmanager
async def stream_guest() -> AsyncIterator[StreamGuest]:
    """A VM in a directory with a name that is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="guest-") as directory:
        async with StreamGuest(Path(directory)).listening() as guest:
            yield guest


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []
        self._news = asyncio.Event()

    def on_connected(self) -> None:
        self._note("connected", None)

    def on_tick(self, tick: Any) -> None:
        self._note("tick", tick)

    def on_lost(self, why: str) -> None:
        self._note("lost", why)

    def on_log(self, run: int, lines: list[str]) -> None:
        self._note("log", (run, lines))

    def of(self, kind: str) -> list[Any]:
        """What was said of one kind."""
        return [what for said, what in self.events if said == kind]

    @property
    def lines(self) -> list[str]:
        """All lines of logs."""
        return [line for _, lines in self.of("log") for line in lines]

    async def until(self, kind: str, count: int = 1) -> Any:
        """Wait for the `count`-th event of a kind; what it said."""
        async with asyncio.timeout(DEADLINE):
            while len(self.of(kind)) < count:
                self._news.clear()
                await self._news.wait()
        return self.of(kind)[count - 1]

    async def until_lines(self, count: int) -> list[str]:
        """Wait for that many lines of logs."""
        async with asyncio.timeout(DEADLINE):
            while len(self.lines) < count:
                self._news.clear()
                await self._news.wait()
        return self.lines

    def _note(self, kind: str, what: Any) -> None:
        self.events.append((kind, what))
        self._news.set()


@asynccontextmanager
async def linked(
    guest: StreamGuest, clock: Clock, lease: float = 30.0, **options: Any
) -> AsyncIterator[tuple[VmLink, Heard]]:
    """A link to `guest`, and what it says."""
    heard = Heard()
    link = VmLink(guest.ssh_command, lease, 2.0, clock, heard, **options)
    link.start()
    try:
        yield link, heard
    finally:
        await link.stop()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that tells nobody."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - files and processes tell nobody
            await asyncio.sleep(0.01)
