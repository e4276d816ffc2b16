# SPDX-License-Identifier: GPL-3.0-or-later
"""What the clients of a sandbox may rely on after it was killed, and whether it is so.

An acknowledged call whose operation was DONE has had its effect. One that was acknowledged and not
done has ended: well, with its effect, or with an error, and then without. One that was not
acknowledged has had its whole effect or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.lives.api import Api, Json

Facts = dict[str, Any]
"""What the load knows of a resource; a field that it does not know yet is missing."""


@dataclass(slots=True)
class Attempt:
    """A call that may have been cut short.

    Attributes:
        verb: the method, `instances.insert`.
        after: the resource once it has had its effect; None for gone.
        otherwise: what the resource may be when the operation ended with an error.
        operation: path of its operation; "" until it is acknowledged.
    """

    verb: str
    after: Facts | None
    otherwise: Sequence[Facts | None]
    operation: str = ""


@dataclass(slots=True)
class Entry:
    """One resource.

    Attributes:
        path: below the project, `global/firewalls/w0-rule`.
        certain: what it was when the last call on it had ended; None for absent.
        attempt: the call that had not.
    """

    path: str
    certain: Facts | None = None
    attempt: Attempt | None = None

    @property
    def kind(self) -> str:
        """`instances`, `disks` …"""
        return self.path.split("/")[-2]

    def settle(self, operation: Json, now: Facts | None) -> str:
        """Take an operation's end and the resource as it is now; return what is wrong, or ""."""
        assert self.attempt is not None
        wrong = ""
        allowed = self.attempt.otherwise if "error" in operation else [self.attempt.after]
        if not any(_agrees(expected, now) for expected in allowed):
            end = operation.get("error", "well")
            wrong = f"{self.path} is {now} after {self.attempt.verb} ended {end}, not {allowed}"
        self.certain, self.attempt = now, None
        return wrong


@dataclass
class Ledger:
    """All resources of the load."""

    entries: dict[str, Entry] = field(default_factory=dict)

    def entry(self, path: str) -> Entry:
        """Return the entry of a resource; a new one is absent."""
        return self.entries.setdefault(path, Entry(path))

    def audit(self, api: Api) -> list[str]:
        """Compare with a sandbox that is up again; return what it lost or has too much."""
        there = {
            document["selfLink"].split("/", 7)[7]: facts(kind, document)
            for kind in ("instances", "disks", "snapshots", "images", "addresses", "firewalls")
            for document in api.every(kind)
        } | {f"objects/{name}": now for name, now in api.objects()}
        wrong = [_audited(entry, api, there.get(path)) for path, entry in self.entries.items()]
        wrong += [
            f"{path} is there, and no acknowledged call made it"
            for path in there
            if path not in self.entries and not self._comes_along(path)
        ]
        return [*filter(None, wrong)]

    def _comes_along(self, path: str) -> bool:
        """Whether a resource came with the project, or as the boot disk of an instance."""
        if path.startswith("global/firewalls/default-"):
            return True
        instance = self.entries.get(path.replace("/disks/", "/instances/"))
        return instance is not None and instance.certain is not None


def facts(kind: str, document: Json) -> Facts:
    """Return what must last of a resource."""
    known: Facts = {"id": document["id"]}
    for name in ("status", "labels", "disabled", "address", "sizeGb"):
        if name in document:
            known[name] = document[name]
    if kind == "instances":
        items = document["metadata"].get("items", [])
        known["metadata"] = {item["key"]: item["value"] for item in items}
        known["tags"] = sorted(document["tags"].get("items", []))
        known["networkIP"] = document["networkInterfaces"][0]["networkIP"]
        known["attached"] = [disk["source"].rpartition("/")[2] for disk in document["disks"]]
    return known


def _audited(entry: Entry, api: Api, now: Facts | None) -> str:
    attempt = entry.attempt
    if attempt is None:
        agrees = _agrees(entry.certain, now)
        return "" if agrees else f"{entry.path} is {now}, and was {entry.certain}"
    if attempt.operation:
        operation = api.get(attempt.operation)
        if operation is None or operation["status"] != "DONE":
            return f"{attempt.verb} on {entry.path} was acknowledged; its operation: {operation}"
        return entry.settle(operation, now)
    before, entry.certain, entry.attempt = entry.certain, now, None
    allowed = [before, attempt.after, *attempt.otherwise]
    if not any(_agrees(expected, now) for expected in allowed):
        return f"{entry.path} is {now} after an unanswered {attempt.verb}, not one of {allowed}"
    return ""


def _agrees(expected: Facts | None, now: Facts | None) -> bool:
    if expected is None or now is None:
        return expected is now
    return all(now.get(name) == value for name, value in expected.items())
