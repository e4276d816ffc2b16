# SPDX-License-Identifier: GPL-3.0-or-later
"""The address ranges of subnetworks: which are valid, and which meet others of the network.

https://cloud.google.com/vpc/docs/subnets#valid-ranges. Secondary ranges, as clusters have for their
pods, are kept and kept apart; no interface has addresses of them here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import documents, names, refusals
from cloudspill_sandbox.compute.lookup import found
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.errors import ApiError

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud

_PRIVATE = tuple(map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
_LONGEST_PREFIX = 29
_MOST_SECONDARY = 170
"""https://cloud.google.com/vpc/docs/quota#per_network"""


def checked(text: str | None, field: str = "resource.ipCidrRange") -> ipaddress.IPv4Network:
    """Return a range; private ones only. Raises ApiError, 400."""
    if not text:
        raise refusals.missing(field)
    try:
        ip_range = ipaddress.IPv4Network(text)
    except ValueError:
        raise refusals.invalid_value(
            field, text, "Must be a valid, aligned IPv4 CIDR range."
        ) from None
    if ip_range.prefixlen > _LONGEST_PREFIX:
        raise refusals.invalid_value(field, text, f"The prefix may be at most /{_LONGEST_PREFIX}.")
    if not any(ip_range.subnet_of(private) for private in _PRIVATE):
        raise refusals.invalid_value(field, text, "The sandbox takes RFC 1918 ranges only.")
    return ip_range


def secondary(
    cloud: Cloud,
    network: Document,
    own: Sequence[ipaddress.IPv4Network],
    body: Sequence[Document],
    besides: str = "",
) -> list[Document]:
    """Return the SubnetworkSecondaryRange documents that a request asks for.

    Args:
        own: what else the subnetwork has.
        besides: link of the subnetwork, when it is there already.

    Raises:
        ApiError: 400 for a bad or doubled name, a bad range, or one that meets another.
    """
    field = "resource.secondaryIpRanges"
    if len(body) > _MOST_SECONDARY:
        raise refusals.invalid_value(field, len(body), f"At most {_MOST_SECONDARY} are allowed.")
    taken, result, known = list(own), [], set()
    for at, entry in enumerate(body):
        refusals.check_supported(f"{field}[{at}]", entry, "ipCollection", "reservedInternalRange")
        refusals.check_one_of(f"{field}[{at}]", entry, "ipVersion", "IPV4")
        name = names.check_name(f"{field}[{at}].rangeName", entry.get("rangeName"))
        ip_range = checked(entry.get("ipCidrRange"), f"{field}[{at}].ipCidrRange")
        if name in known:
            sentence = "The name of a secondary range must be unique in its subnetwork."
            raise refusals.invalid_value(f"{field}[{at}].rangeName", name, sentence)
        if any(map(ip_range.overlaps, taken)):
            sentence = "The range overlaps with another one of the subnetwork."
            raise refusals.invalid_value(f"{field}[{at}].ipCidrRange", ip_range, sentence)
        check_apart(cloud, network, ip_range, besides)
        known.add(name)
        taken.append(ip_range)
        given = documents.given(entry, "ipVersion")
        result.append({"rangeName": name, "ipCidrRange": str(ip_range)} | given)
    return result


def check_apart(
    cloud: Cloud, network: Document, ip_range: ipaddress.IPv4Network, besides: str = ""
) -> None:
    """Return when a range meets none of a network's other subnetworks. Raises ApiError, 400."""
    for link in network.get("subnetworks", ()):
        if link == besides:
            continue
        other = found(cloud.store, names.relative(link))
        if any(map(ip_range.overlaps, of(other))):
            raise _conflict(ip_range, other)


def check_wider(subnetwork: Document, wider: ipaddress.IPv4Network) -> None:
    """Return when a wider primary range meets no secondary one. Raises ApiError, 400."""
    _, *others = of(subnetwork)
    if any(map(wider.overlaps, others)):
        raise _conflict(wider, subnetwork)


def _conflict(ip_range: ipaddress.IPv4Network, other: Document) -> ApiError:
    return ApiError(
        400,
        "badRequest",
        f"Invalid IPCidrRange: {ip_range} conflicts with existing subnetwork "
        f"'{other['name']}' in region '{names.last(other['region'])}'.",
    )


def of(subnetwork: Document) -> Iterator[ipaddress.IPv4Network]:
    """Yield every range of a subnetwork, the primary one first."""
    yield ipaddress.IPv4Network(subnetwork["ipCidrRange"])
    for entry in subnetwork.get("secondaryIpRanges", ()):
        yield ipaddress.IPv4Network(entry["ipCidrRange"])
