# SPDX-License-Identifier: GPL-3.0-or-later
"""Where buckets can be, and the storage classes of what is in them.

https://cloud.google.com/storage/docs/locations and
https://cloud.google.com/storage/docs/storage-classes
"""

from __future__ import annotations

from cloudspill_sandbox.storage.refusals import invalid

DEFAULT_LOCATION = "US"
DEFAULT_CLASS = "STANDARD"

STORAGE_CLASSES = frozenset(
    {
        "STANDARD",
        "NEARLINE",
        "COLDLINE",
        "ARCHIVE",
        # Of buckets from before 2019; STANDARD in all but name.
        "MULTI_REGIONAL",
        "REGIONAL",
        "DURABLE_REDUCED_AVAILABILITY",
    }
)

MULTI_REGIONS = frozenset({"ASIA", "EU", "US"})
_DUAL_REGIONS = frozenset({"ASIA1", "EUR4", "EUR5", "EUR7", "EUR8", "NAM4"})
_REGIONS = frozenset(
    f"{area}-{site}"
    for area, sites in {
        "AFRICA": ("SOUTH1",),
        "ASIA": (
            *("EAST1", "EAST2", "NORTHEAST1", "NORTHEAST2", "NORTHEAST3"),
            *("SOUTH1", "SOUTH2", "SOUTHEAST1", "SOUTHEAST2"),
        ),
        "AUSTRALIA": ("SOUTHEAST1", "SOUTHEAST2"),
        "EUROPE": (
            *("CENTRAL2", "NORTH1", "NORTH2", "SOUTHWEST1", "WEST1", "WEST2", "WEST3"),
            *("WEST4", "WEST6", "WEST8", "WEST9", "WEST10", "WEST12"),
        ),
        "ME": ("CENTRAL1", "CENTRAL2", "WEST1"),
        "NORTHAMERICA": ("NORTHEAST1", "NORTHEAST2", "SOUTH1"),
        "SOUTHAMERICA": ("EAST1", "WEST1"),
        "US": (
            *("CENTRAL1", "EAST1", "EAST4", "EAST5", "SOUTH1"),
            *("WEST1", "WEST2", "WEST3", "WEST4"),
        ),
    }.items()
    for site in sites
)


def checked_location(name: str) -> str:
    """Return a location as Google writes it, in capitals.

    Raises:
        ApiError: 400, there is no such location.
    """
    location = name.upper()
    if location not in MULTI_REGIONS | _DUAL_REGIONS | _REGIONS:
        raise invalid("The specified location constraint is not valid.")
    return location


def location_type(location: str) -> str:
    """Return `multi-region`, `dual-region` or `region` of a location in capitals."""
    if location in MULTI_REGIONS:
        return "multi-region"
    return "dual-region" if location in _DUAL_REGIONS else "region"


def checked_class(name: str) -> str:
    """Return a storage class in capitals.

    Raises:
        ApiError: 400, there is no such class.
    """
    storage_class = name.upper()
    if storage_class not in STORAGE_CLASSES:
        raise invalid(f"Invalid argument. '{name}' is no storage class.")
    return storage_class
