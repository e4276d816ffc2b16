# SPDX-License-Identifier: GPL-3.0-or-later
"""Quotas of a region and of the project: what is used, and what may be.

https://cloud.google.com/compute/resource-usage. What is listed has no limit that anyone would meet,
unless the sandbox was given one (`Settings.quotas`): that is held to, as on Google Cloud. The
sentence is the one that https://github.com/mesosphere-backup/terraform-dcos/issues/61 quotes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import names
from cloudspill_sandbox.compute.catalogue.machine_types import machine_type
from cloudspill_sandbox.compute.catalogue.regions import REGIONS, ZONES
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.store import Store, Transaction

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud

_REGIONAL = (
    "CPUS",
    "DISKS_TOTAL_GB",
    "INSTANCES",
    "IN_USE_ADDRESSES",
    "SSD_TOTAL_GB",
    "STATIC_ADDRESSES",
)
_GLOBAL = {
    "FIREWALLS": "firewalls",
    "IMAGES": "images",
    "INSTANCE_TEMPLATES": "instanceTemplates",
    "NETWORKS": "networks",
    "SNAPSHOTS": "snapshots",
}
"""Metrics of the project, and the collections that they count."""

_AMPLE = 1_000_000.0
_OFF = frozenset({"SUSPENDED", "TERMINATED"})
_SPINNING = "pd-standard"


def parsed(text: str) -> dict[str, float]:
    """Return limits by metric of `CPUS=24,IN_USE_ADDRESSES=8`.

    Raises:
        ValueError: a metric that is not regional, or no number.
    """
    limits = {}
    for part in filter(None, text.replace(" ", "").split(",")):
        metric, _, limit = part.partition("=")
        if metric not in _REGIONAL:
            raise ValueError(f"quota {metric!r} is none of {', '.join(_REGIONAL)}")
        try:
            limits[metric] = float(limit)
        except ValueError:
            raise ValueError(f"quota {metric}={limit!r}: the limit is no number") from None
    return limits


def of_region(cloud: Cloud, region: str) -> list[Document]:
    """Return the Quota documents of a region."""
    used = _used(cloud.store, cloud.project, region)
    return [_quota(m, cloud.limits.get(m, _AMPLE), used[m]) for m in _REGIONAL]


def of_project(cloud: Cloud) -> list[Document]:
    """Return the Quota documents of the project."""
    return [
        _quota(metric, _AMPLE, len(cloud.store.children(f"{cloud.project}/global/{kind}")))
        for metric, kind in _GLOBAL.items()
    ]


def _quota(metric: str, limit: float, used: float) -> Document:
    return {"metric": metric, "limit": limit, "usage": float(used)}


def check(cloud: Cloud, tx: Transaction, place: str) -> None:
    """Return when a transaction leaves a region within its limits, or uses no more than before.

    Args:
        place: a region, or a zone of it.

    Raises:
        ApiError: 403 that names the metric, its limit and the region.
    """
    if not cloud.limits:
        return
    region = ZONES[place].name if place in ZONES else place
    before = _used(cloud.store, cloud.project, region)
    after = before.copy()
    for name, document in tx.writes.items():
        old = cloud.store.get(name)
        for sign, each in ((1, document), (-1, old)):
            if each is not None and _region_of(name) == region:
                for metric, amount in _uses(name, each):
                    after[metric] += sign * amount
    for metric, limit in cloud.limits.items():
        if after[metric] > max(limit, before[metric]):
            raise ApiError(
                403,
                "quotaExceeded",
                f"Quota '{metric}' exceeded.  Limit: {limit:.1f} in region {region}.",
            )


def _used(store: Store, project: str, region: str) -> Counter[str]:
    used: Counter[str] = Counter()
    zones = [f"{project}/zones/{zone}" for zone in REGIONS[region].zones]
    collections = [f"{zone}/{kind}" for zone in zones for kind in ("instances", "disks")]
    for collection in (*collections, f"{project}/regions/{region}/addresses"):
        for key, document in store.children(collection).items():
            for metric, amount in _uses(f"{collection}/{key}", document):
                used[metric] += amount
    return used


def _region_of(name: str) -> str | None:
    kind, _, place = names.scope(name).partition("/")
    if kind == "zones":
        return ZONES[place].name if place in ZONES else None
    return place if kind == "regions" else None


def _uses(name: str, document: Document) -> Iterator[tuple[str, int]]:
    """Yield what one resource counts for; of an instance that is off, only that it is there."""
    kind = name.split("/")[-2]
    if kind == "disks":
        standard = names.last(document["type"]) == _SPINNING
        yield ("DISKS_TOTAL_GB" if standard else "SSD_TOTAL_GB"), int(document["sizeGb"])
    elif kind == "addresses" and document["addressType"] == "EXTERNAL":
        yield "STATIC_ADDRESSES", 1
    elif kind == "instances":
        yield "INSTANCES", 1
        if document["status"] not in _OFF:
            size = machine_type(names.last(document["machineType"]))
            yield "CPUS", int(size.vcpus) if size else 0
            configs = (nic.get("accessConfigs", ()) for nic in document["networkInterfaces"])
            yield "IN_USE_ADDRESSES", sum("natIP" in config for each in configs for config in each)
