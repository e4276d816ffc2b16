# SPDX-License-Identifier: GPL-3.0-or-later
"""Which addresses and names the VPC takes, on its host and inside its router."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cloudspill_sandbox.network.interface import Nic

EXTERNAL_RANGE = ipaddress.IPv4Network("198.18.0.0/16")
"""External addresses of instances: benchmarking range of RFC 2544, routed nowhere else."""

INTERNAL_RANGE = ipaddress.IPv4Network("10.128.0.0/9")
"""All auto-mode subnets: https://cloud.google.com/vpc/docs/subnets#ip-ranges."""

LINK_RANGE = ipaddress.IPv4Network("198.19.255.252/30")
LINK_ROUTER = "198.19.255.253"
LINK_HOST = "198.19.255.254"
"""The host's clients appear to instances under this address."""

CLAIMED_RANGE = ipaddress.IPv4Network("198.18.0.0/15")
"""What one running sandbox claims on its host: EXTERNAL_RANGE and LINK_RANGE."""

MTU = 1460
"""https://cloud.google.com/vpc/docs/mtu"""

NAMESPACES = Path("/run/netns")
"""Where `ip netns` looks for namespaces."""


@dataclass(frozen=True, slots=True)
class HostNames:
    """Host resources of one sandbox, all derived from its name (at most 12 characters)."""

    sandbox: str

    @property
    def link(self) -> str:
        """The host's end of the link to the router (an interface name has 15 characters)."""
        return f"{self.sandbox}-gw"

    @property
    def table(self) -> str:
        """The host's nft table, never an existing one such as `nat` or `filter`."""
        return f"{self.sandbox}_vpc"

    @property
    def mark(self) -> str:
        """Comment on the rules that were added to other owners' forward chains."""
        return f"cloudspill sandbox {self.sandbox}"

    @property
    def router(self) -> Path:
        """The router's namespace."""
        return NAMESPACES / f"{self.sandbox}-vpc"

    def namespace(self, first: Nic) -> Path:
        """The namespace of an instance, by its first interface."""
        return NAMESPACES / f"{self.sandbox}-{first.hex_address}"

    def all_namespaces(self) -> list[Path]:
        """Every namespace that carries this sandbox's name, those of its instances first."""
        digits = "[0-9a-f]" * 8
        found = sorted(NAMESPACES.glob(f"{self.sandbox}-{digits}"))
        return [*found, self.router] if self.router.exists() else found


def router_interface(nic: Nic) -> str:
    """The router's end of an instance's link."""
    return f"i{nic.hex_address}"


def guest_interface(nic: Nic) -> str:
    """The instance's end of the link."""
    return f"eth{nic.index}"


def gateway(nic: Nic) -> str:
    """The first usable address of the subnetwork, as on Compute Engine."""
    return str(ipaddress.IPv4Network(nic.subnet)[1])
