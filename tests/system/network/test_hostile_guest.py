# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest with every capability in its own namespace reaches nothing that is not its own."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from cloudspill_sandbox.network.addressing import NAMESPACES
from cloudspill_sandbox.network.commands import ip_batch
from cloudspill_sandbox.network.interface import (
    METADATA_ADDRESS,
    Topology,
)
from cloudspill_sandbox.network.namespaces import inside
from cloudspill_sandbox.network.router import NamespaceNetwork
from cloudspill_sandbox.network.ruleset import SERVICE_CONNECTIONS
from cloudspill_sandbox.settings import Settings
from tests.system.network.guests import OPEN, A, B, C, at, instance, send_frame
from tests.system.network.vpc_host import (
    HOST,
    LAN,
    NAME,
    WORLD,
    client,
    connect,
    received,
    server,
)

pytestmark = pytest.mark.sandbox


@pytest.mark.parametrize(
    ("place", "address"),
    [
        (HOST, "192.0.2.2"),
        (HOST, "198.19.255.254"),
        (HOST, "172.31.99.1"),
        (HOST, "10.77.0.1"),
        (HOST, "203.0.113.7"),
        (HOST, "169.254.7.8"),
        (WORLD, "169.254.7.7"),
        (WORLD, "10.255.255.53"),
        (WORLD, "192.0.2.1"),
        (LAN, "172.31.99.2"),
    ],
    ids=["lan-address", "link-address", "bridge-address", "private-address", "public-address",
         "link-local-address",
         "hosts-metadata", "private-resolver", "lan-neighbour", "container"],
)  # fmt: skip
async def test_a_guest_reaches_nothing_of_the_host(
    network: NamespaceNetwork, place: Path, address: str
) -> None:
    await network.apply(Topology((A,), OPEN))
    with inside(WORLD):
        # Whatever answered would find its way back.
        ip_batch(["route add 198.18.0.0/15 via 192.0.2.2"])
    with inside(HOST):
        ip_batch(["route add 169.254.7.7 via 192.0.2.1"])
    with server(place, 8460), server(place, 8460, socket.SOCK_DGRAM) as datagrams:
        assert connect(HOST, address, 8460) == "open"
        assert connect(at(A), address, 8460) == "silent"
        with client(at(A), socket.SOCK_DGRAM) as guest:
            guest.sendto(b"anybody?", (address, 8460))
        assert received(datagrams) is None


async def test_a_router_that_was_taken_up_keeps_guests_from_the_hosts_neighbours(
    network: NamespaceNetwork, tmp_path: Path
) -> None:
    taken_up = NamespaceNetwork(Settings(name=NAME, state_root=tmp_path))
    await taken_up.start()
    await taken_up.apply(Topology((A,), OPEN))
    with inside(WORLD):
        ip_batch(["route add 198.18.0.0/15 via 192.0.2.2"])
    with server(WORLD, 8460):
        assert connect(HOST, "192.0.2.1", 8460) == "open"
        assert connect(at(A), "192.0.2.1", 8460) == "silent"


async def test_the_hosts_loopback_is_not_the_guests(network: NamespaceNetwork) -> None:
    await network.apply(Topology((A,), OPEN))
    with server(HOST, 8460):
        assert connect(HOST, "127.0.0.1", 8460) == "open"
        assert connect(at(A), "127.0.0.1", 8460) == "refused"
        with inside(at(A)):
            ip_batch(["route add 127.0.0.2/32 via 10.138.0.1 dev eth0 table local"])
        assert connect(at(A), "127.0.0.2", 8460, source="10.138.0.2") != "open"


