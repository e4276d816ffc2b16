# SPDX-License-Identifier: GPL-3.0-or-later
"""Subnetworks. https://cloud.google.com/compute/docs/reference/rest/v1/subnetworks."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from cloudspill_sandbox.compute import (
    beginnings,
    documents,
    interface_rules,
    leases,
    names,
    refusals,
    reservations,
    subnetwork_ranges,
    under_way,
)
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.handlers import Methods, reading
from cloudspill_sandbox.compute.lookup import found, regional
from cloudspill_sandbox.compute.operations import Step, Work
from cloudspill_sandbox.compute.rollback import rollback
from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.errors import already_exists
from cloudspill_sandbox.engine.store import Transaction

_SHORTEST_AUTOMATIC_PREFIX = 16
_PATCHABLE = frozenset({"description", "enableFlowLogs", "logConfig", "privateIpGoogleAccess"})
_SECONDARY = "secondaryIpRanges"
_UNSUPPORTED = (
    "allowSubnetCidrRoutesOverlap",
    "externalIpv6Prefix",
    "internalIpv6Prefix",
    "ipCollection",
    "ipv6AccessType",
    "params",
    "reservedInternalRange",
    "resolveSubnetMask",
    "role",
)
_ONLY = {
    "privateIpv6GoogleAccess": "DISABLE_GOOGLE_ACCESS",
    "purpose": "PRIVATE",
    "stackType": "IPV4_ONLY",
}
"""What a subnetwork here is, whatever it may be on Google Cloud."""

_OUTPUT = frozenset(
    {"creationTimestamp", "fingerprint", "gatewayAddress", "id", "kind", "selfLink"}
)
"""What a client may send back as it once read it."""


async def _insert(cloud: Cloud, call: Call) -> Document:
    key = names.check_name("resource.name", call.body.get("name"))
    name = f"{regional(call, 'subnetworks')}/{key}"
    ip_range = subnetwork_ranges.checked(call.body.get("ipCidrRange"))
    _check_supported(call.body)
    with cloud.transaction() as tx:
        if tx.get(name):
            raise already_exists(name)
        network_name, network = _network(cloud, tx, call.body)
        subnetwork_ranges.check_apart(cloud, network, ip_range)
        document = beginnings.subnetwork(cloud, name, network["selfLink"], str(ip_range))
        document |= documents.given(call.body, *_PATCHABLE)
        documents.check_same("resource", call.body, document, "region")
        if asked := call.body.get(_SECONDARY):
            document[_SECONDARY] = subnetwork_ranges.secondary(cloud, network, [ip_range], asked)
        tx.put(name, document | {"fingerprint": _fingerprint(document)})
        links = [*network.get("subnetworks", ()), names.link(name)]
        tx.put(network_name, network | {"subnetworks": links})
        operation = cloud.operations.open(tx, call, "insert", name)
        cloud.operations.close(tx, operation)
    return found(cloud.store, operation)


async def _set_private_access(cloud: Cloud, call: Call) -> Document:
    name = regional(call, "subnetworks", "subnetwork")
    with cloud.transaction() as tx:
        asked = {"privateIpGoogleAccess": bool(call.body.get("privateIpGoogleAccess"))}
        changed = found(tx, name) | asked
        tx.put(name, changed | {"fingerprint": _fingerprint(changed)})
        operation = cloud.operations.open(tx, call, "setPrivateIpGoogleAccess", name)
        cloud.operations.close(tx, operation)
    return found(cloud.store, operation)


async def _expand(cloud: Cloud, call: Call) -> Document:
    """https://cloud.google.com/vpc/docs/create-modify-vpc-networks#expand-subnet"""
    name = regional(call, "subnetworks", "subnetwork")
    with cloud.transaction() as tx:
        document = found(tx, name)
        current = ipaddress.IPv4Network(document["ipCidrRange"])
        wider = subnetwork_ranges.checked(call.body.get("ipCidrRange"), "ipCidrRange")
        if wider == current or not current.subnet_of(wider):
            raise refusals.invalid_value(
                "ipCidrRange", wider, f"The new range must be larger than {current} and contain it."
            )
        network = found(tx, names.relative(document["network"]))
        _check_automatic(network, document, wider)
        subnetwork_ranges.check_apart(cloud, network, wider, besides=document["selfLink"])
        subnetwork_ranges.check_wider(document, wider)
        for instance in _users(cloud, document):
            interface_rules.check_wider(tx, "ipCidrRange", instance, document, wider)
        changed = document | {"ipCidrRange": str(wider), "gatewayAddress": str(wider[1])}
        tx.put(name, changed | {"fingerprint": _fingerprint(changed)})
        take_back = rollback(cloud.store, tx)
        operation = cloud.operations.open(tx, call, "expandIpCidrRange", name)

    def failed(tx: Transaction) -> None:
        if not _reaches_beyond(cloud, document, current):
            take_back(tx)
        # Another's change may have brought the wider range to the network already.
        cloud.topology.everything_changed()

    cloud.topology.everything_changed()  # the interfaces in it
    step = Step("subnetworks.expandIpCidrRange.apply", cloud.topology.settle)
    return await cloud.operations.perform(operation, Work((step,), failed=failed))


