# SPDX-License-Identifier: GPL-3.0-or-later
"""The name server on the wire, with a resolver of the test's own behind it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from dnslib import RCODE, RR, A, DNSRecord  # type: ignore[import-untyped]
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudspill_sandbox.network.forwarding import resolvers_of
from cloudspill_sandbox.network.interface import Nic, Topology
from cloudspill_sandbox.network.name_server import NameServer

NIC = Nic("127.0.0.1", None, "default", "127.0.0.0/8", frozenset(), "me.z.c.p.internal")
PER_ASKER = 3
QUERY = DNSRecord.question("me").pack()


class Resolver(asyncio.DatagramProtocol):
    """Answers every query by UDP with 203.0.113.80, or not at all."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.silent = False
        self.answered = asyncio.Event()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked.append(data)
        self.answered.set()
        if not self.silent:
            reply = DNSRecord.parse(data).reply()
            reply.add_answer(RR(reply.q.qname, rdata=A("203.0.113.80")))
            forged = DNSRecord.parse(data).reply()
            forged.header.id ^= 1
            self.transport.sendto(forged.pack(), addr)
            self.transport.sendto(reply.pack(), addr)


@dataclass
class Service:
    """A running name server."""

    port: int
    stream_port: int
    resolver: Resolver
    server: NameServer
    topology: list[Topology] = field(default_factory=lambda: [Topology((NIC,))])

    async def datagram(self, packet: bytes, seconds: float = 5) -> bytes:
        """Return the reply to a UDP packet."""
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            client.connect(("127.0.0.1", self.port))
            await loop.sock_sendall(client, packet)
            async with asyncio.timeout(seconds):
                return await loop.sock_recv(client, 65535)

    async def stream(self, *packets: bytes, source: str = "127.0.0.1") -> list[bytes]:
        """Return the replies to queries on one TCP connection."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.stream_port, local_addr=(source, 0)
        )
        replies = []
        try:
            for packet in packets:
                writer.write(len(packet).to_bytes(2) + packet)
                async with asyncio.timeout(5):
                    size = int.from_bytes(await reader.readexactly(2))
                    replies.append(await reader.readexactly(size))
        finally:
            writer.close()
            await writer.wait_closed()
        return replies


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    loop = asyncio.get_running_loop()
    transport, resolver = await loop.create_datagram_endpoint(Resolver, local_addr=("127.0.0.1", 0))
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text("search example.com\nnameserver 127.0.0.1\n")
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", 0))
    datagrams.setblocking(False)
    streams = socket.create_server(("127.0.0.1", 0))
    streams.setblocking(False)
    topology = [Topology((NIC,))]
    server = NameServer(
        lambda: topology[0],
        resolv_conf=resolv_conf,
        port=transport.get_extra_info("sockname")[1],
        patience=0.2,
        per_asker=PER_ASKER,
    )
    found = Service(
        datagrams.getsockname()[1], streams.getsockname()[1], resolver, server, topology
    )
    await server.start(datagrams, streams)
    yield found
    await server.stop()
    transport.close()


def _answers(packet: bytes) -> list[str]:
    return [str(record.rdata) for record in DNSRecord.parse(packet).rr]


async def test_a_name_of_the_vpc_is_answered_by_udp_and_tcp(service: Service) -> None:
    query = DNSRecord.question("me").pack()
    assert _answers(await service.datagram(query)) == ["127.0.0.1"]
    assert [_answers(reply) for reply in await service.stream(query, query)] == [["127.0.0.1"]] * 2
    assert service.resolver.asked == []


async def test_a_name_of_the_world_is_asked_of_the_hosts_resolver(service: Service) -> None:
    query = DNSRecord.question("example.com")
    reply = await service.datagram(query.pack())
    assert _answers(reply) == ["203.0.113.80"]
    assert DNSRecord.parse(reply).header.id == query.header.id
    # The resolver of this test speaks no TCP: UDP stands in.
    assert _answers((await service.stream(query.pack()))[0]) == ["203.0.113.80"]


async def test_idle_conversations_of_one_instance_bar_no_other(service: Service) -> None:
    query = DNSRecord.question("me").pack()
    idle = [await asyncio.open_connection("127.0.0.1", service.stream_port) for _ in range(200)]
    try:
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await service.stream(query)
        assert await service.stream(query, source="127.0.0.2")
        for reader, writer in idle:  # who has ended them may begin others
            with contextlib.suppress(ConnectionError):
                writer.write_eof()
                assert await reader.read() == b""
        assert await service.stream(query)
    finally:
        for _, writer in idle:
            writer.close()


async def test_a_new_topology_is_seen_at_once(service: Service) -> None:
    query = DNSRecord.question("late.z.c.p.internal").pack()
    assert DNSRecord.parse(await service.datagram(query)).header.rcode == RCODE.NXDOMAIN
    late = Nic("10.9.9.9", None, "default", "10.9.0.0/16", frozenset(), "late.z.c.p.internal")
    service.topology[0] = Topology((NIC, late))
    assert _answers(await service.datagram(query)) == ["10.9.9.9"]


async def test_a_silent_resolver_is_given_up(service: Service) -> None:
    service.resolver.silent = True
    reply = await service.datagram(DNSRecord.question("example.com").pack())
    assert DNSRecord.parse(reply).header.rcode == RCODE.SERVFAIL
    assert len(service.resolver.asked) == 2


async def test_one_asker_cannot_take_all_places(service: Service) -> None:
    service.resolver.silent = True
    names = [f"{number}.example" for number in range(PER_ASKER + 1)]
    replies = [
        asyncio.create_task(service.datagram(DNSRecord.question(name).pack())) for name in names
    ]
    await asyncio.wait(replies, return_when=asyncio.FIRST_COMPLETED)
    # The one too many is refused at once, the others when the resolver is given up.
    assert [reply.done() for reply in replies].count(True) == 1
    await asyncio.gather(*replies)
    assert len(service.resolver.asked) == 2 * PER_ASKER


async def test_what_is_no_query_is_refused_or_ignored(service: Service) -> None:
    garbage = b"\x12\x34" + bytes(8) + b"\0"
    with pytest.raises(TimeoutError):
        await service.datagram(garbage, 0.1)
    two = DNSRecord.question("a.internal")
    two.add_question(two.q)
    assert DNSRecord.parse(await service.datagram(two.pack())).header.rcode == RCODE.FORMERR
    update = DNSRecord.question("a.internal")
    update.header.opcode = 5
    assert DNSRecord.parse(await service.datagram(update.pack())).header.rcode == RCODE.NOTIMP
    with pytest.raises(TimeoutError):
        await service.datagram(DNSRecord.question("a.internal").reply().pack(), 0.1)


@given(packet=st.one_of(st.binary(max_size=80), st.binary(max_size=60).map(
    lambda tail: QUERY[:12] + tail
)))  # fmt: skip
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_packet_breaks_the_server(packet: bytes) -> None:
    server = NameServer(lambda: Topology((NIC,)), resolv_conf=Path("/nonexistent"))
    reply = server._at_hand(packet, "127.0.0.1")
    assert reply is None or len(reply) == 0 or reply[:2] == packet[:2]


@pytest.mark.parametrize(
    ("text", "resolvers"),
    [
        ("nameserver 10.0.0.1\nnameserver fd00::1\n", ["10.0.0.1", "fd00::1"]),
        ("# nameserver 1.1.1.1\nnameserver\nnameserver nonsense\n", []),
        ("nameserver 1.0.0.1\n" * 5, ["1.0.0.1"] * 3),
    ],
)
def test_resolvers_are_read_as_the_c_library_does(
    tmp_path: Path, text: str, resolvers: list[str]
) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text(text)
    assert resolvers_of(path) == resolvers


def test_without_a_resolv_conf_there_is_no_resolver(tmp_path: Path) -> None:
    assert resolvers_of(tmp_path / "absent") == []
