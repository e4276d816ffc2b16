# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest that writes its own frames reaches nobody by them, and misleads nobody."""

from __future__ import annotations

import select
import socket
import struct
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from cloudspill_sandbox.network.addressing import NAMESPACES
from cloudspill_sandbox.network.commands import ip_json
from cloudspill_sandbox.network.interface import Nic, Topology
from cloudspill_sandbox.network.namespaces import inside, write_sysctls
from cloudspill_sandbox.network.router import NamespaceNetwork
from cloudspill_sandbox.network.ruleset import OTHER_CONNECTIONS
from tests.system.network.guests import (
    OPEN,
    A,
    B,
    C,
    at,
    checksum,
    ethernet,
    gateway_mac,
    hardware,
    instance,
    ipv4,
    rule,
    send_packets,
    send_raw,
    udp,
)
from tests.system.network.vpc_host import HOST, NAME, WORLD, client, connect, received, server

pytestmark = pytest.mark.sandbox

ROUTER = NAMESPACES / f"{NAME}-vpc"
EVERYBODY = b"\xff" * 6
SECRET = b"a word that only the hostile guest knows"
EVERY_PROTOCOL = 0x0003
MORE_FRAGMENTS = 0x2000


def listening(place: Path) -> socket.socket:
    """Return a socket that hears every frame on every interface of a namespace."""
    with inside(place):
        return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL))


def heard(ears: dict[str, socket.socket]) -> set[str]:
    """Return the names of those that heard the secret, when all has been silent for a moment."""
    found = set()
    while ready := select.select(list(ears.values()), [], [], 0.2)[0]:
        for name, ear in ears.items():
            if ear in ready and SECRET in ear.recv(65535):
                found.add(name)
    return found


def arp(operation: int, sender: Nic, claimed: str, target: str) -> bytes:
    """Return an ARP message in which `sender` claims an address."""
    head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    own = hardware(sender.mac) + socket.inet_aton(claimed)
    return head + own + bytes(6) + socket.inet_aton(target)


def neighbours() -> list[tuple[str, str, str]]:
    """Return whom the router takes for whom."""
    with inside(ROUTER):
        shown = [each for each in ip_json("neigh") if each["dev"] != "wan"]
    return sorted((each["dst"], each["dev"], each["lladdr"]) for each in shown)


async def test_no_frame_reaches_another_instance_or_the_host(network: NamespaceNetwork) -> None:
    await network.apply(Topology((A, B, C), OPEN))
    write_all = {f"net/ipv6/conf/{scope}/disable_ipv6": "0" for scope in ("all", "eth0")}
    for nic in (A, B):
        with inside(at(nic)):
            write_sysctls(write_all)
    ipv6 = struct.pack("!IHBB", 0x60000000, len(SECRET), 59, 64)
    link_local = socket.inet_pton(socket.AF_INET6, "fe80::1")
    all_nodes = socket.inet_pton(socket.AF_INET6, "ff02::1")
    targets = (gateway_mac(A), hardware(B.mac), EVERYBODY, hardware("01:00:5e:00:00:fb"),
               hardware("33:33:00:00:00:01"), hardware("01:80:c2:00:00:00"))  # fmt: skip
    packets = (
        (0x86DD, ipv6 + link_local + all_nodes + SECRET),
        (0x0800, ipv4("10.138.0.2", "224.0.0.251", 17, udp(5353, 5353, SECRET))),
        (0x0800, ipv4("10.138.0.2", "255.255.255.255", 17, udp(68, 67, SECRET))),
        (0x0800, ipv4("10.138.0.2", "10.138.15.255", 17, udp(9, 9, SECRET))),
        (0x8100, b"\x00\x01\x08\x00" + ipv4("10.138.0.2", "10.138.0.3", 17, udp(9, 9, SECRET))),
        (0x0806, arp(1, A, "10.138.0.2", "10.138.0.3") + SECRET),
        (0x88CC, SECRET),
    )
    honest = ethernet(
        A, gateway_mac(A), 0x0800, ipv4("10.138.0.2", "10.138.0.3", 17, udp(9, 9, SECRET))
    )
    with ExitStack() as stack:
        ears = {
            name: stack.enter_context(listening(place))
            for name, place in (("B", at(B)), ("C", at(C)), ("host", HOST), ("world", WORLD))
        }
        send_raw(A, *(ethernet(A, to, kind, data) for to in targets for kind, data in packets))
        assert heard(ears) == set()
        send_raw(A, honest)
        assert heard(ears) == {"B"}