async def _patch(cloud: Cloud, call: Call) -> Document:
    """https://cloud.google.com/compute/docs/reference/rest/v1/subnetworks/patch"""
    name = regional(call, "subnetworks", "subnetwork")
    fixed = sorted(call.body.keys() - _PATCHABLE - _OUTPUT - {_SECONDARY})
    with cloud.transaction() as tx:
        document = found(tx, name)
        documents.check_same("resource", call.body, document, *fixed)
        if call.body.get("fingerprint") != document["fingerprint"]:
            raise refusals.stale("Supplied fingerprint does not match current fingerprint.")
        changed = document | documents.given(call.body, *_PATCHABLE)
        if (asked := call.body.get(_SECONDARY)) is not None:
            network, link = found(tx, names.relative(document["network"])), document["selfLink"]
            own = [ipaddress.IPv4Network(document["ipCidrRange"])]
            changed[_SECONDARY] = subnetwork_ranges.secondary(cloud, network, own, asked, link)
            if not asked:
                del changed[_SECONDARY]
        tx.put(name, changed | {"fingerprint": _fingerprint(changed)})
        operation = cloud.operations.open(tx, call, "patch", name)
        cloud.operations.close(tx, operation)
    return found(cloud.store, operation)


def _fingerprint(document: Document) -> str:
    rest = {key: value for key, value in document.items() if key != "fingerprint"}
    return documents.fingerprint(rest)


async def _delete(cloud: Cloud, call: Call) -> Document:
    name = regional(call, "subnetworks", "subnetwork")
    with cloud.transaction() as tx:
        document = found(tx, name)
        _check_unused(cloud, name, document)
        network_name = names.relative(document["network"])
        network = found(tx, network_name)
        if beginnings.is_automatic(network, document["name"]):
            raise refusals.invalid_usage(
                f"Cannot delete auto subnetwork '{name}' from an auto subnet mode network"
            )
        links = [link for link in network["subnetworks"] if link != document["selfLink"]]
        tx.put(network_name, network | {"subnetworks": links})
        operation = cloud.operations.open(tx, call, "delete", name)
        tx.delete(name)
        cloud.operations.close(tx, operation)
    return found(cloud.store, operation)


def _network(cloud: Cloud, tx: Transaction, body: Document) -> tuple[str, Document]:
    reference = body.get("network")
    if not reference:
        raise refusals.missing("resource.network")
    name = names.resolve_own("resource.network", reference, f"{cloud.project}/global/networks")
    network = tx.get(name)
    if network is None:
        raise refusals.dangling("resource.network", reference, "network")
    return name, network


def _check_supported(body: Document) -> None:
    refusals.check_supported("resource", body, *_UNSUPPORTED)
    for field, only in _ONLY.items():
        refusals.check_one_of("resource", body, field, only)


def _check_automatic(
    network: Document, document: Document, ip_range: ipaddress.IPv4Network
) -> None:
    """https://cloud.google.com/vpc/docs/create-modify-vpc-networks#expand-subnet"""
    if (
        beginnings.is_automatic(network, document["name"])
        and ip_range.prefixlen < _SHORTEST_AUTOMATIC_PREFIX
    ):
        raise refusals.invalid_value(
            "ipCidrRange",
            ip_range,
            f"The prefix of an automatically created subnetwork must be at least "
            f"/{_SHORTEST_AUTOMATIC_PREFIX}.",
        )


def _users(cloud: Cloud, document: Document) -> Iterator[Document]:
    """Return the instances, of whatever project, that have an interface in a subnetwork."""
    for _, instances in cloud.store.collections(names.EVERY_PROJECT, "instances"):
        for instance in instances.values():
            held = {interface["subnetwork"] for interface in instance["networkInterfaces"]}
            if document["selfLink"] in held:
                yield instance


def _reaches_beyond(cloud: Cloud, document: Document, narrow: ipaddress.IPv4Network) -> bool:
    """Whether addresses of a subnetwork that is wider now were given away outside `narrow`."""
    link = document["selfLink"]
    given = [
        interface["networkIP"]
        for instance in _users(cloud, document)
        for interface in instance["networkInterfaces"]
        if interface["subnetwork"] == link
    ]
    given += [
        found(cloud.store, name)["address"]
        for name in reservations.in_subnetworks(cloud.store, [link])
    ]
    return any(not leases.usable(narrow, address) for address in given)


def _check_unused(cloud: Cloud, name: str, document: Document) -> None:
    for instance in _users(cloud, document):
        raise refusals.in_use("subnetwork", name, names.relative(instance["selfLink"]))
    for instance_name in under_way.leavers(cloud.store, [document["selfLink"]]):
        raise refusals.in_use("subnetwork", name, instance_name)
    for address in reservations.in_subnetworks(cloud.store, [document["selfLink"]]):
        raise refusals.in_use("subnetwork", name, address)


METHODS: Methods = {
    **reading.methods(regional, "subnetwork", "subnetworks"),
    "delete": _delete,
    "expandIpCidrRange": _expand,
    "insert": _insert,
    "patch": _patch,
    "setPrivateIpGoogleAccess": _set_private_access,
}
