# SPDX-License-Identifier: GPL-3.0-or-later
"""An instance in two networks, with real packets.

https://cloud.google.com/vpc/docs/multiple-interfaces-concepts
"""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from cloudspill_sandbox.network.addressing import NAMESPACES
from cloudspill_sandbox.network.commands import ip_batch, ip_json
from cloudspill_sandbox.network.interface import METADATA_ADDRESS, Nic, Topology
from cloudspill_sandbox.network.namespaces import inside, remove
from cloudspill_sandbox.network.router import NamespaceNetwork
from cloudspill_sandbox.settings import Settings
from tests.system.network.guests import OPEN, A, B, at, instance, rule, send_frame
from tests.system.network.vpc_host import (
    HOST,
    NAME,
    client,
    connect,
    received,
    server,
    source_seen,
)

pytestmark = pytest.mark.sandbox


def behind(number: int, index: int = 0) -> Nic:
    """Return an interface in the subnetwork 10.9.0.0/24 of the network `other`."""
    nic = instance(100 + number, "other")
    return replace(nic, internal_ip=f"10.9.0.{number}", subnet="10.9.0.0/24", index=index)


FRONT = instance(20)
BOTH = (FRONT, behind(20, index=1))
D = behind(5)
"""An instance in the second network."""


@pytest.fixture
async def both(network: NamespaceNetwork) -> NamespaceNetwork:
    await network.attach(BOTH)
    await network.attach((D,))
    return network


def links() -> set[str]:
    """Return the router's ends of all links."""
    with inside(NAMESPACES / f"{NAME}-vpc"):
        return {name for _, name in socket.if_nameindex()}


async def test_each_interface_leads_to_its_subnetwork_and_the_first_to_all_else(
    both: NamespaceNetwork,
) -> None:
    with inside(at(FRONT)):
        shown = {link["ifname"]: link["address"] for link in ip_json("link", "show")}
        routes = [(each["dst"], each.get("gateway"), each["dev"]) for each in ip_json("route")]
    assert shown["eth0"] == "42:01:0a:8a:00:14"
    assert shown["eth1"] == "42:01:0a:09:00:14"
    assert sorted(routes) == [
        ("10.138.0.1", None, "eth0"),
        ("10.9.0.0/24", "10.9.0.1", "eth1"),
        ("10.9.0.1", None, "eth1"),
        ("default", "10.138.0.1", "eth0"),
    ]


async def test_neighbours_in_either_network_reach_it_there_and_nowhere_else(
    both: NamespaceNetwork,
) -> None:
    await both.apply(Topology((A, *BOTH, D), OPEN))
    with server(at(FRONT), 5000) as listener, server(at(D), 5000) as back:
        assert connect(at(A), "10.138.0.20", 5000) == "open"
        assert source_seen(listener) == "10.138.0.2"
        assert connect(at(D), "10.9.0.20", 5000) == "open"
        assert source_seen(listener) == "10.9.0.5"
        assert connect(at(A), "10.9.0.20", 5000) == "silent"
        assert connect(at(D), "10.138.0.20", 5000) == "silent"
        assert connect(at(FRONT), "10.9.0.5", 5000) == "open"
        assert source_seen(back) == "10.9.0.20"
        assert connect(HOST, "198.18.0.20", 5000) == "open"


async def test_each_interface_has_the_rules_of_its_own_network(both: NamespaceNetwork) -> None:
    default = rule("allow-5000", ranges=("0.0.0.0/0",), target_tags=("web",))
    other = replace(default, network="other")
    tagged = tuple(replace(nic, tags=frozenset({"web"})) for nic in BOTH)
    with server(at(FRONT), 5000):
        found = []
        for rules in ((), (default,), (other,), (default, other)):
            await both.apply(Topology((A, *tagged, D), rules))
            found.append([connect(at(A), "10.138.0.20", 5000), connect(at(D), "10.9.0.20", 5000)])
    assert found == [["silent", "silent"], ["open", "silent"], ["silent", "open"], ["open", "open"]]


async def test_the_external_address_of_a_further_interface_needs_policy_routing(
    both: NamespaceNetwork,
) -> None:
    """https://cloud.google.com/vpc/docs/configure-routing-additional-interface"""
    await both.apply(Topology((A, *BOTH, D), OPEN))
    with server(at(FRONT), 5000) as listener:
        assert connect(HOST, "198.18.0.120", 5000) == "silent"
        with inside(at(FRONT)):
            ip_batch(
                [
                    "route add default via 10.9.0.1 dev eth1 table 1",
                    "rule add from 10.9.0.20 table 1",
                ]
            )
        assert connect(HOST, "198.18.0.120", 5000) == "open"
        assert source_seen(listener) == "198.19.255.254"


@pytest.mark.parametrize("forwards", [False, True])
async def test_no_interface_sends_for_another(both: NamespaceNetwork, forwards: bool) -> None:
    sender = tuple(replace(nic, can_ip_forward=forwards) for nic in BOTH)
    await both.apply(Topology((A, *sender, D), OPEN))
    with (
        server(at(A), 5000, socket.SOCK_DGRAM) as front,
        server(at(D), 5000, socket.SOCK_DGRAM) as back,
    ):
        send_frame(FRONT, "10.138.0.20", "10.138.0.2", 5000, b"honest")
        assert received(front) == b"honest"
        for source in ("10.9.0.20", "10.9.0.5"):  # its own there, and another's
            send_frame(FRONT, source, "10.138.0.2", 5000, b"crossed")
            assert received(front) is None
        for source in ("10.138.0.20", "10.9.0.20", "10.9.0.99"):
            send_frame(FRONT, source, "10.9.0.5", 5000, b"crossed")
            assert received(back) is None