async def test_nobody_becomes_a_neighbour_by_saying_so(network: NamespaceNetwork) -> None:
    await network.apply(Topology((A, B, C), OPEN))
    before = neighbours()
    assert [each[:2] for each in before] == [
        ("10.138.0.2", "i0a8a0002"),
        ("10.138.0.3", "i0a8a0003"),
        ("10.138.0.4", "i0a8a0004"),
    ]
    claims = [
        (operation, f"10.138.{n // 256}.{n % 256}") for n in range(3, 700) for operation in (1, 2)
    ]
    send_raw(
        A,
        *(
            ethernet(A, to, 0x0806, arp(operation, A, claimed, target))
            for operation, claimed in claims
            for to, target in ((EVERYBODY, "169.254.169.254"), (gateway_mac(A), claimed))
        ),
    )
    with server(at(B), 5000), server(at(A), 5000):
        assert connect(at(C), B.external_ip or "", 5000) == "open"
        assert connect(HOST, B.external_ip or "", 5000) == "open"
    assert neighbours() == before


async def test_fragments_get_no_further_than_the_whole(network: NamespaceNetwork) -> None:
    allowed = rule("some", protocols=(("udp", ("5000",)),), ranges=("0.0.0.0/0",))
    await network.apply(Topology((A, B), (allowed,)))
    with (
        server(at(B), 5000, socket.SOCK_DGRAM) as some,
        server(at(B), 5001, socket.SOCK_DGRAM) as none,
    ):
        for port, listener, arrives in ((5000, some, True), (5001, none, False)):
            whole = udp(40000, port, b"in two parts")
            parts = (whole[:8], MORE_FRAGMENTS), (whole[8:], 1)
            send_packets(A, *(ipv4("10.138.0.2", "10.138.0.3", 17, *part) for part in parts))
            assert received(listener) == (b"in two parts" if arrives else None)
        # The second of these would write another port over that of the first.
        whole, over = udp(40000, 5000, b"in two parts"), udp(40000, 5001, b"over")
        parts = (whole[:8], MORE_FRAGMENTS), (over[:8] + whole[8:], 0)
        send_packets(A, *(ipv4("10.138.0.2", "10.138.0.3", 17, *part) for part in parts))
        assert received(none) is None


@pytest.mark.parametrize("forwards", [False, True])
async def test_an_error_about_a_flow_arrives_from_its_ends_alone(
    network: NamespaceNetwork, forwards: bool
) -> None:
    sender, peer = replace(A, can_ip_forward=forwards), instance(5, "other")
    await network.attach((peer,))
    await network.apply(Topology((sender, B, C, peer), OPEN))
    with (
        server(at(peer), 5000, socket.SOCK_DGRAM) as far,
        client(at(C), socket.SOCK_DGRAM, source="10.138.0.4") as flow,
    ):
        flow.connect(("10.138.0.5", 5000))
        flow.send(b"hello")
        assert received(far) == b"hello"
        port = flow.getsockname()[1]
        quoted = ipv4("10.138.0.4", "10.138.0.5", 17, udp(port, 5000, b"hello"))
        body = b"\x03\x03\x00\x00" + bytes(4) + quoted[:28]
        error = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
        for source in ("10.138.0.2", *(("192.168.5.5",) if forwards else ())):
            send_packets(sender, ipv4(source, "10.138.0.4", socket.IPPROTO_ICMP, error))
            with pytest.raises(TimeoutError):  # and not ConnectionRefusedError
                flow.recv(99)
        send_packets(peer, ipv4("10.138.0.5", "10.138.0.4", socket.IPPROTO_ICMP, error))
        with pytest.raises(ConnectionRefusedError):
            flow.recv(99)


@pytest.mark.parametrize("forwards", [False, True])
async def test_one_guest_cannot_fill_the_table_of_connections(
    network: NamespaceNetwork, forwards: bool
) -> None:
    await network.apply(Topology((replace(A, can_ip_forward=forwards), B, C), OPEN))
    send_packets(
        A,
        *(
            ipv4(
                f"192.168.{port % 250}.7" if forwards else "10.138.0.2",
                "10.138.0.3",
                socket.IPPROTO_UDP,
                udp(40000, port, b""),
            )
            for port in range(10000, 10000 + OTHER_CONNECTIONS + 100)
        ),
    )
    with inside(ROUTER):
        held = int(Path("/proc/sys/net/netfilter/nf_conntrack_count").read_text())
    assert OTHER_CONNECTIONS <= held < OTHER_CONNECTIONS + 50
    with server(at(B), 5000):
        assert connect(at(A), "10.138.0.3", 5000) == "silent"
        assert connect(HOST, B.external_ip or "", 5000) == "open"
