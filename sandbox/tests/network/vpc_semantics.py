# SPDX-License-Identifier: GPL-3.0-or-later
"""VPC firewall rules evaluated the slow way, straight from Google's page, and compiled ones too.

https://cloud.google.com/firewall/docs/firewalls
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from cloudspill_sandbox.network.interface import FirewallRule, Nic, Topology

PROTOCOLS = {"icmp": 1, "ipip": 4, "tcp": 6, "udp": 17, "esp": 50, "ah": 51, "sctp": 132}


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of a connection, as one end of it sees it.

    Attributes:
        near: the instance whose rules are asked.
        far: the other address: source (ingress) or destination (egress).
        protocol: IP protocol number.
        port: destination port, 0 where the protocol has none.
    """

    near: Nic
    far: str
    protocol: int
    port: int


def permits(topology: Topology, direction: str, packet: Packet) -> bool:
    """Return what the page says happens to a packet."""
    matching = [
        rule
        for rule in topology.rules
        if rule.direction == direction and _matches(topology, rule, packet)
    ]
    if not matching:
        return direction == "EGRESS"  # the implied rules
    first = min(rule.priority for rule in matching)
    return all(rule.action == "allow" for rule in matching if rule.priority == first)


def _matches(topology: Topology, rule: FirewallRule, packet: Packet) -> bool:
    return (
        not rule.disabled
        and rule.network == packet.near.network
        and _is_target(rule, packet.near)
        and _is_far_end(topology, rule, packet)
        and any(_has_protocol(name, ports, packet) for name, ports in rule.protocols)
    )


def _is_target(rule: FirewallRule, nic: Nic) -> bool:
    if not rule.target_tags and not rule.target_service_accounts:
        return True
    return bool(nic.tags & set(rule.target_tags)) or (
        nic.service_account in rule.target_service_accounts
    )


def _is_far_end(topology: Topology, rule: FirewallRule, packet: Packet) -> bool:
    if not rule.ranges and not rule.source_tags and not rule.source_service_accounts:
        return True
    address = ipaddress.ip_address(packet.far)
    if any(address in ipaddress.ip_network(text) for text in rule.ranges):
        return True
    senders = [
        nic
        for nic in topology.nics
        if nic.internal_ip == packet.far and nic.network == rule.network
    ]
    return any(
        nic.tags & set(rule.source_tags) or nic.service_account in rule.source_service_accounts
        for nic in senders
    )


def _has_protocol(name: str, ports: tuple[str, ...], packet: Packet) -> bool:
    if name == "all":
        return True
    if PROTOCOLS.get(name, -1) != packet.protocol and name != str(packet.protocol):
        return False
    bounds = [port.split("-") for port in ports]
    return not ports or any(int(b[0]) <= packet.port <= int(b[-1]) for b in bounds)


def compiled_permits(script: str, direction: str, mark: int, packet: Packet) -> bool:
    """Return what the compiled chain does to a packet, reading the text as nft would."""
    near, far = ("daddr", "saddr") if direction == "INGRESS" else ("saddr", "daddr")
    addresses = {near: packet.near.internal_ip, far: packet.far}
    for line in script.splitlines():
        found = re.fullmatch(rf"add rule ip vpc {direction.lower()}_rules (.*) (accept|drop)", line)
        if found and _statement_matches(found.group(1), addresses, mark, packet):
            return found.group(2) == "accept"
    return direction == "EGRESS"  # the policy of the chain that jumps there


def _statement_matches(text: str, addresses: dict[str, str], mark: int, packet: Packet) -> bool:
    pattern = (
        r"meta mark (\d+)|ip (saddr|daddr) \{ ([^}]+) \}|meta l4proto (\d+)|th dport \{ ([^}]+) \}"
    )
    results = []
    for number, field, networks, protocol, ports in re.findall(pattern, text):
        if number:
            results.append(int(number) == mark)
        elif field:
            address = ipaddress.ip_address(addresses[field])
            results.append(
                any(address in ipaddress.ip_network(net) for net in networks.split(", "))
            )
        elif protocol:
            results.append(int(protocol) == packet.protocol)
        else:
            bounds = [port.split("-") for port in ports.split(", ")]
            results.append(any(int(b[0]) <= packet.port <= int(b[-1]) for b in bounds))
    unread = re.sub(pattern, "", text).strip()
    assert not unread, f"a statement that this reader does not know: {unread}"
    return all(results)
