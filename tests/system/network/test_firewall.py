# SPDX-License-Identifier: GPL-3.0-or-later
"""What firewall rules let through, with real packets."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

import pytest

from cloudspill_sandbox.network.interface import (
    FirewallRule,
    NetworkError,
    Topology,
)
from cloudspill_sandbox.network.router import NamespaceNetwork
from tests.system.network.guests import OPEN, A, B, C, at, rule
from tests.system.network.vpc_host import (
    HOST,
    WORLD,
    client,
    connect,
    received,
    server,
    source_seen,
)

pytestmark = pytest.mark.sandbox


async def test_a_port_is_open_from_outside_while_rule_and_tag_are_there(
    network: NamespaceNetwork,
) -> None:
    allow = rule("allow-5000", ranges=("0.0.0.0/0",), target_tags=("allow-5000",))
    tagged = replace(A, tags=frozenset({"allow-5000"}))
    with server(at(A), 5000) as listener:
        found = []
        for topology in (
            Topology((A,)),
            Topology((A,), (allow,)),
            Topology((tagged,), (allow,)),
            Topology((A,), (allow,)),
        ):
            await network.apply(topology)
            found.append(connect(HOST, "198.18.0.2", 5000))
        assert found == ["silent", "silent", "open", "silent"]
        assert source_seen(listener) == "198.19.255.254"


async def test_instances_meet_only_by_a_rule_of_their_network(network: NamespaceNetwork) -> None:
    with server(at(B), 5000) as listener:
        await network.apply(Topology((A, B, C)))
        assert connect(at(A), "10.138.0.3", 5000) == "silent"
        await network.apply(Topology((A, B, C), (rule("internal", ranges=("10.128.0.0/9",)),)))
        assert connect(at(A), "10.138.0.3", 5000) == "open"
        assert source_seen(listener) == "10.138.0.2"
        assert connect(at(A), "10.138.0.3", 5001) == "silent"


async def test_networks_are_isolated_whatever_their_rules_say(network: NamespaceNetwork) -> None:
    await network.apply(Topology((A, B, C), OPEN))
    with server(at(B), 5000), server(at(C), 5000) as far:
        assert connect(at(A), "10.138.0.3", 5000) == "open"
        assert connect(at(A), "10.138.0.4", 5000) == "silent"
        assert connect(at(C), "10.138.0.3", 5000) == "silent"
        # By its external address an instance of another network is a stranger like any other.
        assert connect(at(A), "198.18.0.4", 5000) == "open"
        assert source_seen(far) == "198.18.0.2"


async def test_a_sender_without_external_address_reaches_no_external_address(
    network: NamespaceNetwork,
) -> None:
    await network.apply(Topology((replace(A, external_ip=None), B, C), OPEN))
    with server(at(B), 5000), server(WORLD, 80):
        assert connect(at(A), "10.138.0.3", 5000) == "open"
        assert connect(at(A), "198.18.0.3", 5000) == "silent"
        assert connect(at(A), "203.0.113.80", 80) == "silent"
        assert connect(at(B), "203.0.113.80", 80) == "open"


@pytest.mark.parametrize(
    ("rules", "verdict"),
    [
        ((), "silent"),
        ((rule("a"),), "open"),
        ((rule("a", disabled=True),), "silent"),
        ((rule("a"), rule("b", action="deny")), "silent"),
        ((rule("a"), rule("b", action="deny", priority=1001)), "open"),
        ((rule("a"), rule("b", action="deny", priority=999)), "silent"),
        ((rule("a", protocols=(("tcp", ("4000-4999", "5000-6000")),)),), "open"),
        ((rule("a", protocols=(("udp", ("5000",)), ("icmp", ()))),), "silent"),
        ((rule("a", protocols=(("6", ()),)),), "open"),
        ((rule("a", source_tags=("web",)),), "open"),
        ((rule("a", source_tags=("db",)),), "silent"),
        ((rule("a", source_service_accounts=(A.service_account,)),), "open"),
        ((rule("a", target_service_accounts=(A.service_account,)),), "silent"),
        ((rule("a", target_service_accounts=(B.service_account,)),), "open"),
        ((rule("a", network="other"),), "silent"),
        ((rule("a"), rule("e", direction="EGRESS", action="deny")), "silent"),
        (
            (rule("a"), rule("e", direction="EGRESS", action="deny", ranges=("10.138.0.4/30",))),
            "open",
        ),
        (
            (
                rule("a"),
                rule("e", direction="EGRESS", action="deny", target_tags=("web",)),
                rule("f", direction="EGRESS", priority=10, ranges=("10.138.0.3/32",)),
            ),
            "open",
        ),
    ],
)
async def test_loaded_rules_decide_as_documented(
    network: NamespaceNetwork, rules: tuple[FirewallRule, ...], verdict: str
) -> None:
    sender = replace(A, tags=frozenset({"web"}))
    await network.apply(Topology((sender, B, C), rules))
    with server(at(B), 5000):
        assert connect(at(A), "10.138.0.3", 5000) == verdict


async def test_every_protocol_of_the_api_is_a_rule_that_nft_takes(
    network: NamespaceNetwork,
) -> None:
    names = ("all", "icmp", "esp", "ah", "ipip", "47")
    ports = (("sctp", ("80",)), ("udp", ("1-65535",)), ("17", ("53", "80-90", "85-99")))
    protocols = (*((name, ()) for name in names), *ports)
    await network.apply(Topology((A, B), (rule("a", protocols=protocols),)))
    with (
        server(at(B), 5000, socket.SOCK_DGRAM) as listener,
        client(at(A), socket.SOCK_DGRAM) as c,
    ):
        c.sendto(b"hello", ("10.138.0.3", 5000))
        assert received(listener) == b"hello"


async def test_a_refused_topology_leaves_the_old_one_in_force(network: NamespaceNetwork) -> None:
    await network.apply(Topology((A, B), OPEN))
    twice = replace(B, external_ip=A.external_ip)
    with pytest.raises(NetworkError, match="nft refused"):
        await network.apply(Topology((A, twice), ()))
    with server(at(B), 5000):
        assert connect(at(A), "10.138.0.3", 5000) == "open"
    await network.apply(Topology((A, B), ()))
    assert connect(at(A), "10.138.0.3", 5000) == "silent"


async def test_an_established_connection_outlives_changes_elsewhere(
    network: NamespaceNetwork,
) -> None:
    await network.apply(Topology((A, B), OPEN))
    with server(at(B), 5000) as listener, client(HOST) as outside:
        outside.connect(("198.18.0.3", 5000))
        accepted, _ = listener.accept()
        with accepted:
            for topology in (Topology((A, B, C), OPEN), Topology((B,), (OPEN[0],))):
                await network.apply(topology)
                outside.sendall(b"still here")
                assert accepted.recv(100) == b"still here"


async def test_stopping_while_rules_are_loaded_is_safe(network: NamespaceNetwork) -> None:
    """Cancelling who waits for a worker does not end the worker: it may still load rules."""
    rules = [
        FirewallRule("n", f"r{number}", number, "INGRESS", "allow", (("tcp", ("80",)),))
        for number in range(3000)
    ]
    loading = asyncio.create_task(network.apply(Topology(rules=tuple(rules))))
    await asyncio.sleep(0)
    loading.cancel()
    await network.stop()
    with pytest.raises(NetworkError, match="not running"):
        await network.apply(Topology())


async def test_of_many_changes_at_once_the_last_one_stands(network: NamespaceNetwork) -> None:
    topologies = [Topology((A, B), (rule("a", disabled=bool(i % 2)),)) for i in range(1, 22)]
    topologies.append(Topology((A, B), OPEN))
    await asyncio.gather(*(network.apply(topology) for topology in topologies))
    assert network.topology is topologies[-1]
    with server(at(B), 7000):
        assert connect(at(A), "10.138.0.3", 7000) == "open"
