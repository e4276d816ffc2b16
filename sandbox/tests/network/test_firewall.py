# SPDX-License-Identifier: GPL-3.0-or-later
"""Compiled firewall rules do what Google's page says."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudspill_sandbox.network.firewall import compile_topology, number_networks
from cloudspill_sandbox.network.interface import FirewallRule, Nic, Topology
from sandbox.tests.network.vpc_semantics import Packet, compiled_permits, permits

TAGS = ("bread", "butter", "jam")
ACCOUNTS = ("one@x.iam", "two@x.iam")
ADDRESSES = ("10.138.0.2", "10.138.0.3", "10.138.0.4", "10.140.0.2", "10.9.0.2")
STRANGERS = ("203.0.113.9", "198.19.255.254", "8.8.8.8", "10.138.0.200")
RANGES = (
    "0.0.0.0/0",
    "10.128.0.0/9",
    "10.138.0.2/31",
    "203.0.113.0/24",
    "8.8.8.8/32",
    "2001:db8::/32",
)
PORT_LISTS = ((), ("80",), ("80", "443"), ("8000-8100",), ("1-1000", "900-2000", "80"))

nics = st.builds(
    lambda address, network, tags, account: Nic(
        address, None, network, "10.138.0.0/20", tags, f"{address}.internal", account
    ),
    st.sampled_from(ADDRESSES),
    st.sampled_from(("default", "other")),
    st.frozensets(st.sampled_from(TAGS)),
    st.sampled_from(("", *ACCOUNTS)),
)


def some(values: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    """Mostly nothing, or hardly a rule would match hardly a packet."""
    chosen = st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True).map(tuple)
    return st.one_of(st.just(()), st.just(()), chosen)


protocols = st.one_of(
    st.just(("all", ())),
    st.tuples(st.sampled_from(("tcp", "udp", "sctp", "6")), st.sampled_from(PORT_LISTS)),
    st.tuples(st.sampled_from(("all", "icmp", "esp", "ah", "ipip", "47")), st.just(())),
)
rules = st.builds(
    FirewallRule,
    network=st.sampled_from(("default", "other")),
    name=st.sampled_from(("a", "b", "c")),
    priority=st.sampled_from((0, 1000, 65535)),
    direction=st.sampled_from(("INGRESS", "EGRESS")),
    action=st.sampled_from(("allow", "deny")),
    protocols=st.lists(protocols, min_size=1, max_size=3).map(tuple),
    ranges=some(RANGES),
    source_tags=some(TAGS),
    source_service_accounts=some(ACCOUNTS),
    target_tags=some(TAGS),
    target_service_accounts=some(ACCOUNTS),
    disabled=st.sampled_from((False, False, False, True)),
).map(
    # The API knows no source tags on egress.
    lambda rule: (
        rule
        if rule.direction == "INGRESS"
        else replace(rule, source_tags=(), source_service_accounts=())
    )
)
topologies = st.builds(
    Topology,
    st.lists(nics, min_size=1, max_size=5, unique_by=lambda nic: nic.internal_ip).map(tuple),
    st.lists(rules, max_size=6).map(tuple),
)


@settings(max_examples=400, deadline=None)
@given(
    topologies,
    st.sampled_from(("INGRESS", "EGRESS")),
    st.sampled_from((*ADDRESSES, *STRANGERS)),
    st.tuples(
        st.sampled_from((1, 4, 6, 6, 6, 17, 47, 50, 51, 132)),
        st.sampled_from((22, 80, 443, 950, 8000, 8101)),
    ),
    st.data(),
)
def test_a_compiled_rule_set_permits_what_the_documentation_says(
    topology: Topology, direction: str, far: str, service: tuple[int, int], data: st.DataObject
) -> None:
    near = data.draw(st.sampled_from(topology.nics))
    packet = Packet(near, far, service[0], service[1] if service[0] in (6, 17, 132) else 0)
    script = compile_topology(topology, "vpc")
    mark = number_networks(topology)[near.network]
    assert compiled_permits(script, direction, mark, packet) == permits(topology, direction, packet)


WEB = Nic("10.138.0.2", "198.18.0.2", "default", "10.138.0.0/20", frozenset({"web"}), "web.x")
RULE = FirewallRule("default", "allow-80", 1000, "INGRESS", "allow", (("tcp", ("80",)),))


def test_every_change_replaces_all_that_was_there() -> None:
    script = compile_topology(Topology(), "vpc")
    assert script.splitlines() == [
        "flush map ip vpc sources",
        "flush map ip vpc forwarders",
        "flush map ip vpc networks",
        "flush map ip vpc external_to_internal",
        "flush map ip vpc internal_to_external",
        "flush set ip vpc members",
        "flush set ip vpc instances",
        "flush set ip vpc themselves",
        "flush set ip vpc cut_from_host",
        "flush set ip vpc cut_from_api",
        "flush chain ip vpc ingress_rules",
        "flush chain ip vpc egress_rules",
    ]


def test_an_interface_may_send_from_its_own_address_only() -> None:
    script = compile_topology(Topology((WEB,)), "vpc")
    assert 'add element ip vpc sources { "i0a8a0002" . 10.138.0.2 : 1 }' in script
    assert "add element ip vpc forwarders" not in script
    forwarding = compile_topology(Topology((replace(WEB, can_ip_forward=True),)), "vpc")
    assert 'add element ip vpc forwarders { "i0a8a0002" : 1 }' in forwarding


def test_a_rule_of_another_network_or_a_disabled_one_lets_nobody_in() -> None:
    packet = Packet(WEB, "203.0.113.9", 6, 80)
    peer = replace(WEB, internal_ip="10.138.0.9", network="other", tags=frozenset({"peer"}))
    for closed in (
        replace(RULE, disabled=True),
        replace(RULE, network="other"),
        replace(RULE, source_tags=("peer",)),
    ):
        script = compile_topology(Topology((WEB, peer), (closed,)), "vpc")
        assert not compiled_permits(script, "INGRESS", 1, packet)
        assert not compiled_permits(script, "INGRESS", 1, replace(packet, far="10.138.0.9"))
    script = compile_topology(Topology((WEB, peer), (RULE,)), "vpc")
    assert compiled_permits(script, "INGRESS", 1, packet)


def test_an_instance_that_is_cut_off_is_in_the_set_of_what_it_is_cut_from() -> None:
    assert "cut_from" not in "".join(
        re.findall("add element.*", compile_topology(Topology((WEB,)), "vpc"))
    )
    cut = replace(WEB, cut_from=frozenset({"host", "api"}))
    script = compile_topology(Topology((cut, replace(WEB, internal_ip="10.138.0.9"))), "vpc")
    for side in ("host", "api"):
        assert f"add element ip vpc cut_from_{side} {{ {WEB.internal_ip} }}\n" in script


def test_an_instance_without_external_address_is_translated_nowhere() -> None:
    script = compile_topology(Topology((replace(WEB, external_ip=None),)), "vpc")
    assert "external_to_internal {" not in script
    assert "internal_to_external {" not in script


def test_a_tag_that_nobody_carries_lets_nothing_through() -> None:
    rule = replace(RULE, target_tags=("nobody",))
    assert "add rule" not in compile_topology(Topology((WEB,), (rule,)), "vpc")
    rule = replace(RULE, source_tags=("nobody",))
    assert "add rule" not in compile_topology(Topology((WEB,), (rule,)), "vpc")


def test_an_ipv6_range_alone_matches_no_ipv4_packet() -> None:
    rule = replace(RULE, ranges=("::/0",))
    assert "add rule" not in compile_topology(Topology((WEB,), (rule,)), "vpc")


def test_overlapping_ports_and_ranges_are_merged_because_nft_refuses_them() -> None:
    rule = replace(
        RULE,
        protocols=(("tcp", ("90", "80-100", "101-110", "112", "443")),),
        ranges=("10.0.0.0/8", "10.1.0.0/16"),
    )
    script = compile_topology(Topology((WEB,), (rule,)), "vpc")
    assert "ip saddr { 10.0.0.0/8 } meta l4proto 6 th dport { 80-110, 112, 443 } accept" in script


@pytest.mark.parametrize(
    "rule",
    [
        replace(RULE, protocols=(("tcp", ("80; flush ruleset",)),)),
        replace(RULE, protocols=(("tcp", ("70000",)),)),
        replace(RULE, protocols=(("tcp", ("90-80",)),)),
        replace(RULE, protocols=(("300", ()),)),
        replace(RULE, protocols=(("tcp drop", ()),)),
        replace(RULE, ranges=("10.0.0.0/8 } accept",)),
    ],
)
def test_what_is_no_port_protocol_or_range_never_reaches_nft(rule: FirewallRule) -> None:
    with pytest.raises(ValueError, match=r"."):
        compile_topology(Topology((WEB,), (rule,)), "vpc")


@pytest.mark.parametrize(
    "nic",
    [
        replace(WEB, internal_ip="10.0.0.1 } ; drop"),
        replace(WEB, external_ip="198.18.0.2 } ; drop"),
    ],
)
def test_what_is_no_address_never_reaches_nft(nic: Nic) -> None:
    with pytest.raises(ValueError, match="drop"):
        compile_topology(Topology((nic,)), "vpc")