async def test_a_stolen_address_is_worth_nothing(network: NamespaceNetwork) -> None:
    await network.apply(Topology((A, B), OPEN))
    with inside(at(A)):
        ip_batch(["addr add 10.138.0.3/32 dev eth0", "addr add 169.254.169.254/32 dev lo"])
        ip_batch(["addr delete 169.254.169.254/32 dev lo"])
    with (
        network.listen(METADATA_ADDRESS, 80, socket.SOCK_STREAM),
        network.listen(METADATA_ADDRESS, 53, socket.SOCK_DGRAM) as names,
    ):
        assert connect(at(A), METADATA_ADDRESS, 80, source="10.138.0.2") == "open"
        assert connect(at(A), METADATA_ADDRESS, 80, source="10.138.0.3") == "silent"
        with client(at(A), socket.SOCK_DGRAM, source="10.138.0.3") as thief:
            thief.sendto(b"I am B", (METADATA_ADDRESS, 53))
        names.settimeout(0.3)
        assert received(names) is None
        assert connect(at(B), METADATA_ADDRESS, 80) == "open"


@pytest.mark.parametrize(
    "forged",
    ["10.138.0.3", "10.138.0.99", "203.0.113.80", "169.254.169.254", "127.0.0.1", "198.18.0.3",
     "198.19.255.254", "10.138.0.1", "0.0.0.0"],
)  # fmt: skip
async def test_a_forged_packet_arrives_nowhere(network: NamespaceNetwork, forged: str) -> None:
    await network.apply(Topology((A, B), OPEN))
    with (
        server(at(B), 5000, socket.SOCK_DGRAM) as instance,
        network.listen(METADATA_ADDRESS, 53, socket.SOCK_DGRAM) as names,
        server(WORLD, 5000, socket.SOCK_DGRAM) as world,
    ):
        names.settimeout(0.3)
        for target, port, listener in (
            ("10.138.0.3", 5000, instance),
            ("198.18.0.3", 5000, instance),
            (METADATA_ADDRESS, 53, names),
            ("203.0.113.80", 5000, world),
        ):
            send_frame(A, "10.138.0.2", target, port, b"honest")
            assert received(listener) == b"honest"
            send_frame(A, forged, target, port, b"forged")
            assert received(listener) is None


async def test_an_instance_that_may_forward_forges_no_identity(network: NamespaceNetwork) -> None:
    gateway = replace(A, can_ip_forward=True)
    peer = instance(5)
    await network.apply(Topology((gateway, B, C, peer), OPEN))
    with (
        server(at(B), 5000, socket.SOCK_DGRAM) as receiver,
        network.listen(METADATA_ADDRESS, 53, socket.SOCK_DGRAM) as names,
    ):
        names.settimeout(0.3)
        send_frame(A, "192.168.5.5", "10.138.0.3", 5000, b"forwarded")
        assert received(receiver) == b"forwarded"
        for forged in ("10.138.0.3", "10.138.0.4", "192.168.5.5"):
            send_frame(A, forged, METADATA_ADDRESS, 53, b"forged")
            assert received(names) is None
        for forged in (peer.internal_ip, C.internal_ip, "198.18.0.4", "169.254.169.254"):
            send_frame(A, forged, "10.138.0.3", 5000, b"forged")
            assert received(receiver) is None


async def test_a_guest_has_no_ipv6_and_no_way_to_it(network: NamespaceNetwork) -> None:
    await network.apply(Topology((A,), OPEN))
    for place in (at(A), NAMESPACES / f"{NAME}-vpc"):
        with inside(place):
            assert Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").read_text() == "1\n"
            assert Path("/proc/net/if_inet6").read_text() == ""
    with inside(at(A)):
        allowed = Path("/proc/sys/net/ipv4/ping_group_range").read_text().split()
    assert allowed == ["0", "2147483647"]


async def test_one_guest_cannot_take_all_connections(network: NamespaceNetwork) -> None:
    await network.apply(Topology((A, B)))
    listener = network.listen(METADATA_ADDRESS, 80, socket.SOCK_STREAM)
    with listener, contextlib.ExitStack() as held:
        for _ in range(SERVICE_CONNECTIONS):
            greedy = held.enter_context(client(at(A)))
            greedy.connect((METADATA_ADDRESS, 80))
            held.enter_context(listener.accept()[0])
        assert connect(at(A), METADATA_ADDRESS, 80) == "silent"
        assert connect(at(B), METADATA_ADDRESS, 80) == "open"
        held.close()
        assert connect(at(A), METADATA_ADDRESS, 80) == "open"
