# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixed part of the router's nft table, and the host's own small table.

What a guest may reach, and what it never may, whatever the firewall rules of its network say:

    destination                                       verdict, and where it falls
    -----------------------------------------------  ------------------------------------------
    169.254.169.254 tcp 53, 80 and udp 53             allowed always (router: local)
    199.36.153.8 tcp 443, the API                     by its egress rules (router: local)
    any other port of the router                      refused (router: local)
    an instance of its own network                    by egress and ingress rules
    an instance of another network, internal address  dropped (router: ingress)
    an instance's external address                    by rules, source = own external address
    169.254.0.0/16 otherwise: the host's metadata     dropped (router: transit)
    private, shared, loopback, multicast, reserved    dropped (router: transit), unless named
    and benchmarking ranges, subnets on the host's    in `reachable`
    own links
    any address of the host, its loopback included    dropped (host: input), only answers pass
    other interfaces of the host (bridges, tunnels)   dropped (host: forward)
    tcp 25 outside                                    dropped (router: transit), as Google does
    the rest of the world                             with an external address only (router)
    one instance's connections beyond a fixed number  dropped (router: local, transit)
    an ICMP error about others' connections           dropped (router: local, transit)
    what a fault cuts an instance from                dropped (router: local, transit, ingress)

and what nobody may do: send under an address that is not its own (router: admission), reach an
instance from the host's links other than by the host itself (host: forward).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from cloudspill_sandbox.network.addressing import (
    EXTERNAL_RANGE,
    INTERNAL_RANGE,
    LINK_ROUTER,
    HostNames,
)
from cloudspill_sandbox.network.interface import API_ADDRESS, METADATA_ADDRESS

TABLE = "vpc"
"""The table inside the router's namespace, where no other owner exists."""

SERVICE_CONNECTIONS = 256
OTHER_CONNECTIONS = 4096
"""How many connections an instance may hold to the sandbox's services, and by each interface to
all else: the former cost the daemon a file descriptor each, the latter a place in tables that it
shares with the other instances and the host."""

SPECIAL_RANGES = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
"""https://www.iana.org/assignments/iana-ipv4-special-registry; its documentation ranges are left
out, since closed networks give them to their package mirrors."""


def unreachable(
    on_link: Iterable[ipaddress.IPv4Network], reachable: Sequence[ipaddress.IPv4Network]
) -> list[ipaddress.IPv4Network]:
    """Return where no guest may send: special ranges and the host's links, less `reachable`."""
    remaining = list(ipaddress.collapse_addresses([*SPECIAL_RANGES, *on_link]))
    for hole in reachable:
        remaining = [part for whole in remaining for part in _less(whole, hole)]
    return list(ipaddress.collapse_addresses(remaining))


def _less(whole: ipaddress.IPv4Network, hole: ipaddress.IPv4Network) -> list[ipaddress.IPv4Network]:
    if whole.subnet_of(hole):
        return []
    return list(whole.address_exclude(hole)) if hole.subnet_of(whole) else [whole]


