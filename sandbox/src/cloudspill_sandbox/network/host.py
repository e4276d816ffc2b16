# SPDX-License-Identifier: GPL-3.0-or-later
"""The VPC's footprint on its host: a link, a route, an nft table, a sysctl, and their undoing.

What is changed is recorded on disk first, so that a sandbox that was killed can be undone by its
successor. All functions block; they run in a worker thread, in the host's network namespace.
"""

from __future__ import annotations

import ipaddress
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cloudspill_sandbox.network import foreign_firewalls, namespaces
from cloudspill_sandbox.network.addressing import (
    CLAIMED_RANGE,
    EXTERNAL_RANGE,
    LINK_HOST,
    LINK_RANGE,
    LINK_ROUTER,
    MTU,
    HostNames,
)
from cloudspill_sandbox.network.commands import ip_batch, ip_json, nft
from cloudspill_sandbox.network.interface import NetworkError
from cloudspill_sandbox.network.ruleset import host_ruleset

_FORWARD_ALL = "net/ipv4/ip_forward"


@dataclass(frozen=True, slots=True)
class Footprint:
    """How the host was before; kept on disk while the VPC stands.

    Attributes:
        boot_id: kernel parameters of an earlier boot need no restoring.
        sysctls: previous values of the parameters that were changed.
        namespace_directory: see namespaces.directory_state().
    """

    boot_id: str
    sysctls: dict[str, str]
    namespace_directory: str

    def save(self, path: Path) -> None:
        """Write it whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(asdict(self)))
        draft.replace(path)

    @classmethod
    def load(cls, path: Path) -> Footprint | None:
        """Return what a sandbox left, None when there is nothing (or nothing readable)."""
        try:
            return cls(**json.loads(path.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None


def refuse_foreign_owner(names: HostNames) -> None:
    """Check that nobody else uses the range of external addresses.

    Raises:
        NetworkError: another sandbox or something else does; the message says which.
    """
    for route in ip_json("-4", "route", "show", "table", "all"):
        if route["dst"] == "default" or route.get("dev") == names.link:
            continue
        network = ipaddress.IPv4Network(route["dst"], strict=False)
        # A route that merely covers the range (0.0.0.0/1 of a tunnel) gives way to ours.
        if network.subnet_of(CLAIMED_RANGE):
            raise NetworkError(_owned_by(route.get("dev", ""), str(network)))


def _owned_by(device: str, network: str) -> str:
    if device.endswith("-gw"):
        other = device.removesuffix("-gw")
        return (
            f"sandbox {other!r} owns {CLAIMED_RANGE} on this host and only one can run: "
            f"CLOUDSPILL_SANDBOX={other} cloudspill-sandbox down"
        )
    where = f"on interface {device}" if device else "with no interface"
    return (
        f"this host already routes {network} ({where}), but the sandbox needs {CLAIMED_RANGE} "
        "for the external addresses of its instances: remove that route or address first"
    )


def uplink() -> str | None:
    """Return the interface of the host's best default route, None without one."""
    defaults = [r for r in ip_json("-4", "route", "show", "default") if r.get("dev")]
    best = min(defaults, key=lambda route: int(route.get("metric", 0)), default=None)
    return None if best is None else str(best["dev"])


def on_link_networks(names: HostNames) -> list[ipaddress.IPv4Network]:
    """Return the subnets on the host's own links: its neighbours are no business of a guest."""
    return [
        ipaddress.IPv4Network(route["dst"], strict=False)
        for route in ip_json("-4", "route", "show", "scope", "link")
        if route["dst"] != "default" and route.get("dev") != names.link
    ]


def take(record: Path) -> Footprint:
    """Record how the host is; nothing is changed yet, but everything from here can be undone.

    What an earlier life recorded in this boot of the host stays: that is how it was before.
    """
    sysctls = {_FORWARD_ALL: _read(_FORWARD_ALL)}
    if (interface := uplink()) is not None:
        sysctls[_forwarding(interface)] = _read(_forwarding(interface))
    before = Footprint(_boot_id(), sysctls, namespaces.directory_state())
    earlier = Footprint.load(record)
    if earlier is not None and earlier.boot_id == before.boot_id:
        before = replace(earlier, sysctls=sysctls | earlier.sysctls)
    before.save(record)
    return before


def is_linked(names: HostNames, record: Path) -> bool:
    """Whether the host has the link of an earlier life of the sandbox, and a record of before."""
    earlier = Footprint.load(record)
    return earlier is not None and earlier.boot_id == _boot_id() and _has_link(names)


def connect(names: HostNames, before: Footprint) -> None:
    """Give the host its link and route to the router, which must exist; guests get egress.

    What is there already stays, so that connections live on.
    """
    link, interface = names.link, uplink()
    if not _has_link(names):
        ip_batch(
            [
                f"link add {link} mtu {MTU} type veth"
                f" peer name wan mtu {MTU} netns {names.router.name}"
            ]
        )
    namespaces.write_sysctls({f"net/ipv6/conf/{link}/disable_ipv6": "1"})
    guarded = interface is not None and before.sysctls[_forwarding(interface)] == "0"
    # The table stands before the link is up: there is no moment in which a guest sees the host.
    nft(_emptied(names) + host_ruleset(names, interface, guard_uplink=guarded))
    ip_batch(
        [
            f"addr replace {LINK_HOST}/{LINK_RANGE.prefixlen} dev {link}",
            f"link set {link} up",
            f"route replace {EXTERNAL_RANGE} via {LINK_ROUTER} dev {link} src {LINK_HOST}",
        ]
    )
    if interface is not None:
        foreign_firewalls.leave(names)
        foreign_firewalls.pass_through(names, interface)
        namespaces.write_sysctls(
            {
                f"net/ipv4/conf/{link}/forwarding": "1",
                _forwarding(interface): "1",
            }
        )


def release(names: HostNames, record: Path) -> None:
    """Undo everything, also what a dead sandbox of this name left; nothing there is no error."""
    before = Footprint.load(record)
    if _has_link(names):
        ip_batch([f"link delete {names.link}"])
    for path in names.all_namespaces():
        namespaces.remove(path)
    nft(_emptied(names))
    foreign_firewalls.leave(names)
    if before is not None:
        _restore(before)
        record.unlink(missing_ok=True)


def _has_link(names: HostNames) -> bool:
    """Whether the sandbox's link is there; what has its name and is no veth is another's."""
    return any(link["ifname"] == names.link for link in ip_json("link", "show", "type", "veth"))


def _emptied(names: HostNames) -> str:
    """Return the script that removes the host's table, also when there is none."""
    return f"table ip {names.table}\ndelete table ip {names.table}\n"


def _restore(before: Footprint) -> None:
    if before.boot_id == _boot_id():
        taken_over = _read(_FORWARD_ALL) != before.sysctls.get(_FORWARD_ALL)
        for name, value in before.sysctls.items():
            # Whoever switched forwarding on for the whole host meanwhile (Docker, say) needs it.
            if not taken_over and Path("/proc/sys", name).exists() and _read(name) != value:
                namespaces.write_sysctls({name: value})
    namespaces.close_directory(before.namespace_directory)


def _forwarding(interface: str) -> str:
    return f"net/ipv4/conf/{interface}/forwarding"


def _read(name: str) -> str:
    return Path("/proc/sys", name).read_text().strip()


def _boot_id() -> str:
    return _read("kernel/random/boot_id")


def is_root() -> bool:
    """Whether the process may shape the host's network."""
    return os.geteuid() == 0
