# SPDX-License-Identifier: GPL-3.0-or-later
"""Where no guest may send, and how the host's own names are made."""

from __future__ import annotations

import ipaddress

import pytest

from cloudspill_sandbox.network.addressing import HostNames
from cloudspill_sandbox.network.router import NamespaceNetwork
from cloudspill_sandbox.network.ruleset import host_ruleset, unreachable
from cloudspill_sandbox.settings import Settings

LAN = ipaddress.IPv4Network("192.0.2.0/24")


def _contains(address: str, networks: list[ipaddress.IPv4Network]) -> bool:
    return any(ipaddress.IPv4Address(address) in network for network in networks)


@pytest.mark.parametrize(
    "address",
    ["10.255.255.53", "127.0.0.1", "169.254.0.1", "172.20.0.1", "192.168.1.1", "192.0.2.77",
     "100.64.0.1", "224.0.0.1", "255.255.255.255", "198.18.7.7", "198.19.255.254", "0.0.0.0"],
)  # fmt: skip
def test_private_places_and_the_hosts_links_are_out_of_reach(address: str) -> None:
    assert _contains(address, unreachable([LAN], ()))


@pytest.mark.parametrize("address", ["203.0.113.80", "8.8.8.8", "192.0.3.1", "172.32.0.1"])
def test_the_world_is_in_reach(address: str) -> None:
    assert not _contains(address, unreachable([LAN], ()))


def test_what_is_named_reachable_is_taken_out_and_nothing_else() -> None:
    mirror = ipaddress.IPv4Network("192.168.7.9/32")
    networks = unreachable([LAN], [mirror, ipaddress.IPv4Network("172.16.0.0/12")])
    assert not _contains("192.168.7.9", networks)
    assert not _contains("172.20.0.1", networks)
    assert _contains("192.168.7.8", networks)
    assert _contains("192.168.7.10", networks)


def test_what_is_named_reachable_may_not_hide_the_vpc() -> None:
    with pytest.raises(ValueError, match=r"10\.128\.0\.0/9"):
        NamespaceNetwork(Settings(), [ipaddress.IPv4Network("10.255.255.53/32")])


def test_the_longest_name_makes_names_that_the_kernel_takes() -> None:
    names = HostNames("abcdefghijkl")
    assert len(names.link) <= 15
    assert names.table not in ("filter", "nat", "mangle", "raw")


def test_without_an_uplink_the_host_forwards_nothing() -> None:
    text = host_ruleset(HostNames("x"), None, guard_uplink=False)
    assert "masquerade" not in text
    assert 'iifname "x-gw" drop' in text
    assert 'oifname "x-gw" drop' in text
