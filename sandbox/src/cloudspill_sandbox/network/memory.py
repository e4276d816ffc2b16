# SPDX-License-Identifier: GPL-3.0-or-later
"""A VPC that only remembers, for tests of what asks for one."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Sequence

from cloudspill_sandbox.network.interface import Nic, Topology


class MemoryNetwork:
    """Implements interface.Network without a packet; sockets are opened on loopback.

    Attributes:
        external_range: no address of it is ever a machine's, even while a sandbox with a real
            network runs on this host.
        running: between start() and stop().
        topology: what apply() was last given.
        applied: how often apply() was called.
    """

    external_range = ipaddress.IPv4Network("198.19.0.0/17")

    def __init__(self) -> None:
        self.running = False
        self.topology = Topology()
        self.applied = 0
        self._namespaces: dict[str, dict[str, Nic]] = {}

    @property
    def attached(self) -> dict[str, Nic]:
        """The interfaces of all namespaces, by internal address."""
        return {ip: nic for held in self._namespaces.values() for ip, nic in held.items()}

    async def start(self) -> None:
        """Begin with nothing."""
        self.running = True
        self._forget()

    async def stop(self) -> None:
        """Forget everything but the count."""
        self.running = False
        self._forget()

    async def retain(self, instances: Iterable[Sequence[Nic]]) -> None:
        """Forget every namespace and every interface but these."""
        kept = tuple(instances)
        addresses = {nic.internal_ip for nics in kept for nic in nics}
        for first in self._namespaces.keys() - {nics[0].internal_ip for nics in kept}:
            del self._namespaces[first]
        self._unplug(set(self.attached) - addresses)

    async def attach(self, nics: Sequence[Nic]) -> str:
        """Remember the interfaces and return a path that does not exist."""
        self._unplug({nic.internal_ip for nic in nics})
        self._namespaces[nics[0].internal_ip] = {nic.internal_ip: nic for nic in nics}
        return f"/nonexistent/netns/{nics[0].hex_address}"

    async def detach(self, nics: Sequence[Nic]) -> None:
        """Forget the namespace that the first one names, and what is in it."""
        self._namespaces.pop(nics[0].internal_ip, None)

    async def apply(self, topology: Topology) -> None:
        """Remember the topology."""
        self.topology = topology
        self.applied += 1

    def _forget(self) -> None:
        self._namespaces.clear()
        self.topology = Topology()

    def _unplug(self, addresses: Iterable[str]) -> None:
        """Forget interfaces, whatever namespace they are in."""
        for address in addresses:
            for held in self._namespaces.values():
                held.pop(address, None)

    def listen(self, address: str, port: int, kind: socket.SocketKind) -> socket.socket:  # noqa: ARG002
        """Return a socket on a free port of 127.0.0.1, whatever was asked for."""
        opened = socket.socket(socket.AF_INET, kind)
        opened.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            opened.listen()
        opened.setblocking(False)
        return opened
