# SPDX-License-Identifier: GPL-3.0-or-later
"""The link of one instance's interface to the router, and how a whole one is known again.

The router's end carries what it was made for as its alias (`ip link show`), set last: an end
without one was being made when the sandbox died.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path

from cloudspill_sandbox.network.addressing import MTU, gateway, router_interface
from cloudspill_sandbox.network.commands import ip_batch, ip_json
from cloudspill_sandbox.network.interface import NetworkError, Nic

_NAME = re.compile(r"i[0-9a-f]{8}")


def mark(nic: Nic) -> str:
    """Return what the links of an interface depend on, apart from its address."""
    return f"{gateway(nic)} {'forwards' if nic.can_ip_forward else 'is an end'}"


def complete(nic: Nic) -> str:
    """Mark the router's end, in whose namespace this thread is, as whole; return the mark."""
    ip_batch([f'link set dev {router_interface(nic)} alias "{mark(nic)}"'])
    return mark(nic)


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


def guest_commands(nic: Nic, router: Path) -> list[str]:
    """Return the `ip` commands that make the link, for the instance's namespace."""
    return [
        f"link add eth0 mtu {MTU} address {nic.mac} type veth"
        f" peer name {router_interface(nic)} mtu {MTU} netns {router.name}",
        f"addr add {nic.internal_ip}/32 dev eth0",
        "link set lo up",
        "link set eth0 up",
        f"route add {gateway(nic)} dev eth0 scope link",
        f"route add default via {gateway(nic)} dev eth0",
    ]


def router_commands(nic: Nic) -> list[str]:
    """Return the `ip` commands that lead packets over the link, for the router's namespace."""
    interface = router_interface(nic)
    return [
        f"addr replace {gateway(nic)}/32 dev lo",
        f"link set {interface} up",
        f"neigh replace {nic.internal_ip} lladdr {nic.mac} dev {interface} nud permanent",
        f"route replace {nic.internal_ip}/32 dev {interface}",
    ]
