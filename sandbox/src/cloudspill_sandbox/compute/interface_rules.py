# SPDX-License-Identifier: GPL-3.0-or-later
"""How many interfaces an instance may have, and which may stand together.

https://cloud.google.com/vpc/docs/multiple-interfaces-concepts. The wording is Google's where
users quote it; that of overlapping ranges is the sandbox's.
"""

from __future__ import annotations

import ipaddress

from cloudspill_sandbox.compute import names, refusals
from cloudspill_sandbox.compute.catalogue.machine_types import machine_type
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.store import Transaction


def check_count(field: str, count: int, size: str) -> None:
    """Return when a machine type, by its link, may have so many interfaces.

    https://cloud.google.com/vpc/docs/create-use-multiple-interfaces#max-interfaces; how the
    sentence begins is quoted in
    https://github.com/GoogleCloudPlatform/pubsec-declarative-toolkit/issues/625.

    Raises:
        ApiError: 400.
    """
    known = machine_type(names.last(size))
    if known is not None and count > known.most_interfaces:
        raise refusals.invalid_value(
            field,
            "",
            "Too many network interfaces. The maximum number of network interfaces allowed for "
            f"machine type '{known.name}' is {known.most_interfaces}.",
        )


def check_apart(
    tx: Transaction, field: str, body: Document, interface: Document, others: list[Document]
) -> None:
    """Return when an interface may stand beside the others of its instance, in their order.

    Each has a subnetwork of its own, and one of its own network unless that is nic0's; ranges
    do not overlap: https://cloud.google.com/vpc/docs/multiple-interfaces-concepts#specifications.

    Args:
        field: of the interface in the request, for the refusal.
        body: the interface as it was asked for.

    Raises:
        ApiError: 400.
    """
    for other in others:
        if other["subnetwork"] == interface["subnetwork"]:
            raise refusals.invalid_value(
                f"{field}.subnetwork",
                body.get("subnetwork") or "",
                "Subnetworks must be distinct for NICs attached to a VM.",
            )
        if other["network"] == interface["network"] and "nic0" not in (
            other["name"],
            interface["name"],
        ):
            raise refusals.invalid_value(
                f"{field}.network",
                body.get("network") or "",
                "Networks must be distinct for NICs attached to a VM.",
            )
        own, theirs = _range(tx, interface), _range(tx, other)
        if own.overlaps(theirs):
            raise refusals.invalid_value(
                f"{field}.subnetwork",
                body.get("subnetwork") or "",
                f"Its range {own} overlaps that of {other['name']}, {theirs}: ranges must not "
                "overlap for NICs attached to a VM.",
            )


def check_wider(
    tx: Transaction,
    field: str,
    instance: Document,
    subnetwork: Document,
    wider: ipaddress.IPv4Network,
) -> None:
    """Return when the interfaces of an instance stay apart although one's subnetwork grows.

    https://cloud.google.com/vpc/docs/multiple-interfaces-concepts#specifications; the wording is
    the sandbox's.

    Args:
        field: where the request says how far it is to grow, for the refusal.
        subnetwork: of one of the interfaces.

    Raises:
        ApiError: 400.
    """
    for other in instance["networkInterfaces"]:
        theirs = _range(tx, other)
        if other["subnetwork"] != subnetwork["selfLink"] and wider.overlaps(theirs):
            raise refusals.invalid_value(
                field,
                wider,
                f"It overlaps the range of {other['name']} of the instance '{instance['name']}', "
                f"{theirs}: ranges must not overlap for NICs attached to a VM.",
            )


def _range(tx: Transaction, interface: Document) -> ipaddress.IPv4Network:
    subnetwork = tx.get(names.relative(interface["subnetwork"])) or {}
    return ipaddress.IPv4Network(subnetwork["ipCidrRange"])
