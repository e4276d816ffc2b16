# SPDX-License-Identifier: GPL-3.0-or-later
"""The namespaces of instances on the router: made, kept up to date, removed.

Every method blocks for some milliseconds: call it from a worker thread. Two at once must not
concern the same instance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from cloudspill_sandbox.network import links, namespaces, ports
from cloudspill_sandbox.network.addressing import (
    NAMESPACES,
    HostNames,
    guest_interface,
    router_interface,
)
from cloudspill_sandbox.network.commands import ip_batch
from cloudspill_sandbox.network.interface import Nic
from cloudspill_sandbox.network.ports import Port

_GUEST_SYSCTLS = namespaces.NO_IPV6 | {"net/ipv4/ping_group_range": "0 2147483647"}


class Attachments:
    """What hangs on the router of a sandbox.

    Args:
        names: of the sandbox.
    """

    def __init__(self, names: HostNames) -> None:
        self._names = names
        self._ports: dict[str, Port] = {}

    def take_up(self) -> None:
        """Know the links that an earlier life left whole; the thread is in the router."""
        self._ports = ports.whole()

    def forget(self) -> None:
        """Know nothing any more: the router is gone."""
        self._ports.clear()

    def retain(self, instances: Iterable[Sequence[Nic]]) -> None:
        """Remove every link and namespace but those of these instances."""
        kept = tuple(instances)
        links_kept = {router_interface(nic) for nics in kept for nic in nics}
        namespaces_kept = {self._names.namespace(nics[0]) for nics in kept}
        with namespaces.inside(self._names.router):
            for name in set(ports.all_names()) - links_kept:
                self._ports.pop(name, None)
                ports.remove(name)
        for path in set(self._names.all_namespaces()) - namespaces_kept - {self._names.router}:
            namespaces.remove(path)

    def attach(self, path: Path, nics: Sequence[Nic]) -> None:
        """Make an instance's namespace and links unless they stand, whatever their routes."""
        if not (
            all(self._leads(path, nic) for nic in nics)
            and namespaces.exists(path)
            and self._standing().issuperset(map(router_interface, nics))
        ):
            self._make(path, nics)

    def outdated(self, nics: Iterable[Nic]) -> list[tuple[Path, Nic]]:
        """Return of these interfaces those with routes of before, and the namespace of each."""
        attached = ((nic, self._port(nic)) for nic in nics)
        return [
            (NAMESPACES / port.namespace, nic)
            for nic, port in attached
            if port is not None and port != Port.of(nic, port.namespace)
        ]

    def follow(self, path: Path, nics: Iterable[Nic]) -> None:
        """Give interfaces the routes of their subnetworks as these are now, in place.

        What is not attached there, or no longer, stays so.
        """
        changed = [
            nic
            for nic in nics
            if self._leads(path, nic) and self._port(nic) != Port.of(nic, path.name)
        ]
        if not changed:
            return
        with namespaces.inside(path):
            ports.reroute(changed)
        with namespaces.inside(self._names.router):
            ip_batch(ports.router_commands(changed))
            self._ports |= ports.complete(changed, path)

    def detach(self, path: Path, nics: Iterable[Nic]) -> None:
        """Remove an instance's namespace and links; no error when they are gone."""
        # An address may have moved on to another namespace, with its link.
        held = ((router_interface(nic), self._port(nic)) for nic in nics)
        self._clear(
            path, [name for name, port in held if port is None or port.namespace == path.name]
        )

    def _port(self, nic: Nic) -> Port | None:
        return self._ports.get(router_interface(nic))

    def _leads(self, path: Path, nic: Nic) -> bool:
        """Whether an interface has its link, with the routes of today or others."""
        port = self._port(nic)
        return port is not None and port.leads_as(Port.of(nic, path.name))

    def _make(self, path: Path, nics: Sequence[Nic]) -> None:
        self._clear(path, map(router_interface, nics))
        with namespaces.inside_new(path):
            namespaces.write_sysctls(_GUEST_SYSCTLS)
            ip_batch(ports.guest_commands(nics, self._names.router))
            with namespaces.inside(self._names.router):
                # Admission (ruleset.py) is stricter, and lets pass what may forward.
                namespaces.write_sysctls(
                    {f"net/ipv4/conf/{router_interface(nic)}/rp_filter": "0" for nic in nics}
                )
                ip_batch(ports.router_commands(nics))
                links.settle(*map(router_interface, nics))
                self._ports |= ports.complete(nics, path)
            links.settle(*map(guest_interface, nics))

    def _clear(self, path: Path, interfaces: Iterable[str]) -> None:
        """Remove links, and the namespace that they lead to."""
        standing = self._standing()
        for name in interfaces:
            self._ports.pop(name, None)
            if name in standing:
                with namespaces.inside(self._names.router):
                    ports.remove(name)
        namespaces.remove(path)

    def _standing(self) -> set[str]:
        """Return the router's ends of all links, whole or not; none when there is no router."""
        if not namespaces.exists(self._names.router):
            return set()
        with namespaces.inside(self._names.router):
            return set(ports.all_names())