def router_ruleset(forbidden: Iterable[ipaddress.IPv4Network]) -> str:
    """Return the router's table with empty maps and rules; firewall.py fills them.

    A packet from an instance carries the number of its network as mark, one from the host 0.
    Egress rules stand before destination NAT and see the address that the guest asked for;
    ingress rules stand after source NAT and see the sender as the receiver will.
    """
    return f"""
table ip {TABLE} {{
    map sources {{ type ifname . ipv4_addr : mark; }}
    map forwarders {{ type ifname : mark; }}
    map networks {{ type ipv4_addr : mark; }}
    map external_to_internal {{ type ipv4_addr : ipv4_addr; }}
    map internal_to_external {{ type ipv4_addr : ipv4_addr; }}
    set members {{ type mark . ipv4_addr; }}
    set instances {{ type ipv4_addr; }}
    set themselves {{ type ipv4_addr . ipv4_addr; }}
    set cut_from_host {{ type ipv4_addr; }}
    set cut_from_api {{ type ipv4_addr; }}
    set service_flows {{ type ipv4_addr; size 65535; flags dynamic; }}
    set other_flows {{ type ifname; size 65535; flags dynamic; }}
    set unreachable {{ type ipv4_addr; flags interval; elements = {{ {_list(forbidden)} }}; }}

    chain ingress_rules {{ }}
    chain egress_rules {{ }}

    chain admission {{
        type filter hook prerouting priority raw; policy drop;
        meta mark set 0
        iifname "lo" accept
        iifname "wan" ip saddr {{ {INTERNAL_RANGE}, {EXTERNAL_RANGE} }} drop
        iifname "wan" ip saddr {{ 127.0.0.0/8, 169.254.0.0/16 }} drop
        iifname "wan" ip daddr {{ {EXTERNAL_RANGE}, {LINK_ROUTER} }} accept
        iifname "wan" drop
        meta mark set iifname . ip saddr map @sources
        meta mark != 0 accept
        # An instance that may forward: any source but another's or a special one, and never to
        # the router's own services, where the source is the identity.
        fib daddr type local drop
        ip saddr {{ 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 198.18.0.0/15, 224.0.0.0/3 }} drop
        ip saddr @instances drop
        meta mark set iifname map @forwarders
        meta mark != 0 accept
    }}
    chain egress {{
        type filter hook prerouting priority mangle; policy accept;
        meta mark 0 accept
        ct state established,related accept
        ip daddr {METADATA_ADDRESS} accept
        jump egress_rules
    }}
    chain destination_nat {{
        type nat hook prerouting priority dstnat;
        dnat to ip daddr map @external_to_internal
    }}
    chain source_nat {{
        type nat hook postrouting priority srcnat;
        meta mark != 0 oifname "wan" snat to ip saddr map @internal_to_external
        meta mark != 0 ct status dnat snat to ip saddr map @internal_to_external
    }}
    chain local {{
        type filter hook input priority filter; policy drop;
        iifname "lo" accept
        ip saddr @cut_from_api drop
        ct state established accept
        icmp type echo-request accept
        iifname "wan" drop
        meta l4proto tcp add @service_flows {{ ip saddr ct count over {SERVICE_CONNECTIONS} }} drop
        ip daddr {METADATA_ADDRESS} tcp dport {{ 53, 80 }} accept
        ip daddr {METADATA_ADDRESS} udp dport 53 accept
        ip daddr {API_ADDRESS} tcp dport 443 accept
        meta l4proto tcp reject with tcp reset
    }}
    chain transit {{
        type filter hook forward priority filter; policy accept;
        iifname "wan" ip daddr @cut_from_host drop
        oifname "wan" ip saddr @cut_from_host drop
        ct state invalid drop
        # An error about a flow, from an instance that is neither end of it.
        ct state related meta mark != 0 ip saddr . ct original ip saddr != @themselves \
            ip saddr . ct reply ip saddr != @themselves drop
        ct state established,related accept
        oifname "wan" ip daddr @unreachable drop
        oifname "wan" tcp dport 25 drop
        iifname != "wan" add @other_flows {{ iifname ct count over {OTHER_CONNECTIONS} }} drop
    }}
    chain ingress {{
        type filter hook postrouting priority 150; policy drop;
        oifname "lo" accept
        fib saddr type local ip daddr @cut_from_api drop
        ct state established,related accept
        oifname "wan" meta mark != 0 ip saddr {EXTERNAL_RANGE} accept
        oifname "wan" drop
        ct status dnat meta mark != 0 ip saddr != {EXTERNAL_RANGE} drop
        ct status dnat goto admitted
        meta mark . ip daddr @members goto admitted
    }}
    chain admitted {{
        meta mark set ip daddr map @networks
        jump ingress_rules
    }}
}}
"""


def host_ruleset(names: HostNames, uplink: str | None, *, guard_uplink: bool) -> str:
    """Return the host's own table: nothing of the host for guests, and egress by masquerade.

    Args:
        names: of the sandbox.
        uplink: interface of the host's default route; None when there is no egress.
        guard_uplink: the uplink forwards only because of the sandbox, so it may carry answers
            to guests and nothing else.
    """
    link = names.link
    rules = [f'iifname "{link}" drop', f'oifname "{link}" drop']
    nat = ""
    if uplink is not None:
        rules = [
            # The uplink may carry less than a VPC: tell the peer in time.
            f'iifname "{link}" oifname "{uplink}" tcp flags syn tcp option maxseg size set rt mtu',
            f'iifname "{link}" oifname "{uplink}" accept',
            f'iifname "{uplink}" oifname "{link}" ct state established,related accept',
            *rules,
            *([f'iifname "{uplink}" drop'] if guard_uplink else []),
        ]
        nat = f"""
    chain postrouting {{
        type nat hook postrouting priority srcnat;
        ip saddr {EXTERNAL_RANGE} oifname "{uplink}" masquerade
    }}"""
    forward = "\n        ".join(rules)
    return f"""
table ip {names.table} {{
    chain input {{
        type filter hook input priority filter - 10; policy accept;
        iifname "{link}" ct state established,related accept
        iifname "{link}" drop
    }}
    chain forward {{
        type filter hook forward priority filter - 10; policy accept;
        {forward}
    }}{nat}
}}
"""


def _list(networks: Iterable[ipaddress.IPv4Network]) -> str:
    return ", ".join(map(str, networks))
