# SPDX-License-Identifier: GPL-3.0-or-later
"""Object Lifecycle Management: what a bucket's rules want done to a version of an object.

Pure decisions; `lifecycle_pass` carries them out. https://cloud.google.com/storage/docs/lifecycle
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.storage.lifecycle_rules import DELETE, SET_CLASS
from cloudspill_sandbox.storage.timestamps import seconds_of

DAY = 86400

_COLDNESS = ("NEARLINE", "COLDLINE", "ARCHIVE")
"""Classes that objects move to, the cheapest at rest last; every other one is warmer."""


@dataclass(frozen=True, slots=True)
class Version:
    """What rules look at.

    Attributes:
        document: of the version.
        is_live: whether it is the live version of its object.
        newer: how many versions of the object are newer, the live one included.
        now: seconds since the epoch.
    """

    document: Document
    is_live: bool
    newer: int
    now: float

    def days_since(self, field: str) -> float | None:
        """Return the age of a time in days; None for a version without it."""
        text = self.document.get(field)
        return None if text is None else (self.now - seconds_of(text)) / DAY

    def is_before(self, field: str, date: str) -> bool:
        """Whether a time lies before midnight (UTC) at the begin of a date."""
        text = self.document.get(field)
        return text is not None and seconds_of(text) < seconds_of(date)


def wanted_action(rules: Sequence[Document], version: Version) -> Document | None:
    """Return the action that is to be taken, None for none.

    Deletion comes first; among storage classes the one that costs least at rest. Nothing is moved
    to a warmer class. https://cloud.google.com/storage/docs/lifecycle#actions
    """
    actions = [rule["action"] for rule in rules if _applies(rule["condition"], version)]
    for action in actions:
        if action["type"] == DELETE:
            return {"type": DELETE}
    targets = [action["storageClass"] for action in actions if action["type"] == SET_CLASS]
    coldest = max(targets, key=_coldness, default=None)
    if coldest is None or _coldness(coldest) <= _coldness(version.document["storageClass"]):
        return None
    return {"type": SET_CLASS, "storageClass": coldest}


def _applies(condition: Mapping[str, Any], version: Version) -> bool:
    return all(_HOLDS[name](version, value) for name, value in condition.items())


def _coldness(storage_class: str) -> int:
    return _COLDNESS.index(storage_class) if storage_class in _COLDNESS else -1


def _reached(days: float | None, wanted: int) -> bool:
    return days is not None and days >= wanted


_HOLDS: Mapping[str, Callable[[Version, Any], bool]] = {
    "age": lambda version, days: _reached(version.days_since("timeCreated"), days),
    "createdBefore": lambda version, date: version.is_before("timeCreated", date),
    "customTimeBefore": lambda version, date: version.is_before("customTime", date),
    "daysSinceCustomTime": lambda version, days: _reached(version.days_since("customTime"), days),
    "daysSinceNoncurrentTime": lambda version, days: _reached(
        version.days_since("timeDeleted"), days
    ),
    "isLive": lambda version, wanted: version.is_live is wanted,
    "matchesPrefix": lambda version, all_of: version.document["name"].startswith(tuple(all_of)),
    "matchesStorageClass": lambda version, all_of: version.document["storageClass"] in all_of,
    "matchesSuffix": lambda version, all_of: version.document["name"].endswith(tuple(all_of)),
    "noncurrentTimeBefore": lambda version, date: version.is_before("timeDeleted", date),
    "numNewerVersions": lambda version, count: version.newer >= count,
    "sizeAboveBytes": lambda version, size: int(version.document["size"]) > int(size),
    "sizeBelowBytes": lambda version, size: int(version.document["size"]) < int(size),
}
"""Whether a version satisfies a condition, by the condition's name; all of a rule's must hold."""
