# SPDX-License-Identifier: GPL-3.0-or-later
"""The name server at 169.254.169.254: names of the VPC (names.py), else the host's resolvers.

server = NameServer(lambda: network.topology, api_names=["git.cloudspill.internal"])
await server.start(
    network.listen(METADATA_ADDRESS, 53, socket.SOCK_DGRAM),
    network.listen(METADATA_ADDRESS, 53, socket.SOCK_STREAM),
)
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from dnslib import OPCODE, QR, RCODE, DNSError, DNSHeader, DNSRecord  # type: ignore[import-untyped]

from cloudspill_sandbox.network.forwarding import NoResolverError, forward, resolvers_of
from cloudspill_sandbox.network.interface import Topology
from cloudspill_sandbox.network.names import Zone

_log = logging.getLogger(__name__)

MAX_FORWARDED = 512
MAX_CONVERSATIONS = 1024
IDLE_SECONDS = 10.0
"""How long a conversation by TCP may say nothing."""


class NameServer:
    """Answers instances by UDP and TCP; whatever a guest sends, it goes on.

    Args:
        topology: returns the topology in force.
        api_names: host names besides `*.googleapis.com` that lead to the API.
        resolv_conf: names the host's resolvers; read for each query, so that it may change.
        port: of the host's resolvers.
        patience: seconds that one resolver is waited for before the next is asked.
        per_asker: how many of an instance's queries may be on their way at once.
        conversations: how many an instance may hold by TCP.
    """

    def __init__(
        self,
        topology: Callable[[], Topology],
        *,
        api_names: Iterable[str] = (),
        resolv_conf: Path = Path("/etc/resolv.conf"),
        port: int = 53,
        patience: float = 2.0,
        per_asker: int = 64,
        conversations: int = 16,
    ) -> None:
        self._topology = topology
        self._api_names = tuple(api_names)
        self._resolv_conf = resolv_conf
        self._port = port
        self._patience = patience
        self._per_asker = per_asker
        self._conversations_each = conversations
        self._zone: tuple[Topology, Zone] | None = None
        self._forwarded: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._askers: dict[asyncio.Task[None], str] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None

    async def start(self, datagrams: socket.socket, streams: socket.socket) -> None:
        """Serve on a bound UDP socket and a listening TCP socket, and own them."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self), sock=datagrams
        )
        self._server = await asyncio.start_server(self._serve_stream, sock=streams)

    async def stop(self) -> None:
        """Close both sockets and forget what is on its way."""
        if self._transport is not None:
            self._transport.close()
        if self._server is not None:
            self._server.close()
        for task in (unfinished := self._tasks | self._askers.keys()):
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)

    def datagram(self, packet: bytes, asker: tuple[str, int]) -> None:
        """Answer a query that came by UDP."""
        known = self._at_hand(packet, asker[0])
        if known is None:
            task = asyncio.get_running_loop().create_task(self._forward_datagram(packet, asker))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif known and self._transport is not None:
            self._transport.sendto(known, asker)

    def _at_hand(self, packet: bytes, asker: str) -> bytes | None:
        """Return the reply, b"" when there is to be none, None when the world has to be asked."""
        try:
            query = DNSRecord.parse(packet)
            if query.header.qr == QR.RESPONSE:
                return b""
            if query.header.opcode != OPCODE.QUERY:
                return _refuse(packet, RCODE.NOTIMP)
            if len(query.questions) != 1:
                return _refuse(packet, RCODE.FORMERR)
            reply = self._current_zone().answer(query, asker)
            return None if reply is None else bytes(reply.pack())
        except (DNSError, ValueError):
            return _refuse(packet, RCODE.FORMERR)

    def _current_zone(self) -> Zone:
        topology = self._topology()
        if self._zone is None or self._zone[0] is not topology:
            self._zone = (topology, Zone(topology, self._api_names))
        return self._zone[1]

    async def _forward(self, packet: bytes, asker: str, *, stream: bool) -> bytes:
        if self._forwarded.total() >= MAX_FORWARDED or self._forwarded[asker] >= self._per_asker:
            return _refuse(packet, RCODE.SERVFAIL)
        self._forwarded[asker] += 1
        try:
            resolvers = resolvers_of(self._resolv_conf)
            return await forward(
                packet, resolvers, stream=stream, port=self._port, patience=self._patience
            )
        except NoResolverError as error:
            _log.warning("a name asked for by %s stays unknown: %s", asker, error)
            return _refuse(packet, RCODE.SERVFAIL)
        finally:
            self._forwarded[asker] -= 1
            if not self._forwarded[asker]:
                del self._forwarded[asker]

    async def _forward_datagram(self, packet: bytes, asker: tuple[str, int]) -> None:
        answer = await self._forward(packet, asker[0], stream=False)
        if self._transport is not None:
            self._transport.sendto(answer, asker)

    async def _serve_stream(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        conversation = asyncio.current_task()
        asker = (writer.get_extra_info("peername") or ("",))[0]
        if conversation is None or not self._may_speak(asker):
            writer.close()
            return
        self._askers[conversation] = asker
        try:
            await self._converse(reader, writer, asker)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the guest went away, or had nothing to say
        except asyncio.CancelledError:
            pass  # by stop(); the task that asyncio made for the connection ends here
        finally:
            del self._askers[conversation]
            writer.close()

    def _may_speak(self, asker: str) -> bool:
        """Whether an instance may begin a conversation: idle ones of one must not bar the rest."""
        held = Counter(self._askers.values())
        return held.total() < MAX_CONVERSATIONS and held[asker] < self._conversations_each

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asker: str
    ) -> None:
        while True:
            async with asyncio.timeout(IDLE_SECONDS):
                length = int.from_bytes(await reader.readexactly(2))
                packet = await reader.readexactly(length)
            answer = self._at_hand(packet, asker)
            if answer is None:
                answer = await self._forward(packet, asker, stream=True)
            if not answer:
                return
            async with asyncio.timeout(IDLE_SECONDS):
                writer.write(len(answer).to_bytes(2) + answer)
                await writer.drain()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self._server = server

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.datagram(data, addr)


def _refuse(packet: bytes, code: int) -> bytes:
    """Return a reply that holds only the id and a code; nothing for what is not even a header."""
    if len(packet) < 12:
        return b""
    header = DNSHeader(id=int.from_bytes(packet[:2]), qr=QR.RESPONSE, ra=1, rcode=code)
    return bytes(DNSRecord(header).pack())
