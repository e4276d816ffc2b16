# SPDX-License-Identifier: GPL-3.0-or-later
"""What a sandbox has: by its API, in its database, and on its host."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cloudspill_sandbox.network.addressing import HostNames
from cloudspill_sandbox.runtime.cgroups import processes_naming
from cloudspill_sandbox.runtime.leftovers import podman_directory
from cloudspill_sandbox.runtime.mounts import mounts_below
from cloudspill_sandbox.runtime.volume_records import read_record
from cloudspill_sandbox.settings import Settings
from cloudspill_sandbox.storage.names import UPLOADS
from cloudspill_sandbox.storage.objects import CONTENT
from tests.lives.api import Api, Json

KINDS = ("instances", "disks", "snapshots", "images", "addresses", "firewalls", "operations")


@dataclass(frozen=True, slots=True)
class Host:
    """What real machines have on their host.

    Attributes:
        machines: ids of the instances whose containers run, one for each.
        namespaces: hexadecimal addresses of the interfaces' namespaces.
        links: the same of the router's ends of links.
        mounted: volumes that are mounted.
    """

    machines: tuple[str, ...]
    namespaces: frozenset[str]
    links: frozenset[str]
    mounted: frozenset[str]


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything at one moment.

    Attributes:
        listed: documents of the API by kind.
        leases: holder of each address that is taken.
        machines: instance of each machine that can be found by its id.
        guest_attributes: ids of the instances that have some.
        volumes: ids of the volumes on disk, but for the guest image.
        named: contents that objects name.
        contents: contents on disk, but for those of uploads that may go on.
        host: None with machines in memory.
    """

    listed: dict[str, list[Json]]
    leases: dict[str, str]
    machines: dict[str, str]
    guest_attributes: frozenset[str]
    volumes: frozenset[str]
    named: frozenset[str] = frozenset()
    contents: frozenset[str] = frozenset()
    host: Host | None = None


def take(api: Api, settings: Settings) -> Inventory:
    """Look at a sandbox that is up and has nothing to do."""
    kept = _documents(settings.database)
    partial = {body[CONTENT] for body in kept.get(UPLOADS, {}).values()}
    files = {path.name for path in settings.objects_dir.rglob("*") if path.is_file()}
    named = {body[CONTENT] for body in kept.get("objects", {}).values()}
    return Inventory(
        listed={kind: list(api.every(kind)) for kind in KINDS},
        leases={name: body["holder"] for name, body in kept.get("leases", {}).items()},
        machines={name: body["instance"] for name, body in kept.get("machines", {}).items()},
        guest_attributes=frozenset(kept.get("guestAttributes", {})),
        volumes=frozenset(_volumes(settings)),
        named=frozenset(named),
        contents=frozenset(files - (partial - named)),
        host=None if settings.in_memory else _host(settings),
    )


def _documents(database: Path) -> dict[str, dict[str, Json]]:
    """Return the documents of the collections that no API shows."""
    found: dict[str, dict[str, Json]] = {}
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        for name, body in connection.execute("SELECT name, body FROM documents"):
            collection, _, key = name.rpartition("/")
            if name.startswith("buckets/") and collection.endswith(("/objects", "/generations")):
                found.setdefault("objects", {})[name] = json.loads(body)
            elif collection in {"leases", "machines", "guestAttributes", UPLOADS}:
                found.setdefault(collection, {})[key] = json.loads(body)
    finally:
        connection.close()
    return found


def _volumes(settings: Settings) -> Iterator[str]:
    if settings.in_memory:
        names = (path.stem for path in settings.volumes_dir.iterdir())
        yield from (name for name in names if name != "debian-12")
        return
    for layer in settings.volumes_dir.iterdir():
        if layer.name == "empty":
            continue
        if (layer / "record.json").exists():
            if volume := read_record(layer).volume:
                yield volume
        else:
            yield f"half-made layer {layer.name}"


def _host(settings: Settings) -> Host:
    names = HostNames(settings.name)
    spaces = {path.name.rpartition("-")[2] for path in names.all_namespaces()} - {"vpc"}
    shown = subprocess.run(
        ["ip", "-n", names.router.name, "-json", "link", "show", "type", "veth"],
        check=True,
        capture_output=True,
        text=True,
    )
    links = {link["ifname"] for link in json.loads(shown.stdout) if link}
    points = mounts_below(settings.volumes_dir)
    volumes = {read_record(point.parent).volume or "a deleted one" for point in points}
    return Host(
        machines=tuple(container.split("-")[-2] for container in containers(settings).values()),
        namespaces=frozenset(spaces),
        links=frozenset(name[1:] for name in links if re.fullmatch("i[0-9a-f]{8}", name)),
        mounted=frozenset(volumes),
    )


def containers(settings: Settings) -> dict[int, str]:
    """Return the names of the containers that run, by the process id of the conmon of each.

    A name ends in the instance's id and the time of the boot.
    """
    found = processes_naming(podman_directory(settings), frozenset({"conmon"}))
    name = re.compile(r"[a-z][a-z0-9-]*-\d+-\d{19}")
    return {pid: word for pid, words in found.items() for word in words if name.fullmatch(word)}
