# SPDX-License-Identifier: GPL-3.0-or-later
"""The links of an instance's interfaces to the router, and how a whole one is known again.

The router's end carries what it was made for as its alias (`ip link show`), set last: an end
without one was being made when the sandbox died. Each end knows the other and the router's speaks
no ARP, so nobody can pretend to be a neighbour, or fill the table of them that the host shares.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cloudspill_sandbox.network.addressing import MTU, gateway, guest_interface, router_interface
from cloudspill_sandbox.network.commands import ip_batch, ip_json
from cloudspill_sandbox.network.interface import NetworkError, Nic, mac_of

_NAME = re.compile(r"i[0-9a-f]{8}")
_ALIAS = re.compile(r"(\S+) of (\S+), (\S+) via (\S+)")


@dataclass(frozen=True, slots=True)
class Port:
    """What a whole link is for.

    Attributes:
        interface: of the instance, by name.
        namespace: of the instance, by name.
        reached: what the instance reaches by it and by no nearer interface: a range or `default`.
        gateway: the next hop there.
    """

    interface: str
    namespace: str
    reached: str
    gateway: str

    @classmethod
    def of(cls, nic: Nic, namespace: str) -> Port:
        """Return what the link of an interface is to be for."""
        return cls(guest_interface(nic), namespace, _reached(nic), gateway(nic))

    @property
    def alias(self) -> str:
        """The words for it."""
        return f"{self.interface} of {self.namespace}, {self.reached} via {self.gateway}"

    def leads_as(self, other: Port) -> bool:
        """Whether both lead to the same interface, wherever that sends from there."""
        return (self.interface, self.namespace) == (other.interface, other.namespace)


def complete(nics: Iterable[Nic], namespace: Path) -> dict[str, Port]:
    """Mark the router's ends, in whose namespace this thread is, as whole; return them."""
    ports = {router_interface(nic): Port.of(nic, namespace.name) for nic in nics}
    ip_batch([f'link set dev {name} alias "{port.alias}"' for name, port in ports.items()])
    return ports


def all_names() -> list[str]:
    """Return the names of the router's ends of all links, whole or not; as above."""
    return [name for _, name in socket.if_nameindex() if _NAME.fullmatch(name)]


def remove(name: str) -> None:
    """Delete a link, also one that the kernel is deleting with a namespace; as above.

    Raises:
        NetworkError: it stays.
    """
    try:
        ip_batch([f"link delete {name}"])
    except NetworkError:
        if name in all_names():
            raise


def whole() -> dict[str, Port]:
    """Return what the whole links are for, by the name of the router's end; as above."""
    return {
        link["ifname"]: Port(*said.groups())
        for link in ip_json("link", "show", "type", "veth")
        if _NAME.fullmatch(link["ifname"]) and (said := _ALIAS.fullmatch(link.get("ifalias", "")))
    }


def guest_commands(nics: Iterable[Nic], router: Path) -> list[str]:
    """Return the `ip` commands that make the links, for the instance's namespace."""
    commands = ["link set lo up"]
    for nic in nics:
        interface = guest_interface(nic)
        commands += [
            f"link add {interface} mtu {MTU} address {nic.mac} type veth"
            f" peer name {router_interface(nic)} mtu {MTU} netns {router.name}",
            f"addr add {nic.internal_ip}/32 dev {interface}",
            f"link set {interface} up",
            *_routes(nic),
        ]
    return commands


def router_commands(nics: Iterable[Nic]) -> list[str]:
    """Return the `ip` commands that lead packets over the links, for the router's namespace."""
    commands = []
    for nic in nics:
        interface = router_interface(nic)
        commands += [
            f"link set {interface} address {mac_of(gateway(nic))} arp off up",
            f"neigh replace {nic.internal_ip} lladdr {nic.mac} dev {interface} nud permanent",
            f"route replace {nic.internal_ip}/32 dev {interface}",
        ]
    return commands


def reroute(nics: Iterable[Nic]) -> None:
    """Give interfaces the routes that they are to have, in the namespace of their instance."""
    for nic in nics:
        interface = guest_interface(nic)
        kept = {_reached(nic), gateway(nic)}
        routes = ip_json("route", "show", "dev", interface)
        neighbours = ip_json("neighbour", "show", "dev", interface, "nud", "permanent")
        # The new ones first: what has a way keeps it.
        ip_batch(
            [
                *_routes(nic),
                *(
                    f"route delete {each['dst']} dev {interface}"
                    for each in routes
                    if each["dst"] not in kept
                ),
                *(
                    f"neigh delete {each['dst']} dev {interface}"
                    for each in neighbours
                    if each["dst"] not in kept
                ),
            ]
        )


def _routes(nic: Nic) -> list[str]:
    """Return the `ip` commands for the routes of an interface.

    As DHCP has it on Compute Engine, each interface leads to its own subnetwork and the first one
    to all else: https://cloud.google.com/vpc/docs/multiple-interfaces-concepts.
    """
    interface, hop = guest_interface(nic), gateway(nic)
    return [
        f"neigh replace {hop} lladdr {mac_of(hop)} dev {interface} nud permanent",
        f"route replace {hop} dev {interface} scope link",
        f"route replace {_reached(nic)} via {hop} dev {interface}",
    ]


def _reached(nic: Nic) -> str:
    """Return what an instance reaches by an interface and by no nearer one."""
    return nic.subnet if nic.index else "default"