async def test_the_metadata_server_sees_the_first_interface(both: NamespaceNetwork) -> None:
    await both.apply(Topology((A, *BOTH, D), ()))
    with both.listen(METADATA_ADDRESS, 80, socket.SOCK_STREAM) as listener:
        listener.settimeout(1)
        assert connect(at(FRONT), METADATA_ADDRESS, 80) == "open"
        assert source_seen(listener) == "10.138.0.20"


async def test_all_its_links_come_and_go_together(both: NamespaceNetwork) -> None:
    standing = links()
    inode = at(FRONT).stat().st_ino
    assert {"i0a8a0014", "i0a090014"} <= standing
    await both.attach(BOTH)
    assert at(FRONT).stat().st_ino == inode
    with inside(NAMESPACES / f"{NAME}-vpc"):
        ip_batch(["link delete i0a090014"])
    await both.attach(BOTH)
    assert links() == standing
    await both.detach(BOTH)
    assert links() == standing - {"i0a8a0014", "i0a090014"}
    assert not at(FRONT).exists()


async def test_a_link_that_moved_to_another_namespace_outlives_the_old_one(
    both: NamespaceNetwork,
) -> None:
    moved = (instance(21), BOTH[1])
    await both.attach(moved)
    await both.detach(BOTH)
    assert not at(FRONT).exists()
    assert "i0a8a0014" not in links()
    await both.apply(Topology((A, *moved, D), OPEN))
    with server(at(moved[0]), 5000):
        assert connect(at(D), "10.9.0.20", 5000) == "open"
        assert connect(at(A), "10.138.0.21", 5000) == "open"


WIDER = (BOTH[0], replace(BOTH[1], subnet="10.8.0.0/15"))


def routes() -> list[tuple[str, str | None]]:
    """Return where the second interface of BOTH leads, and by what gateway."""
    with inside(at(FRONT)):
        return [
            (each["dst"], each.get("gateway")) for each in ip_json("route", "show", "dev", "eth1")
        ]


@pytest.mark.parametrize("after", ["a topology", "a kill"])
async def test_a_subnetwork_grows_under_an_instance_that_never_notices(
    both: NamespaceNetwork, tmp_path: Path, after: str
) -> None:
    """https://cloud.google.com/vpc/docs/create-modify-vpc-networks#expand-subnet"""
    await both.apply(Topology((A, *BOTH, D), OPEN))
    inode, standing = at(FRONT).stat().st_ino, links()
    with server(at(D), 5000) as listener, client(at(FRONT)) as opened:
        opened.connect(("10.9.0.5", 5000))
        accepted, _ = listener.accept()
        with accepted:
            network = both
            if after == "a kill":
                network = NamespaceNetwork(Settings(name=NAME, state_root=tmp_path))
                await network.start()
                await network.attach(WIDER)
            wide = replace(behind(6), internal_ip="10.9.0.1", subnet="10.8.0.0/15")
            await network.attach((wide,))  # the former gateway's address
            await network.apply(Topology((A, *WIDER, D, wide), OPEN))
            assert routes() == [("10.8.0.0/15", "10.8.0.1"), ("10.8.0.1", None)]
            with inside(at(FRONT)):
                shown = [each["dst"] for each in ip_json("neigh", "show", "dev", "eth1")]
            assert shown == ["10.8.0.1"]
            accepted.settimeout(5)
            opened.sendall(b"still here")
            assert accepted.recv(99) == b"still here"
        with server(at(wide), 5000), server(at(FRONT), 5000):
            assert connect(at(FRONT), "10.9.0.1", 5000) == "open"
            assert connect(at(D), "10.9.0.20", 5000) == "open"  # as it was until it follows too
            assert connect(at(wide), "10.9.0.20", 5000) == "open"
    assert (at(FRONT).stat().st_ino, links() - {"i0a090001"}) == (inode, standing)


async def test_a_topology_makes_no_interface_that_is_not_attached(both: NamespaceNetwork) -> None:
    await both.apply(Topology((A, *BOTH, D), OPEN))
    await both.detach(BOTH)
    await both.apply(Topology((A, *WIDER, D), OPEN))
    assert not at(FRONT).exists()
    assert not links() & {"i0a8a0014", "i0a090014"}


async def test_an_instance_that_is_broken_bars_no_topology(
    both: NamespaceNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    await both.apply(Topology((A, *BOTH, D), ()))
    remove(at(FRONT))
    await both.apply(Topology((A, B, *WIDER, D), OPEN))
    assert "10.9.0.20 keeps its routes until the next change" in caplog.text
    with server(at(B), 5000):
        assert connect(at(A), "10.138.0.3", 5000) == "open"
    await both.attach(WIDER)
    assert routes() == [("10.8.0.0/15", "10.8.0.1"), ("10.8.0.1", None)]


async def test_an_interface_has_the_routes_of_the_last_topology(both: NamespaceNetwork) -> None:
    await both.detach(BOTH)
    await both.apply(Topology((A, *WIDER, D), OPEN))
    await both.attach(BOTH)  # whoever began before the subnetwork grew
    assert routes() == [("10.8.0.0/15", "10.8.0.1"), ("10.8.0.1", None)]


async def test_only_instances_of_today_keep_their_links(both: NamespaceNetwork) -> None:
    await both.retain([BOTH, (A,)])
    assert links() == {"lo", "wan", "i0a8a0002", "i0a8a0014", "i0a090014"}
    assert (at(FRONT).exists(), at(D).exists(), at(B).exists()) == (True, False, False)
