# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bulkInsert asks for: how many instances, under which names, in which zones.

https://cloud.google.com/compute/docs/instances/multiple/about-bulk-creation and
https://cloud.google.com/compute/docs/reference/rest/v1/instances/bulkInsert
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import instance_templates, names, refusals
from cloudspill_sandbox.compute.catalogue.regions import REGIONS
from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.merge_patch import merged
from cloudspill_sandbox.engine.store import Store, Transaction

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud

TEMPLATE = "resource.sourceInstanceTemplate"
_PROPERTIES = "resource.instanceProperties"
_PATTERN = "resource.namePattern"
_MOST = 5000
_MOST_DIGITS = 18
_DIGITS = re.compile("#+")


@dataclass(frozen=True, slots=True)
class BulkOrder:
    """What was asked for, checked but for what each instance is checked for.

    Attributes:
        places: (zone, name) of each instance.
        least: how many of them there must be, or none.
    """

    places: Sequence[tuple[str, str]]
    least: int
    _properties: Document
    _hostnames: Mapping[str, str]

    def bodies(self) -> Iterator[tuple[str, Document]]:
        """Yield the zone of each instance, and the body that an insert of it would have."""
        for zone, name in self.places:
            body = instance_templates.in_zone(self._properties, zone) | {"name": name}
            if hostname := self._hostnames.get(name):
                body["hostname"] = hostname
            yield zone, body


def read(cloud: Cloud, store: Store | Transaction, call: Call) -> BulkOrder:
    """Read the body of an instances.bulkInsert or regionInstances.bulkInsert.

    Raises:
        ApiError: 400 for what Google would refuse.
    """
    body = call.body
    refusals.check_supported("resource", body, "instanceFlexibilityPolicy")
    count = _number("resource.count", body.get("count"), 1, _MOST)
    least = count
    if body.get("minCount") is not None:
        least = _number("resource.minCount", body["minCount"], 1, count)
    each = body.get("perInstanceProperties") or {}
    pattern = "" if each else _checked_pattern(body.get("namePattern"))
    given = _given(each, count) if each else []
    properties = _properties(cloud, store, body)
    zones = _zones(cloud, call, strike=False)
    chosen = given or _numbered(cloud, zones, pattern, count)
    return BulkOrder(
        places=[(zones[at % len(zones)], name) for at, name in enumerate(chosen)],
        least=least,
        _properties=properties,
        _hostnames={name: own["hostname"] for name, own in each.items() if own.get("hostname")},
    )


def carry_out(cloud: Cloud, call: Call) -> None:
    """Let the faults strike that bar a zone: what was read is carried out now, and not refused.

    Raises:
        ApiError: 503, no zone answers.
    """
    _zones(cloud, call, strike=True)


def _number(field: str, value: str | int | None, low: int, high: int) -> int:
    if value is None:
        raise refusals.missing(field)
    if not low <= int(value) <= high:
        raise refusals.invalid_value(field, value, f"Must be between {low} and {high}, inclusive.")
    return int(value)


def _zones(cloud: Cloud, call: Call, *, strike: bool) -> Sequence[str]:
    """Return the zones to use in turn: the one that is named, or what there is room in of a region.

    https://cloud.google.com/compute/docs/instances/multiple/about-bulk-creation and the shapes of
    https://cloud.google.com/compute/docs/reference/rest/v1/LocationPolicy.
    """
    policy = call.body.get("locationPolicy") or {}
    if zone := call.path.get("zone"):
        refusals.check_supported("resource", call.body, "locationPolicy")
        return [zone]
    allowed = _allowed_zones(call, policy)
    most = len(allowed) if policy.get("targetShape") == "BALANCED" else 1
    named = frozenset(call.body.get("perInstanceProperties") or [call.body["namePattern"]])
    return cloud.faults.usable_zones(call.method, named, allowed, most, strike=strike)


def _allowed_zones(call: Call, policy: Document) -> list[str]:
    field = "resource.locationPolicy"
    if (region := REGIONS.get(call.path["region"])) is None:  # permissions are asked first
        raise refusals.unknown_scope("region", call.path["region"])
    asked = {}
    for location, wish in (policy.get("locations") or {}).items():
        refusals.check_supported(f"{field}.locations[{location}]", wish, "constraints")
        asked[names.last(location)] = wish.get("preference")
    listed = [names.last(entry.get("zone") or "") for entry in policy.get("zones") or ()]
    for zone in (*asked, *listed):
        if zone not in region.zones:
            raise refusals.invalid_value(
                field, zone, f"It is not a zone of the region '{region.name}'."
            )
    allowed = [
        zone
        for zone in region.zones
        if asked.get(zone) != "DENY" and (not listed or zone in listed)
    ]
    if not allowed:
        raise refusals.invalid_value(field, "", "It denies every zone of the region.")
    return allowed


def _given(each: Mapping[str, object], count: int) -> list[str]:
    for name in each:
        if not names.is_name(name):
            raise refusals.no_match("resource.perInstanceProperties.key", name, names.NAME)
    if len(each) != count:
        raise refusals.invalid_value(
            "resource.count", count, f"perInstanceProperties names {len(each)} instances."
        )
    return list(each)


def _checked_pattern(pattern: str | None) -> str:
    if not pattern:
        raise refusals.invalid_value(
            _PATTERN, "", "Either namePattern or perInstanceProperties must be set."
        )
    runs = _DIGITS.findall(pattern)
    if len(runs) != 1 or len(runs[0]) > _MOST_DIGITS:
        raise refusals.invalid_value(
            _PATTERN,
            pattern,
            f"It must contain one continuous sequence of at most {_MOST_DIGITS} characters '#'.",
        )
    if not names.is_name(pattern.replace("#", "0")):
        raise refusals.no_match(_PATTERN, pattern, names.NAME)
    return pattern


def _numbered(cloud: Cloud, zones: Sequence[str], pattern: str, count: int) -> list[str]:
    """Return names by the pattern, after the biggest number that one there has."""
    width = pattern.count("#")
    head, _, tail = pattern.partition("#" * width)
    taken = re.compile(f"{re.escape(head)}([0-9]{{{width}}}){re.escape(tail)}")
    biggest = max(
        (
            int(match[1])
            for zone in zones
            for name in cloud.store.children(f"{cloud.project}/zones/{zone}/instances")
            if (match := taken.fullmatch(name))
        ),
        default=0,
    )
    if biggest + count >= 10**width:
        raise refusals.invalid_value(
            _PATTERN, pattern, f"It has no names for {count} instances after number {biggest}."
        )
    return [f"{head}{number:0{width}}{tail}" for number in range(biggest + 1, biggest + count + 1)]


def _properties(cloud: Cloud, store: Store | Transaction, body: Document) -> Document:
    own = body.get("instanceProperties") or {}
    template = body.get("sourceInstanceTemplate")
    if template:
        own = merged(instance_templates.properties(cloud, store, TEMPLATE, template), own)
    elif not own:
        raise refusals.missing(_PROPERTIES)
    for at, disk in enumerate(own.get("disks") or ()):
        params = disk.get("initializeParams") or {}
        if disk.get("boot") and params.get("sourceSnapshot"):
            raise refusals.invalid_value(
                f"{_PROPERTIES}.disks[{at}].initializeParams.sourceSnapshot",
                params["sourceSnapshot"],
                "Boot disks of instances that are made in bulk cannot come from a snapshot.",
            )
    return instance_templates.checked(cloud, store, _PROPERTIES, own)
