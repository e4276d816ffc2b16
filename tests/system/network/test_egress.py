# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox's services in the router, and the way out."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from cloudspill_sandbox.network.commands import ip_batch, nft
from cloudspill_sandbox.network.interface import (
    API_ADDRESS,
    METADATA_ADDRESS,
    Topology,
)
from cloudspill_sandbox.network.namespaces import inside
from cloudspill_sandbox.network.router import NamespaceNetwork
from cloudspill_sandbox.settings import Settings
from tests.system.network.guests import ANY, OPEN, A, B, at, rule
from tests.system.network.vpc_host import (
    HOST,
    LAN,
    NAME,
    WORLD,
    client,
    connect,
    host_state,
    received,
    server,
    source_seen,
)

pytestmark = pytest.mark.sandbox

BACKWARDS = [f"route add {there} via 192.0.2.2" for there in ("198.18.0.0/15", "172.31.99.0/24")]
"""A world that takes the host for a router."""


async def test_services_inside_the_router_see_who_asks(network: NamespaceNetwork) -> None:
    await network.apply(Topology((A, B)))  # no rule: the metadata server needs none
    for address, port in ((METADATA_ADDRESS, 80), (METADATA_ADDRESS, 53), (API_ADDRESS, 443)):
        with network.listen(address, port, socket.SOCK_STREAM) as listener:
            assert connect(at(A), address, port) == "open"
            assert source_seen(listener) == "10.138.0.2"
            assert connect(HOST, address, port) != "open"
    with (
        network.listen(METADATA_ADDRESS, 53, socket.SOCK_DGRAM) as listener,
        client(at(B), socket.SOCK_DGRAM) as asker,
    ):
        asker.sendto(b"name?", (METADATA_ADDRESS, 53))
        listener.settimeout(1)
        data, source = listener.recvfrom(100)
        assert (data, source[0]) == (b"name?", "10.138.0.3")


async def test_egress_rules_bind_the_api_but_never_the_metadata_server(
    network: NamespaceNetwork,
) -> None:
    nothing = rule("none", direction="EGRESS", action="deny", protocols=ANY)
    await network.apply(Topology((A,), (nothing,)))
    with (
        network.listen(METADATA_ADDRESS, 80, socket.SOCK_STREAM),
        network.listen(API_ADDRESS, 443, socket.SOCK_STREAM),
    ):
        assert connect(at(A), METADATA_ADDRESS, 80) == "open"
        assert connect(at(A), API_ADDRESS, 443) == "silent"


async def test_other_ports_of_the_router_are_closed(network: NamespaceNetwork) -> None:
    await network.apply(Topology((A,), OPEN))
    for address in (METADATA_ADDRESS, API_ADDRESS, "198.19.255.253"):
        with network.listen(address, 8080, socket.SOCK_STREAM):
            assert connect(at(A), address, 8080) != "open"
            assert connect(HOST, address, 8080) != "open"


async def test_the_gateway_is_a_next_hop_and_nobody(network: NamespaceNetwork) -> None:
    await network.apply(Topology((A,), OPEN))
    assert connect(at(A), "10.138.0.1", 53) == "silent"
    assert connect(HOST, "10.138.0.1", 53) == "silent"


async def test_an_instance_with_external_address_reaches_the_world_as_the_host(
    network: NamespaceNetwork,
) -> None:
    await network.apply(Topology((A,)))
    with server(WORLD, 80) as listener, server(WORLD, 25):
        assert connect(at(A), "203.0.113.80", 80) == "open"
        assert source_seen(listener) == "192.0.2.2"
        assert connect(at(A), "203.0.113.80", 25) == "silent"  # as on Google's network


@pytest.mark.parametrize(
    ("chain", "rules"),
    [
        ("priority filter; policy drop;", ""),
        ("priority filter + 10; policy accept;", "ct state established accept; counter reject;"),
    ],
    ids=["policy-drop", "ends-in-reject"],
)
async def test_egress_passes_a_closed_forward_chain_and_leaves_it_as_it_was(
    host: None, tmp_path: Path, chain: str, rules: str
) -> None:
    nft(f"table ip others {{ chain FORWARD {{ type filter hook forward {chain} {rules} }}; }}")
    before = host_state()
    network = NamespaceNetwork(Settings(name=NAME, state_root=tmp_path))
    await network.start()
    try:
        await network.attach((A,))
        await network.apply(Topology((A,)))
        with server(WORLD, 80), server(LAN, 80):
            assert connect(at(A), "203.0.113.80", 80) == "open"
            assert connect(LAN, "192.0.2.1", 80) != "open"
    finally:
        await network.stop()
    assert host_state() == before


async def test_the_uplink_does_not_become_a_door(network: NamespaceNetwork) -> None:
    await network.apply(Topology((A,), OPEN))
    with inside(WORLD):
        ip_batch(BACKWARDS)
    with server(at(A), 5000), server(LAN, 5000, socket.SOCK_DGRAM) as container:
        assert connect(HOST, "198.18.0.2", 5000) == "open"
        assert connect(WORLD, "198.18.0.2", 5000) == "silent"
        with client(HOST, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"from the host", ("172.31.99.2", 5000))
        assert received(container) == b"from the host"
        with client(WORLD, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"from the world", ("172.31.99.2", 5000))
        assert received(container) is None


async def test_a_host_that_forwards_goes_on_doing_so_but_not_to_guests(
    host: None, tmp_path: Path
) -> None:
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")  # as Docker does
    with inside(WORLD):
        ip_batch(
            [f"route add {there} via 192.0.2.2" for there in ("198.18.0.0/15", "172.31.99.0/24")]
        )
    before = host_state()
    network = NamespaceNetwork(Settings(name=NAME, state_root=tmp_path))
    await network.start()
    try:
        await network.attach((A,))
        await network.apply(Topology((A,), OPEN))
        with server(at(A), 5000), server(LAN, 5000), server(WORLD, 80):
            assert connect(HOST, "198.18.0.2", 5000) == "open"
            assert connect(LAN, "203.0.113.80", 80) == "open"
            assert connect(WORLD, "172.31.99.2", 5000) == "open"
            assert connect(LAN, "198.18.0.2", 5000) == "silent"
            assert connect(WORLD, "198.18.0.2", 5000) == "silent"
    finally:
        await network.stop()
    assert host_state() == before


async def test_an_uplink_that_carries_smaller_packets_carries_bulk_both_ways(
    network: NamespaceNetwork,
) -> None:
    await network.apply(Topology((A,)))
    for place in (HOST, WORLD):
        with inside(place):
            ip_batch(["link set eth0 mtu 1300"])
    bulk = bytes(300_000)
    with server(WORLD, 80) as listener, client(at(A)) as guest:
        guest.connect(("203.0.113.80", 80))
        peer, _ = listener.accept()
        with peer:
            for sender, receiver in ((guest, peer), (peer, guest)):
                sender.settimeout(10)
                receiver.settimeout(10)
                sending = asyncio.create_task(asyncio.to_thread(sender.sendall, bulk))
                assert len(await asyncio.to_thread(_read, receiver, len(bulk))) == len(bulk)
                await sending


def _read(stream: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size and (part := stream.recv(65536)):
        data += part
    return bytes(data)
