# SPDX-License-Identifier: GPL-3.0-or-later
"""From documents to the network's topology, and its application whenever they change."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from itertools import chain

from cloudspill_sandbox.compute import names
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.network.interface import FirewallRule, Network, NetworkError, Nic, Topology

logger = logging.getLogger(__name__)


def hostname(instance: Document) -> str:
    """Return the fully qualified internal name: the instance's own, or its zonal one.

    https://cloud.google.com/compute/docs/internal-dns.
    """
    zone = names.relative(instance["zone"])
    zonal = f"{instance['name']}.{names.last(zone)}.c.{names.project(zone)}.internal"
    return instance.get("hostname") or zonal


def nics(store: Store, instance: Document) -> tuple[Nic, ...]:
    """Return the network interfaces of an instance document."""
    accounts = instance.get("serviceAccounts") or [{"email": ""}]
    return tuple(
        Nic(
            internal_ip=interface["networkIP"],
            external_ip=external_address(interface),
            network=names.relative(interface["network"]),
            subnet=_range(store, interface["subnetwork"]),
            tags=frozenset(instance["tags"].get("items", ())),
            hostname=hostname(instance),
            service_account=accounts[0]["email"],
            can_ip_forward=bool(instance.get("canIpForward")),
            index=index,
        )
        for index, interface in enumerate(instance["networkInterfaces"])
    )


def external_address(interface: Document) -> str | None:
    """Return the address of an interface's ONE_TO_ONE_NAT access config, or None."""
    return next(
        (config["natIP"] for config in interface.get("accessConfigs", ()) if "natIP" in config),
        None,
    )


def rule(firewall: Document) -> FirewallRule:
    """Return the network's form of a firewall document."""
    action = "allow" if "allowed" in firewall else "deny"
    ingress = firewall["direction"] == "INGRESS"
    entries = firewall["allowed"] if action == "allow" else firewall["denied"]
    return FirewallRule(
        network=names.relative(firewall["network"]),
        name=firewall["name"],
        priority=firewall["priority"],
        direction="INGRESS" if ingress else "EGRESS",
        action="allow" if action == "allow" else "deny",
        protocols=tuple(
            (entry["IPProtocol"].lower(), tuple(entry.get("ports", ()))) for entry in entries
        ),
        ranges=tuple(firewall.get("sourceRanges" if ingress else "destinationRanges", ())),
        source_tags=tuple(firewall.get("sourceTags", ())),
        source_service_accounts=tuple(firewall.get("sourceServiceAccounts", ())),
        target_tags=tuple(firewall.get("targetTags", ())),
        target_service_accounts=tuple(firewall.get("targetServiceAccounts", ())),
        disabled=bool(firewall.get("disabled")),
    )


class TopologyApplier:
    """Keeps the network equal to the documents; many changes at once are one application."""

    def __init__(self, store: Store, network: Network) -> None:
        self._store = store
        self._network = network
        self._nics: dict[str, tuple[Nic, ...]] = {}
        self._rules: dict[str, FirewallRule] = {}
        self._cuts: dict[str, frozenset[str]] = {}
        self._changed: set[str] = set()
        self._applied: Topology | None = None
        self._turn = asyncio.Lock()

    def changed(self, name: str) -> None:
        """Note that an instance or firewall was written or removed."""
        self._changed.add(name)

    def cut(self, name: str, sides: frozenset[str]) -> None:
        """Cut an instance from some sides (see Nic.cut_from), from the next `settle` on."""
        self._cuts[name] = sides
        self._changed.add(name)

    def everything_changed(self) -> None:
        """Note every instance and firewall: the network knows nothing yet."""
        for kind in ("instances", "firewalls"):
            for collection, documents in self._store.collections(names.EVERY_PROJECT, kind):
                self._changed.update(f"{collection}/{key}" for key in documents)

    async def settle(self) -> None:
        """Return when the network knows every change noted before this call.

        Raises:
            NetworkError: the network refused the topology; the changes stay noted.
        """
        if not self._changed and not self._turn.locked():
            return
        async with self._turn:
            changed, self._changed = self._changed, set()
            if not changed:  # the one before brought this one's change along
                return
            topology = self._updated(changed)
            if topology == self._applied:
                return
            self._applied = None  # what it goes by is unknown until it has taken this
            try:
                await self._network.apply(topology)
            except BaseException:
                self._changed |= changed
                raise
            self._applied = topology

    async def settle_quietly(self) -> None:
        """As `settle`, where nobody is left to be told of a failure but the log."""
        try:
            await self.settle()
        except NetworkError:
            logger.exception("the network did not take the changed topology")

    def _updated(self, changed: set[str]) -> Topology:
        """Return the topology after reading the changed documents, and only those, anew."""
        for name in changed:
            document = self._store.get(name)
            if document is None:
                self._nics.pop(name, None)
                self._cuts.pop(name, None)
                self._rules.pop(name, None)
            elif document["kind"] == "compute#firewall":
                self._rules[name] = rule(document)
            else:
                sides = self._cuts.get(name, frozenset())
                known = nics(self._store, document)
                self._nics[name] = tuple(replace(nic, cut_from=sides) for nic in known)
        return Topology(
            nics=tuple(chain.from_iterable(self._nics.values())),
            rules=tuple(self._rules.values()),
        )


def _range(store: Store, subnetwork: str) -> str:
    document = store.get(names.relative(subnetwork))
    return str(document["ipCidrRange"]) if document else ""
