# SPDX-License-Identifier: GPL-3.0-or-later
"""What a firewall rule may say. https://cloud.google.com/firewall/docs/firewalls."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import documents, names, refusals
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.store import Transaction

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud

FIXED = ("kind", "id", "creationTimestamp", "name", "selfLink")
"""Fields that no update changes."""

_DEFAULT_PRIORITY = 1000
_HIGHEST_PRIORITY_NUMBER = 65535
_LAST_PORT = 65535
_WITH_PORTS = frozenset({"tcp", "udp", "sctp", "6", "17", "132"})
_PROTOCOLS = frozenset({"all", "tcp", "udp", "icmp", "esp", "ah", "sctp", "ipip"})
_LISTS = ("sourceTags", "sourceServiceAccounts", "targetTags", "targetServiceAccounts")
_KEPT = ("description", "logConfig", *_LISTS)


def merged(current: Document, body: Document) -> Document:
    """Return what a patch leaves: allowed and denied exclude one another."""
    rest = dict(current)
    if body.get("allowed") or body.get("denied"):
        rest.pop("allowed", None)
        rest.pop("denied", None)
    return rest | {key: value for key, value in body.items() if key not in FIXED}


def checked(cloud: Cloud, tx: Transaction, body: Document) -> Document:
    """Return the fields of a rule with Google's defaults filled in.

    Raises:
        ApiError: 400 for what Google would refuse.
    """
    refusals.check_supported("resource", body, "params")
    direction = body.get("direction") or "INGRESS"
    if bool(body.get("allowed")) == bool(body.get("denied")):
        raise refusals.invalid_value(
            "resource", "", "Exactly one of 'allowed' and 'denied' must be specified."
        )
    action = "allowed" if body.get("allowed") else "denied"
    rule: Document = {
        "network": _network(cloud, tx, body.get("network")),
        "priority": _priority(body.get("priority")),
        "direction": direction,
        action: [
            _protocol(f"resource.{action}[{at}]", entry) for at, entry in enumerate(body[action])
        ],
        "disabled": bool(body.get("disabled")),
        "logConfig": {"enable": False},
    }
    _check_sides(body, direction)
    given = {key: body[key] for key in _KEPT if body.get(key)}
    _check_tags(given)
    return rule | given | _ranges(body, direction)


def _network(cloud: Cloud, tx: Transaction, reference: str | None) -> str:
    reference = reference or "global/networks/default"
    name = names.resolve_own("resource.network", reference, f"{cloud.project}/global/networks")
    if tx.get(name) is None:
        raise refusals.dangling("resource.network", reference, "network")
    return names.link(name)


def _priority(asked: int | None) -> int:
    if asked is None:
        return _DEFAULT_PRIORITY
    if not 0 <= asked <= _HIGHEST_PRIORITY_NUMBER:
        limit = "greater than or equal to 0" if asked < 0 else "less than or equal to 65535"
        raise refusals.invalid_value("resource.priority", asked, f"Must be {limit}")
    return asked


def _protocol(field: str, entry: Document) -> Document:
    protocol = str(entry.get("IPProtocol") or "").lower()
    if not protocol:
        raise refusals.missing(f"{field}.IPProtocol")
    if protocol not in _PROTOCOLS and not (protocol.isdecimal() and int(protocol) <= 255):
        raise refusals.invalid_value(
            f"{field}.IPProtocol",
            entry["IPProtocol"],
            "Must be one of [tcp, udp, icmp, esp, ah, ipip, sctp, all] or an IP protocol number.",
        )
    ports = entry.get("ports") or []
    if ports and protocol not in _WITH_PORTS:
        raise refusals.invalid_value(
            f"{field}.ports", ports[0], f"Ports may not be specified for protocol {protocol}."
        )
    for at, port in enumerate(ports):
        _check_port(f"{field}.ports[{at}]", port)
    return {"IPProtocol": protocol} | ({"ports": list(ports)} if ports else {})


def _check_port(field: str, text: str) -> None:
    first, dash, end = text.partition("-")
    numbers = [first, end] if dash else [first]
    if not all(n.isascii() and n.isdecimal() and int(n) <= _LAST_PORT for n in numbers) or (
        dash and int(first) > int(end)
    ):
        raise refusals.invalid_value(
            field, text, "Ports may only be an integer or a range of integers from 0 to 65535."
        )


def _check_sides(body: Document, direction: str) -> None:
    if direction == "EGRESS":
        for key in ("sourceRanges", "sourceTags", "sourceServiceAccounts"):
            if body.get(key):
                raise refusals.invalid_value(
                    f"resource.{key}", body[key][0], "Egress rules cannot have a source."
                )
    elif body.get("destinationRanges"):
        raise refusals.invalid_value(
            "resource.destinationRanges",
            body["destinationRanges"][0],
            "Ingress rules with destination ranges are not implemented by this sandbox.",
        )
    tags = body.get("sourceTags") or body.get("targetTags")
    accounts = body.get("sourceServiceAccounts") or body.get("targetServiceAccounts")
    if tags and accounts:
        raise refusals.invalid_value(
            "resource", "", "Tags and service accounts cannot be used in the same firewall rule."
        )


def _check_tags(given: Document) -> None:
    for key in ("sourceTags", "targetTags"):
        for at, tag in enumerate(given.get(key, ())):
            if not documents.full_match(names.NAME, tag):
                raise refusals.no_match(f"resource.{key}[{at}]", tag, names.NAME)


def _ranges(body: Document, direction: str) -> Document:
    """Return the ranges of a rule, everywhere when it names no side.

    One with bits of a host is none: https://github.com/CartoDB/cartodb/pull/15649,
    https://github.com/hashicorp/terraform-provider-google/issues/4032.
    """
    key = "sourceRanges" if direction == "INGRESS" else "destinationRanges"
    ranges = body.get(key) or []
    if not ranges and not body.get("sourceTags") and not body.get("sourceServiceAccounts"):
        ranges = ["0.0.0.0/0"]
    for at, text in enumerate(ranges):
        try:
            ipaddress.ip_network(text)
        except ValueError:
            raise refusals.invalid_value(
                f"resource.{key}[{at}]", text, "Must be a valid CIDR address range."
            ) from None
    return {key: list(ranges)} if ranges else {}
