# SPDX-License-Identifier: GPL-3.0-or-later
"""The links of an instance's interfaces to the router, and how a whole one is known again.

The router's end carries what it was made for as its alias (`ip link show`), set last: an end
without one was being made when the sandbox died.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from pathlib import Path

from cloudspill_sandbox.network.addressing import MTU, gateway, guest_interface, router_interface
from cloudspill_sandbox.network.commands import ip_batch, ip_json
from cloudspill_sandbox.network.interface import NetworkError, Nic

_NAME = re.compile(r"i[0-9a-f]{8}")


def mark(nic: Nic, namespace: Path) -> str:
    """Return what the link of an interface depends on, apart from its address."""
    return f"{gateway(nic)} to {_reached(nic)} as {guest_interface(nic)} of {namespace.name}"


def is_of(mark: str, namespace: Path) -> bool:
    """Whether a mark is that of a link to an instance's namespace."""
    return mark.endswith(f" of {namespace.name}")


def complete(nics: Iterable[Nic], namespace: Path) -> dict[str, str]:
    """Mark the router's ends, in whose namespace this thread is, as whole; return the marks."""
    marks = {router_interface(nic): mark(nic, namespace) for nic in nics}
    ip_batch([f'link set dev {name} alias "{whole}"' for name, whole in marks.items()])
    return marks


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


def whole() -> dict[str, str]:
    """Return the marks of the whole links by the name of the router's end; as above."""
    return {
        link["ifname"]: link["ifalias"]
        for link in ip_json("link", "show", "type", "veth")
        if _NAME.fullmatch(link["ifname"]) and "ifalias" in link
    }


def guest_commands(nics: Iterable[Nic], router: Path) -> list[str]:
    """Return the `ip` commands that make the links, for the instance's namespace.

    As DHCP has it on Compute Engine, each interface leads to its own subnetwork and the first one
    to all else: https://cloud.google.com/vpc/docs/multiple-interfaces-concepts.
    """
    commands = ["link set lo up"]
    for nic in nics:
        interface = guest_interface(nic)
        commands += [
            f"link add {interface} mtu {MTU} address {nic.mac} type veth"
            f" peer name {router_interface(nic)} mtu {MTU} netns {router.name}",
            f"addr add {nic.internal_ip}/32 dev {interface}",
            f"link set {interface} up",
            f"route add {gateway(nic)} dev {interface} scope link",
            f"route add {_reached(nic)} via {gateway(nic)} dev {interface}",
        ]
    return commands


def router_commands(nics: Iterable[Nic]) -> list[str]:
    """Return the `ip` commands that lead packets over the links, for the router's namespace."""
    commands = []
    for nic in nics:
        interface = router_interface(nic)
        commands += [
            f"addr replace {gateway(nic)}/32 dev lo",
            f"link set {interface} up",
            f"neigh replace {nic.internal_ip} lladdr {nic.mac} dev {interface} nud permanent",
            f"route replace {nic.internal_ip}/32 dev {interface}",
        ]
    return commands


def _reached(nic: Nic) -> str:
    """Return what an instance reaches by an interface and by no nearer one."""
    return nic.subnet if nic.index else "default"
