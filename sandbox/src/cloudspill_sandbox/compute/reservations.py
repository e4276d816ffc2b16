# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses that are reserved: which one, in whose hands, and in use by whom.

https://cloud.google.com/compute/docs/ip-addresses/configure-static-external-ip-address,
https://cloud.google.com/compute/docs/ip-addresses/configure-static-internal-ip-address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import interfaces, leases, names, refusals
from cloudspill_sandbox.compute.catalogue.regions import ZONES
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.store import Store, Transaction

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud

_INTERNAL_ONLY = ("subnetwork", "network", "purpose")
_UNSUPPORTED = (
    "ipCollection",
    "ipv6EndpointType",
    "networkAttachment",
    "prefixLength",
    "serviceClassId",
)


def reserved(cloud: Cloud, tx: Transaction, name: str, body: Document) -> Document:
    """Return what a new Address says of its address, leased to `name` in the transaction.

    An address that an instance has is promoted: it is the instance's as before, and stays.

    Raises:
        ApiError: 400 for what Google would refuse, 403 when no address is free.
    """
    refusals.check_supported("resource", body, *_UNSUPPORTED)
    refusals.check_one_of("resource", body, "ipVersion", "IPV4")
    region = name.split("/")[3]
    if body.get("addressType") == "INTERNAL":
        return _internal(cloud, tx, name, region, body)
    for field in _INTERNAL_ONLY:
        if body.get(field):
            raise refusals.invalid_value(
                f"resource.{field}",
                body[field],
                "The field cannot be specified with external address.",
            )
    kept = {"addressType": "EXTERNAL", "networkTier": body.get("networkTier") or "PREMIUM"}
    if asked := body.get("address"):
        return kept | _taken(tx, name, region, cloud.network.external_range, asked)
    address = cloud.addresses.allocate(tx, cloud.network.external_range, name)
    return kept | {"address": address, "status": "RESERVED"}


def _internal(cloud: Cloud, tx: Transaction, name: str, region: str, body: Document) -> Document:
    refusals.check_one_of("resource", body, "purpose", "GCE_ENDPOINT")
    subnetwork = interfaces.subnetwork_of(cloud, tx, "resource", region, body)
    network = ipaddress.IPv4Network(subnetwork["ipCidrRange"])
    kept = {
        "addressType": "INTERNAL",
        "purpose": "GCE_ENDPOINT",
        "networkTier": "PREMIUM",
        "subnetwork": subnetwork["selfLink"],
    }
    asked = body.get("address")
    if not asked:
        address = cloud.addresses.allocate(tx, network, name)
        return kept | {"address": address, "status": "RESERVED"}
    if not leases.usable(network, asked):
        raise refusals.invalid_value(
            "resource.address", asked, f"The IP address must be a usable one of {network}."
        )
    if leases.holder(tx, asked) is None:
        leases.take(tx, asked, name)
        return kept | {"address": asked, "status": "RESERVED"}
    return kept | _taken(tx, name, region, network, asked)


def _taken(
    tx: Transaction, name: str, region: str, network: ipaddress.IPv4Network, asked: str
) -> Document:
    """Take over the lease of an address that an instance of the project has in the region."""
    holder = leases.holder(tx, asked) or ""
    if "/addresses/" in holder:
        raise refusals.invalid_value(
            "resource.address",
            asked,
            "Specified IP address is in-use and would result in a conflict.",
        )
    own = holder.startswith(f"projects/{names.project(name)}/")
    if not own or not _is_of(holder, region) or not leases.usable(network, asked):
        raise refusals.invalid_value(
            "resource.address",
            asked,
            f"The specified IP address '{asked}' was not found in region '{region}'.",
        )
    leases.take(tx, asked, name)
    return {"address": asked, "status": "IN_USE", "users": [names.link(holder)]}


def in_subnetworks(store: Store, subnetworks: Collection[str]) -> Iterator[str]:
    """Yield the relative names of the addresses that any project reserved in these; links."""
    for _, addresses in store.collections(names.EVERY_PROJECT, "addresses"):
        for address in addresses.values():
            if address.get("subnetwork") in subnetworks:
                yield names.relative(address["selfLink"])


def _is_of(instance: str, region: str) -> bool:
    segments = instance.split("/")
    return len(segments) > 3 and segments[3] in ZONES and ZONES[segments[3]].name == region
