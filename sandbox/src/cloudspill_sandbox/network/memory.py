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
        attached: internal address → interface.
        topology: what apply() was last given.
        applied: how often apply() was called.
    """

    external_range = ipaddress.IPv4Network("198.19.0.0/17")

    def __init__(self) -> None:
        self.running = False
        self.attached: dict[str, Nic] = {}
        self.topology = Topology()
        self.applied = 0
        self._namespaces: dict[str, str] = {}

    async def start(self) -> None:
        """Begin with nothing."""
        self.running = True
        self.attached.clear()
        self.topology = Topology()

    async def stop(self) -> None:
        """Forget everything but the count."""
        self.running = False
        self.attached.clear()
        self.topology = Topology()

    async def retain(self, instances: Iterable[Sequence[Nic]]) -> None:
        """Forget every interface but these."""
        kept = {nic.internal_ip for nics in instances for nic in nics}
        self.attached = {ip: nic for ip, nic in self.attached.items() if ip in kept}

    async def attach(self, nics: Sequence[Nic]) -> str:
        """Remember the interfaces and return a path that does not exist."""
        await self.detach(nics)
        self.attached |= {nic.internal_ip: nic for nic in nics}
        self._namespaces |= {nic.internal_ip: nics[0].internal_ip for nic in nics}
        return f"/nonexistent/netns/{nics[0].hex_address}"

    async def detach(self, nics: Sequence[Nic]) -> None:
        """Forget the namespace that the first one names, and what is in it."""
        first = nics[0].internal_ip
        gone = [address for address, place in self._namespaces.items() if place == first]
        for address in gone:
            del self._namespaces[address]
            self.attached.pop(address, None)

    async def apply(self, topology: Topology) -> None:
        """Remember the topology."""
        self.topology = topology
        self.applied += 1

    def listen(self, address: str, port: int, kind: socket.SocketKind) -> socket.socket:  # noqa: ARG002
        """Return a socket on a free port of 127.0.0.1, whatever was asked for."""
        opened = socket.socket(socket.AF_INET, kind)
        opened.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            opened.listen()
        opened.setblocking(False)
        return opened
