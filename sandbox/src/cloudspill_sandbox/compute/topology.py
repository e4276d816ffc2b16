# SPDX-License-Identifier: GPL-3.0-or-later
"""From documents to the network's topology, and its application whenever they change."""

from __future__ import annotations

import asyncio
import logging

from cloudspill_sandbox.compute import names
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.network.interface import FirewallRule, Network, NetworkError, Nic, Topology

logger = logging.getLogger(__name__)


def hostname(instance: Document, project_id: str) -> str:
    """Return the fully qualified internal name: the instance's own, or its zonal one.

    https://cloud.google.com/compute/docs/internal-dns.
    """
    own = instance.get("hostname")
    return own or f"{instance['name']}.{names.last(instance['zone'])}.c.{project_id}.internal"


def nics(store: Store, project_id: str, instance: Document) -> tuple[Nic, ...]:
    """Return the network interfaces of an instance document."""
    accounts = instance.get("serviceAccounts") or [{"email": ""}]
    return tuple(
        Nic(
            internal_ip=interface["networkIP"],
            external_ip=external_address(interface),
            network=names.relative(interface["network"]),
            subnet=_range(store, interface["subnetwork"]),
            tags=frozenset(instance["tags"].get("items", ())),
            hostname=hostname(instance, project_id),
            service_account=accounts[0]["email"],
            can_ip_forward=bool(instance.get("canIpForward")),
        )
        for interface in instance["networkInterfaces"]
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

    def __init__(self, store: Store, network: Network, project: str) -> None:
        self._store = store
        self._network = network
        self._project = project
        self._nics: dict[str, tuple[Document, tuple[Nic, ...]]] = {}
        self._applied: Topology | None = None
        self._changes = 0
        self._lock = asyncio.Lock()

    def changed(self) -> None:
        """Note that documents which decide the topology were written."""
        self._changes += 1

    async def settle(self) -> None:
        """Return when the network knows every change noted before this call.

        Raises:
            NetworkError: the network refused the topology.
        """
        if not self._changes:
            return
        async with self._lock:
            # Those who waited for the lock find their change applied by the one before them.
            seen = self._changes
            if not seen:
                return
            topology = self._build()
            if topology != self._applied:
                await self._network.apply(topology)
                self._applied = topology
            self._changes -= seen

    async def settle_quietly(self) -> None:
        """As `settle`, where nobody is left to be told of a failure but the log."""
        try:
            await self.settle()
        except NetworkError:
            logger.exception("the network did not take the changed topology")

    def _build(self) -> Topology:
        fresh: dict[str, tuple[Document, tuple[Nic, ...]]] = {}
        for collection, instances in self._store.collections(self._project, "instances"):
            for key, instance in instances.items():
                name = f"{collection}/{key}"
                cached = self._nics.get(name)
                if cached is None or cached[0] is not instance:
                    cached = (instance, nics(self._store, names.last(self._project), instance))
                fresh[name] = cached
        self._nics = fresh
        firewalls = self._store.children(f"{self._project}/global/firewalls")
        return Topology(
            nics=tuple(nic for _, each in fresh.values() for nic in each),
            rules=tuple(map(rule, firewalls.values())),
        )


def _range(store: Store, subnetwork: str) -> str:
    document = store.get(names.relative(subnetwork))
    return str(document["ipCidrRange"]) if document else ""
