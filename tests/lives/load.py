# SPDX-License-Identifier: GPL-3.0-or-later
"""A client that makes, changes and removes resources of its own until the sandbox is gone."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.lives.api import REGION, ZONE, Api, Json, facts_of
from tests.lives.ledger import Attempt, Entry, Facts, Ledger, facts

IMAGE = "projects/debian-cloud/global/images/family/debian-12"


@dataclass
class Tally:
    """What the load did.

    Attributes:
        acknowledged: calls that changed something and were answered, by method.
        refused: calls that were not carried out, by method and reason.
        wrong: what contradicts an answer, while the sandbox was up.
    """

    acknowledged: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Client:
    """One client, one call at a time; several have resources of different names.

    Args:
        name: begins the names of its resources.
        ledger: is told of every call before it is made.
        rng: draws what to do next.
    """

    def __init__(self, name: str, ledger: Ledger, rng: random.Random) -> None:
        self._rng = rng
        self.tally = Tally()
        self._instance = ledger.entry(f"zones/{ZONE}/instances/{name}-vm")
        self._disk = ledger.entry(f"zones/{ZONE}/disks/{name}-data")
        self._snapshot = ledger.entry(f"global/snapshots/{name}-snapshot")
        self._image = ledger.entry(f"global/images/{name}-image")
        self._rule = ledger.entry(f"global/firewalls/{name}-rule")
        self._address = ledger.entry(f"regions/{REGION}/addresses/{name}-address")
        self._object = ledger.entry(f"objects/{name}-object")

    def work(self, api: Api, steps: int | None = None) -> None:
        """Take so many steps, or until the sandbox does not answer any more."""
        try:
            for _ in itertools.count() if steps is None else range(steps):
                self._rng.choice(self._possible())(api)
        except requests.RequestException:
            return

    def _possible(self) -> list[Callable[[Api], None]]:
        return [*self._on_instance(), *self._on_copies(), *self._on_network(), self._write_object]

    def _on_instance(self) -> list[Callable[[Api], None]]:
        instance, disk = self._instance.certain, self._disk.certain
        if instance is None:
            return [self._insert_instance] * 4
        settings = [self._set_tags, self._set_labels, self._set_metadata]
        if instance["status"] == "TERMINATED":
            if _name(self._disk) in instance["attached"]:
                settings.append(self._detach_disk)
            elif disk is not None:
                settings.append(self._attach_disk)
            return [self._start, self._start, self._delete_instance, *settings]
        # Mostly left on, so that machines go on through kills.
        return [self._stop, self._reset, self._delete_instance, *settings, *settings]

    def _on_copies(self) -> list[Callable[[Api], None]]:
        possible: list[Callable[[Api], None]] = []
        attached = self._instance.certain is not None and (
            _name(self._disk) in self._instance.certain["attached"]
        )
        if self._disk.certain is None:
            possible.append(self._insert_disk)
        else:
            if not attached:
                possible.append(lambda api: self._delete(api, self._disk))
            if self._snapshot.certain is None:
                possible.append(self._create_snapshot)
            if self._image.certain is None and not attached:
                possible.append(self._insert_image)
        if self._snapshot.certain is not None:
            possible.append(lambda api: self._delete(api, self._snapshot))
        if self._image.certain is not None:
            possible.append(lambda api: self._delete(api, self._image))
        return possible

    def _on_network(self) -> list[Callable[[Api], None]]:
        possible: list[Callable[[Api], None]] = []
        if self._rule.certain is None:
            possible.append(self._insert_rule)
        else:
            possible += [self._patch_rule, lambda api: self._delete(api, self._rule)]
        if self._address.certain is None:
            possible.append(self._insert_address)
        else:
            possible.append(lambda api: self._delete(api, self._address))
        return possible

    def _insert_instance(self, api: Api) -> None:
        tags = self._some_tags()
        external = {"accessConfigs": [{"type": "ONE_TO_ONE_NAT"}]} if self._coin() else {}
        body = {
            "name": _name(self._instance),
            "machineType": f"zones/{ZONE}/machineTypes/f1-micro",
            "disks": [
                {"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": IMAGE}}
            ],
            "networkInterfaces": [{"network": "global/networks/default", **external}],
            "tags": {"items": tags},
        }
        self._insert(api, self._instance, body, {"status": "RUNNING", "tags": tags})

    def _insert_disk(self, api: Api) -> None:
        body: Json = {"name": _name(self._disk), "sizeGb": "10"}
        source = self._rng.choice([None, self._snapshot, self._image])
        if source is not None and source.certain is not None:
            field_name = "sourceSnapshot" if source is self._snapshot else "sourceImage"
            body[field_name] = source.path
        self._insert(api, self._disk, body, {"status": "READY", "sizeGb": "10"})

    def _create_snapshot(self, api: Api) -> None:
        attempt = Attempt("disks.createSnapshot", {"status": "READY"}, [None])
        body = {"name": _name(self._snapshot)}
        self._make(
            api,
            self._snapshot,
            attempt,
            "POST",
            f"{self._disk.path}/createSnapshot",
            body,
            made=True,
        )

    def _insert_image(self, api: Api) -> None:
        body = {"name": _name(self._image), "sourceDisk": self._disk.path}
        self._insert(api, self._image, body, {"status": "READY"})

    def _insert_rule(self, api: Api) -> None:
        body = {"name": _name(self._rule), "allowed": [{"IPProtocol": "tcp", "ports": ["80"]}]}
        self._insert(api, self._rule, body, {"disabled": False})

    def _insert_address(self, api: Api) -> None:
        self._insert(api, self._address, {"name": _name(self._address)}, {"status": "RESERVED"})

    def _write_object(self, api: Api) -> None:
        """Write the object anew, or delete it; nothing of either is done later."""
        name = _name(self._object)
        if self._object.certain is not None and self._coin():
            self._object.attempt = Attempt("objects.delete", None, [])
            answer = api.remove(name)
        else:
            content = self._rng.randbytes(self._rng.randrange(200_000))
            self._object.attempt = Attempt("objects.insert", facts_of(content), [])
            answer = api.upload(name, content)
        attempt, self._object.attempt = self._object.attempt, None
        if answer.ok:
            self._object.certain = attempt.after
            self.tally.acknowledged[attempt.verb] += 1
        else:
            self.tally.refused[f"{attempt.verb} {answer.status_code}"] += 1

    def _patch_rule(self, api: Api) -> None:
        disabled = not _certain(self._rule)["disabled"]
        self._change(api, self._rule, "PATCH", "", {"disabled": disabled}, {"disabled": disabled})

    def _set_tags(self, api: Api) -> None:
        tags, now = self._some_tags(), self._document(api)
        body = {"items": tags, "fingerprint": now["tags"]["fingerprint"]}
        self._change(api, self._instance, "POST", "/setTags", body, {"tags": tags})

    def _set_labels(self, api: Api) -> None:
        labels = {"round": str(self._rng.randrange(10**6))}
        body = {"labels": labels, "labelFingerprint": self._document(api)["labelFingerprint"]}
        self._change(api, self._instance, "POST", "/setLabels", body, {"labels": labels})

    def _set_metadata(self, api: Api) -> None:
        value, now = str(self._rng.randrange(10**6)), self._document(api)
        body = {
            "items": [{"key": "note", "value": value}],
            "fingerprint": now["metadata"]["fingerprint"],
        }
        metadata = {"metadata": {"note": value}}
        self._change(api, self._instance, "POST", "/setMetadata", body, metadata)

    def _attach_disk(self, api: Api) -> None:
        attached = [*_certain(self._instance)["attached"], _name(self._disk)]
        body = {"source": self._disk.path, "deviceName": "data"}
        self._change(api, self._instance, "POST", "/attachDisk", body, {"attached": attached})

    def _detach_disk(self, api: Api) -> None:
        attached = [a for a in _certain(self._instance)["attached"] if a != _name(self._disk)]
        call = "/detachDisk?deviceName=data"
        self._change(api, self._instance, "POST", call, None, {"attached": attached})

    def _stop(self, api: Api) -> None:
        self._change(api, self._instance, "POST", "/stop", None, {"status": "TERMINATED"})

    def _start(self, api: Api) -> None:
        self._change(api, self._instance, "POST", "/start", None, {"status": "RUNNING"})

    def _reset(self, api: Api) -> None:
        before = _certain(self._instance)
        attempt = Attempt("instances.reset", before, [before | {"status": "TERMINATED"}])
        self._make(api, self._instance, attempt, "POST", f"{self._instance.path}/reset")

    def _delete_instance(self, api: Api) -> None:
        if self._coin():  # or else instances would live too short to be adopted
            self._delete(api, self._instance)

    def _delete(self, api: Api, entry: Entry) -> None:
        attempt = Attempt(f"{entry.kind}.delete", None, [entry.certain])
        self._make(api, entry, attempt, "DELETE", entry.path)

    def _insert(self, api: Api, entry: Entry, body: Json, after: Facts) -> None:
        attempt = Attempt(f"{entry.kind}.insert", after, [None])
        collection = entry.path.rpartition("/")[0]
        self._make(api, entry, attempt, "POST", collection, body, made=True)

    def _change(
        self, api: Api, entry: Entry, method: str, call: str, body: Any, change: Facts
    ) -> None:
        before = _certain(entry)
        verb = call.strip("/").partition("?")[0] or method.lower()
        attempt = Attempt(f"{entry.kind}.{verb}", before | change, [before])
        self._make(api, entry, attempt, method, entry.path + call, body)

    def _make(
        self,
        api: Api,
        entry: Entry,
        attempt: Attempt,
        method: str,
        path: str,
        body: Any = None,
        *,
        made: bool = False,
    ) -> None:
        """Make a call, wait for its operation's end, and compare."""
        entry.attempt = attempt
        answer = api.call(method, path, body)
        if not answer.ok:
            entry.attempt = None
            reason = answer.json()["error"]["errors"][0]["reason"]
            self.tally.refused[f"{attempt.verb} {answer.status_code} {reason}"] += 1
            return
        operation = answer.json()
        if made and attempt.after is not None and entry is not self._snapshot:
            attempt.after["id"] = operation["targetId"]
        attempt.operation = operation["selfLink"].split("/", 7)[7]
        self.tally.acknowledged[attempt.verb] += 1
        while operation["status"] != "DONE":
            operation = api.call("POST", f"{attempt.operation}/wait").json()
        document = api.get(entry.path)
        now = facts(entry.kind, document) if document else None
        if wrong := entry.settle(operation, now):
            self.tally.wrong.append(wrong)

    def _document(self, api: Api) -> Json:
        document = api.get(self._instance.path)
        assert document is not None, f"{self._instance.path} is gone"
        return document

    def _coin(self) -> bool:
        return self._rng.random() < 0.5

    def _some_tags(self) -> list[str]:
        return sorted(self._rng.sample(["web", "db", "cache", "ssh"], self._rng.randrange(4)))


def _name(entry: Entry) -> str:
    return entry.path.rpartition("/")[2]


def _certain(entry: Entry) -> Facts:
    assert entry.certain is not None
    return entry.certain
