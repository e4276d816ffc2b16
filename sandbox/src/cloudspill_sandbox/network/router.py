# SPDX-License-Identifier: GPL-3.0-or-later
"""The VPC in network namespaces: one is the router, each instance has its own.

Instances hang on the router by routed veths, no bridge: each interface has an address of /32 and a
gateway, so that every packet passes the router's nft table (ruleset.py, firewall.py).
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

from cloudspill_sandbox.network import host, links, namespaces
from cloudspill_sandbox.network.addressing import (
    EXTERNAL_RANGE,
    INTERNAL_RANGE,
    LINK_HOST,
    LINK_RANGE,
    LINK_ROUTER,
    HostNames,
)
from cloudspill_sandbox.network.attachments import Attachments
from cloudspill_sandbox.network.commands import ip_batch
from cloudspill_sandbox.network.firewall import compile_topology
from cloudspill_sandbox.network.interface import (
    API_ADDRESS,
    METADATA_ADDRESS,
    NetworkError,
    Nic,
    Topology,
)
from cloudspill_sandbox.network.nftables import Nftables
from cloudspill_sandbox.network.ruleset import TABLE, router_ruleset, unreachable
from cloudspill_sandbox.settings import Settings

T = TypeVar("T")

logger = logging.getLogger(__name__)

_ROUTER_SYSCTLS = namespaces.NO_IPV6 | {
    "net/ipv4/ip_forward": "1",
    # Strict for each interface (default), so that the links to instances can be let off (all).
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "1",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
}


class NamespaceNetwork:
    """Implements interface.Network on a Linux host; needs root, `ip` and `nft`.

    Args:
        settings: the sandbox's name and state directory.
        reachable: IPv4 ranges that guests may reach although they are private or on the host's
            links, for example a package mirror behind it (see the table in ruleset.py).

    Raises:
        ValueError: a reachable range lies in the VPC's own internal addresses.
    """

    external_range = EXTERNAL_RANGE

    def __init__(self, settings: Settings, reachable: Sequence[ipaddress.IPv4Network] = ()) -> None:
        for network in reachable:
            if network.overlaps(INTERNAL_RANGE):
                raise ValueError(f"{network} overlaps {INTERNAL_RANGE}, the VPC's own addresses")
        self._names = HostNames(settings.name)
        self._record = settings.state_dir / "network.json"
        self._reachable = tuple(reachable)
        self._workers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="vpc")
        self._firewall: Nftables | None = None
        self._fixed_rules = ""
        self._attachments = Attachments(self._names)
        self._wanted = self._applied = Topology()
        self._applying = asyncio.Lock()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def start(self) -> None:
        """Make the router, or take up the one that a killed sandbox of this name left.

        One that is taken up keeps its rules until the first apply(), which replaces them all.

        Raises:
            NetworkError: no root, a command is missing, or another owner has 198.18.0.0/15; then
                nothing has been changed. Or a step failed; then everything has been undone.
        """
        await self._work(self._start)
        self._wanted = self._applied = Topology()

    async def stop(self) -> None:
        """Leave the host as start() found it; also sweeps after a sandbox that was killed."""
        await self._work(self._stop)

    async def retain(self, instances: Iterable[Sequence[Nic]]) -> None:
        """Detach every instance of an earlier life but these."""
        await self._work(self._attachments.retain, tuple(instances))

    async def attach(self, nics: Sequence[Nic]) -> str:
        """Make an instance's namespace and links; an address works once apply() knows it."""
        path = self._names.namespace(nics[0])
        async with self._turn(path):
            await self._work(self._attachments.attach, path, nics)
            # A topology that came meanwhile found nothing there to bring up to date, or routes
            # that were right then.
            followed = None
            while followed is not self._wanted:
                followed = self._wanted
                known = {nic.internal_ip: nic for nic in followed.nics}
                current = [known.get(nic.internal_ip, nic) for nic in nics]
                await self._work(self._attachments.follow, path, current)
        return str(path)

    async def detach(self, nics: Sequence[Nic]) -> None:
        """Remove what attach() made; no error when it is gone."""
        path = self._names.namespace(nics[0])
        async with self._turn(path):
            await self._work(self._attachments.detach, path, nics)

    async def apply(self, topology: Topology) -> None:
        """Put a topology into force; of several that wait, only the last is loaded."""
        self._wanted = topology
        async with self._applying:
            if self._applied is not self._wanted:
                wanted = self._wanted
                outdated = await self._work(self._load, wanted)
                self._applied = wanted
                for path, nic in outdated:
                    await self._follow(path, nic)

    async def _follow(self, path: Path, nic: Nic) -> None:
        """Bring one interface up to date; one that is broken must not bar the others' way."""
        async with self._turn(path):
            try:
                await self._work(self._attachments.follow, path, (nic,))
            except NetworkError:
                logger.exception("%s keeps its routes until the next change", nic.internal_ip)

    @property
    def topology(self) -> Topology:
        """The topology in force."""
        return self._applied

    def listen(self, address: str, port: int, kind: socket.SocketKind) -> socket.socket:
        """Return a bound (and for streams listening), non-blocking socket inside the router."""
        with namespaces.inside(self._names.router):
            opened = socket.socket(socket.AF_INET, kind)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind((address, port))
            if kind == socket.SOCK_STREAM:
                opened.listen(1024)
            opened.setblocking(False)
        except OSError as error:
            opened.close()
            raise NetworkError(f"cannot listen on {address}:{port} in the VPC: {error}") from error
        return opened

    def _turn(self, namespace: Path) -> asyncio.Lock:
        """Return what lets one change at a time pass; it is forgotten with the last in line."""
        return self._turns.setdefault(namespace.name, asyncio.Lock())

    async def _work(self, function: Callable[..., T], *arguments: object) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._workers, function, *arguments)
        except OSError as error:
            raise NetworkError(f"the VPC could not be changed: {error}") from error

    def _start(self) -> None:
        if not host.is_root():
            raise NetworkError("the VPC needs root: start the sandbox with sudo")
        host.refuse_foreign_owner(self._names)
        outlived = self._outlived()
        if not outlived:
            host.release(self._names, self._record)
        before = host.take(self._record)
        try:
            namespaces.open_directory()
            self._take_up() if outlived else self._make()
            host.connect(self._names, before)
            with namespaces.inside(self._names.router):
                ip_batch(_router_commands())
                links.settle("wan")
            links.settle(self._names.link)
        except BaseException:
            self._stop()
            raise

    def _outlived(self) -> bool:
        """Whether the router of an earlier life stands and is linked to the host."""
        if not (
            namespaces.exists(self._names.router) and host.is_linked(self._names, self._record)
        ):
            return False
        with namespaces.inside(self._names.router):
            return "wan" in {name for _, name in socket.if_nameindex()}

    def _make(self) -> None:
        ruleset = self._ruleset()
        with namespaces.inside_new(self._names.router):
            namespaces.write_sysctls(_ROUTER_SYSCTLS)
            self._firewall = Nftables()
            self._firewall.load(ruleset)

    def _take_up(self) -> None:
        ruleset = self._ruleset()
        with namespaces.inside(self._names.router):
            namespaces.write_sysctls(_ROUTER_SYSCTLS)
            self._firewall = Nftables()
            self._attachments.take_up()
        # Together with the first topology: until then the rules of the earlier life hold.
        self._fixed_rules = f"table ip {TABLE}\ndelete table ip {TABLE}\n{ruleset}"

    def _ruleset(self) -> str:
        """Make the router's rules; asks for the host's links, so not inside a namespace."""
        return router_ruleset(unreachable(host.on_link_networks(self._names), self._reachable))

    def _stop(self) -> None:
        if self._firewall is not None:
            self._firewall.close()
            self._firewall = None
        self._fixed_rules = ""
        self._attachments.forget()
        host.release(self._names, self._record)

    def _load(self, topology: Topology) -> list[tuple[Path, Nic]]:
        """Load the rules; return the interfaces whose routes are to follow, and where they are."""
        if self._firewall is None:
            raise NetworkError("the VPC is not running")
        self._firewall.load(self._fixed_rules + compile_topology(topology, TABLE))
        self._fixed_rules = ""
        return self._attachments.outdated(topology.nics)


def _router_commands() -> list[str]:
    return [
        "link set lo up",
        f"addr replace {METADATA_ADDRESS}/32 dev lo",
        f"addr replace {API_ADDRESS}/32 dev lo",
        f"addr replace {LINK_ROUTER}/{LINK_RANGE.prefixlen} dev wan",
        "link set wan up",
        f"route replace default via {LINK_HOST}",
        # What has no owner is silent, as on Compute Engine, and never leaves.
        f"route replace blackhole {EXTERNAL_RANGE}",
        f"route replace blackhole {INTERNAL_RANGE}",
    ]
