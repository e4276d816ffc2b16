# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rest of the sandbox asks of the VPC."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

METADATA_ADDRESS = "169.254.169.254"
API_ADDRESS = "199.36.153.8"
"""private.googleapis.com: https://cloud.google.com/vpc/docs/configure-private-google-access"""


def hex_of(address: str) -> str:
    """Return an IPv4 address as eight hexadecimal digits."""
    return f"{int(ipaddress.IPv4Address(address)):08x}"


def mac_of(address: str) -> str:
    """Return the hardware address of an internal address or gateway: 42:01 and the address.

    As on Compute Engine: https://cloud.google.com/compute/docs/networking.
    """
    digits = hex_of(address)
    return ":".join(("42", "01", *(digits[i : i + 2] for i in range(0, 8, 2))))


@dataclass(frozen=True, slots=True)
class Nic:
    """One network interface of an instance.

    Attributes:
        internal_ip: address in its subnetwork; unique in the sandbox, hence the identity.
        external_ip: address of the ONE_TO_ONE_NAT access config, None without one.
        network: relative name of the VPC network.
        subnet: CIDR range of its subnetwork.
        tags: network tags of the instance.
        hostname: fully qualified internal name of the instance, for the name service and
            /etc/hosts.
        service_account: email of the instance's service account, "" without one.
        can_ip_forward: whether foreign source addresses are let through.
        cut_from: what no packet passes to or from: `host` (the host and the world behind it),
            `api` (metadata server and API). Flows under way are cut too.
        index: its place among the instance's interfaces. The first one, 0, has the name and the
            way to everything that no interface is nearer to.
    """

    internal_ip: str
    external_ip: str | None
    network: str
    subnet: str
    tags: frozenset[str]
    hostname: str
    service_account: str = ""
    can_ip_forward: bool = False
    cut_from: frozenset[str] = frozenset()
    index: int = 0

    @property
    def hex_address(self) -> str:
        """The internal address as eight hexadecimal digits."""
        return hex_of(self.internal_ip)

    @property
    def mac(self) -> str:
        """Its hardware address."""
        return mac_of(self.internal_ip)


@dataclass(frozen=True, slots=True)
class FirewallRule:
    """One rule of one network, in the words of the API.

    Attributes:
        protocols: (protocol, ports) pairs; protocol `all` or a name or number in lower case,
            ports `()` for all or `"80"`, `"8000-8100"` (https://cloud.google.com/firewall/docs/firewalls).
        ranges: CIDR source (ingress) or destination (egress) ranges.
    """

    network: str
    name: str
    priority: int
    direction: Literal["INGRESS", "EGRESS"]
    action: Literal["allow", "deny"]
    protocols: tuple[tuple[str, tuple[str, ...]], ...]
    ranges: tuple[str, ...] = ()
    source_tags: tuple[str, ...] = ()
    source_service_accounts: tuple[str, ...] = ()
    target_tags: tuple[str, ...] = ()
    target_service_accounts: tuple[str, ...] = ()
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Topology:
    """Everything that decides which packet goes where; applied as a whole."""

    nics: tuple[Nic, ...] = ()
    rules: tuple[FirewallRule, ...] = ()


class NetworkError(RuntimeError):
    """A host command for the VPC failed; the message says which and why."""


class Network(Protocol):
    """The VPC of a sandbox.

    Attributes:
        external_range: where instances get their external addresses from.
    """

    external_range: ipaddress.IPv4Network

    async def start(self) -> None:
        """Make the router, or take up the one that outlived a sandbox of this name."""

    async def stop(self) -> None:
        """Remove every namespace, link, route, table and sysctl that start() or attach() set."""

    async def retain(self, instances: Iterable[Sequence[Nic]]) -> None:
        """Detach every instance of an earlier life but these, each the interfaces of one."""

    async def attach(self, nics: Sequence[Nic]) -> str:
        """Make an instance's namespace, with its interfaces; return its path for the runtime.

        Idempotent. The namespace outlives stops and starts of the machine. The first interface
        names it. Only for an operation that has the instance to itself: what changes while it
        may be deleted is `apply`'s.
        """

    async def detach(self, nics: Sequence[Nic]) -> None:
        """Remove what attach() made of the same interfaces; no error when it is gone."""

    async def apply(self, topology: Topology) -> None:
        """Put a topology into force, and bring interfaces that are attached up to date with it.

        Addresses, tags, forwarding and firewall rules change in one transaction, routes after
        it; where those cannot be changed, the log says so and the next topology tries again.
        Nothing is made or removed: an interface that is not attached stays so.
        """

    def listen(self, address: str, port: int, kind: socket.SocketKind) -> socket.socket:
        """Return a bound (and for streams listening), non-blocking socket inside the router."""
