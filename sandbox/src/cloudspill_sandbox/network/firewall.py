# SPDX-License-Identifier: GPL-3.0-or-later
"""A topology as nft text: who has which address, and what VPC firewall rules let through.

A pure function. Tags and service accounts are resolved to addresses here, so the kernel sees
addresses, protocols and ports only, in the order in which Compute Engine evaluates
(https://cloud.google.com/firewall/docs/firewalls#priority_order_for_firewall_rules): lowest
priority number first, deny before allow at the same number, first match decides. The implied
rules (deny ingress, allow egress) are the policies of the chains in ruleset.py that jump here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from cloudspill_sandbox.network.addressing import router_interface
from cloudspill_sandbox.network.interface import FirewallRule, Nic, Topology

PROTOCOL_NUMBERS = {"icmp": 1, "ipip": 4, "tcp": 6, "udp": 17, "esp": 50, "ah": 51, "sctp": 132}
"""The names that the API knows; any other protocol is given by number."""

_ANYWHERE = ipaddress.IPv4Network("0.0.0.0/0")
_VERDICTS = {"allow": "accept", "deny": "drop"}


def compile_topology(topology: Topology, table: str) -> str:
    """Return the script that replaces everything variable in the router's table.

    Args:
        topology: NICs with unique internal addresses, and rules.
        table: the table's name; ruleset.router_ruleset made it.

    Raises:
        ValueError: an address, range, protocol or port cannot be understood.
    """
    numbers = number_networks(topology)
    lines = [f"flush map ip {table} {name}" for name in _MAPS]
    lines += [f"flush set ip {table} {name}" for name in _SETS]
    lines += [f"flush chain ip {table} {direction}_rules" for direction in ("ingress", "egress")]
    for name, elements in _elements(topology.nics, numbers).items():
        if elements:
            lines.append(f"add element ip {table} {name} {{ {', '.join(elements)} }}")
    for rule in sorted(topology.rules, key=evaluation_order):
        chain = f"{rule.direction.lower()}_rules"
        lines += [
            f"add rule ip {table} {chain} {statement}"
            for statement in _statements(rule, numbers[rule.network], topology.nics)
        ]
    return "\n".join(lines) + "\n"


def evaluation_order(rule: FirewallRule) -> tuple[int, bool, str]:
    """Sort key: priority number, then deny before allow; the name only makes it definite."""
    return (rule.priority, rule.action == "allow", rule.name)


def number_networks(topology: Topology) -> dict[str, int]:
    """Give each network the packet mark that stands for it in the router, from 1 upwards."""
    names = {nic.network for nic in topology.nics} | {rule.network for rule in topology.rules}
    return {name: number for number, name in enumerate(sorted(names), 1)}


_MAPS = ("sources", "forwarders", "networks", "external_to_internal", "internal_to_external")
_SETS = ("members", "instances", "themselves", "cut_from_host", "cut_from_api")


def _elements(nics: Iterable[Nic], numbers: dict[str, int]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in (*_MAPS, *_SETS)}
    for nic in nics:
        interface, number = router_interface(nic), numbers[nic.network]
        internal = str(ipaddress.IPv4Address(nic.internal_ip))
        found["sources"].append(f'"{interface}" . {internal} : {number}')
        found["networks"].append(f"{internal} : {number}")
        found["instances"].append(internal)
        found["themselves"].append(f"{internal} . {internal}")
        found["members"].append(f"{number} . {internal}")
        for side in nic.cut_from:
            found[f"cut_from_{side}"].append(internal)
        if nic.can_ip_forward:
            found["forwarders"].append(f'"{interface}" : {number}')
        if nic.external_ip is not None:
            external = str(ipaddress.IPv4Address(nic.external_ip))
            found["external_to_internal"].append(f"{external} : {internal}")
            found["internal_to_external"].append(f"{internal} : {external}")
    return found


def _statements(rule: FirewallRule, number: int, nics: Sequence[Nic]) -> list[str]:
    """Return one nft rule for each protocol of a VPC rule; none when nothing can match it."""
    if rule.disabled:
        return []
    near, far = ("daddr", "saddr") if rule.direction == "INGRESS" else ("saddr", "daddr")
    peers = [nic for nic in nics if nic.network == rule.network]
    targets = _address_match(near, _targets(rule, peers))
    remotes = _address_match(far, _remotes(rule, peers))
    if targets is None or remotes is None:
        return []
    ends = " ".join(filter(None, (f"meta mark {number}", targets, remotes)))
    verdict = _VERDICTS[rule.action]
    return [
        " ".join(filter(None, (ends, _protocol_match(protocol, ports), verdict)))
        for protocol, ports in rule.protocols
    ]


def _targets(rule: FirewallRule, peers: Iterable[Nic]) -> list[ipaddress.IPv4Network]:
    if not rule.target_tags and not rule.target_service_accounts:
        return [_ANYWHERE]
    return _selected(peers, rule.target_tags, rule.target_service_accounts)


def _remotes(rule: FirewallRule, peers: Iterable[Nic]) -> list[ipaddress.IPv4Network]:
    """Sources (ingress) or destinations (egress): ranges and selected instances add up."""
    tags, accounts = rule.source_tags, rule.source_service_accounts
    if not (rule.ranges or tags or accounts):
        return [_ANYWHERE]
    # Instances have IPv4 addresses only: an IPv6 range is legal and matches nothing.
    ranges = [ipaddress.IPv4Network(text, strict=False) for text in rule.ranges if ":" not in text]
    return ranges + _selected(peers, tags, accounts)


def _selected(
    peers: Iterable[Nic], tags: Sequence[str], accounts: Sequence[str]
) -> list[ipaddress.IPv4Network]:
    return [
        ipaddress.IPv4Network(nic.internal_ip)
        for nic in peers
        if nic.tags.intersection(tags) or nic.service_account in accounts
    ]


def _address_match(field: str, networks: Iterable[ipaddress.IPv4Network]) -> str | None:
    """Return the nft match, "" for any address, None for no address at all."""
    merged = list(ipaddress.collapse_addresses(networks))
    if not merged:
        return None
    if merged == [_ANYWHERE]:
        return ""
    return f"ip {field} {{ {', '.join(map(str, merged))} }}"


def _protocol_match(protocol: str, ports: Sequence[str]) -> str:
    if protocol == "all":
        return ""
    number = PROTOCOL_NUMBERS.get(protocol)
    number = int(protocol) if number is None else number
    if not 0 <= number <= 255:
        raise ValueError(f"protocol number {number} is not within 0-255")
    match = f"meta l4proto {number}"
    return f"{match} th dport {{ {', '.join(_merged_ports(ports))} }}" if ports else match


def _merged_ports(ports: Iterable[str]) -> list[str]:
    """Merge overlapping and adjacent port ranges: nft refuses intervals that overlap."""
    merged: list[list[int]] = []
    for first, last in sorted(map(_port_range, ports)):
        if merged and first <= merged[-1][1] + 1:
            merged[-1][1] = max(merged[-1][1], last)
        else:
            merged.append([first, last])
    return [str(first) if first == last else f"{first}-{last}" for first, last in merged]


def _port_range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    bounds = int(first), int(last or first)
    if not 0 <= bounds[0] <= bounds[1] <= 65535:
        raise ValueError(f"port range {text!r} is not within 0-65535")
    return bounds
