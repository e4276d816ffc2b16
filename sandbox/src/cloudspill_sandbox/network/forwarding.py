# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking the host's resolvers, from the host's side: they may be private, or loopback."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import secrets
from collections.abc import Sequence
from pathlib import Path

ROUNDS = 2


class NoResolverError(RuntimeError):
    """No resolver answered in time."""


def resolvers_of(path: Path) -> list[str]:
    """Return the addresses in a resolv.conf, at most three as in the C library."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return []
    words = (line.split() for line in lines)
    named = [parts[1] for parts in words if len(parts) > 1 and parts[0] == "nameserver"]
    return [text for text in named if _is_address(text)][:3]


async def forward(
    packet: bytes, resolvers: Sequence[str], *, stream: bool, port: int, patience: float
) -> bytes:
    """Return the answer of the first resolver that gives one, under the query's own id.

    Args:
        packet: a well-formed query.
        resolvers: IP addresses, asked in turn.
        stream: by TCP, as the query came; by UDP where a resolver does not speak TCP.
        port: of the resolvers.
        patience: seconds for one attempt.

    Raises:
        NoResolverError: none answered; bounded by the patience for each round, resolver and
            protocol.
    """
    ways = (_ask_stream, _ask_datagram) if stream else (_ask_datagram,)
    for _, resolver, ask in itertools.product(range(ROUNDS), resolvers, ways):
        own_id = secrets.token_bytes(2)  # a guest cannot choose what a forger must guess
        try:
            async with asyncio.timeout(patience):
                answer = await ask(own_id + packet[2:], resolver, port)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            continue
        return packet[:2] + answer[2:]
    raise NoResolverError(f"none of {list(resolvers)} answered")


class _Answer(asyncio.DatagramProtocol):
    """Waits for the datagram that answers a query: same id, and a response."""

    def __init__(self, packet: bytes) -> None:
        self._packet = packet
        self.received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002
        if _answers(self._packet, data) and not self.received.done():
            self.received.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.received.done():
            self.received.set_exception(exc)


async def _ask_datagram(packet: bytes, resolver: str, port: int) -> bytes:
    loop = asyncio.get_running_loop()
    transport, answer = await loop.create_datagram_endpoint(
        lambda: _Answer(packet), remote_addr=(resolver, port)
    )
    try:
        transport.sendto(packet)
        return await answer.received
    finally:
        transport.close()


async def _ask_stream(packet: bytes, resolver: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(resolver, port)
    try:
        writer.write(len(packet).to_bytes(2) + packet)
        data = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
    finally:
        writer.close()
    if not _answers(packet, data):
        raise ConnectionError(f"{resolver} answered something else")
    return data


def _answers(packet: bytes, data: bytes) -> bool:
    return len(data) >= 12 and data[:2] == packet[:2] and bool(data[2] & 0x80)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True
