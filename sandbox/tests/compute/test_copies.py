# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots, images and clones while they are being made: what they hold, and what must stay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.volumes import volume_of
from cloudspill_sandbox.runtime.memory import MemoryRuntime

from .conftest import ZONE, Client, MakeCloud, eventually

DISK = f"zones/{ZONE}/disks/vm"


@dataclass(frozen=True, slots=True)
class Making:
    """A request that makes `copy` of something.

    Attributes:
        kind: what the copy is: disk, snapshot or image.
        meanwhile: its status while it is not ready.
    """

    method: str
    kind: str
    body: dict[str, Any]
    query: dict[str, Any]
    meanwhile: str = "CREATING"

    @property
    def longest_step(self) -> str:
        """The step that takes the time."""
        if self.kind == "disk":
            return "disks.insert.volume"
        return f"{self.method}.copy" if self.kind == "image" else f"{self.method}.upload"


NAMED = {"name": "copy"}
CLONE = Making("disks.insert", "disk", NAMED | {"sourceDisk": DISK}, {})
SNAPSHOT = Making("disks.createSnapshot", "snapshot", NAMED, {"disk": "vm"}, "UPLOADING")
COPIES = [
    CLONE,
    SNAPSHOT,
    Making("snapshots.insert", "snapshot", NAMED | {"sourceDisk": DISK}, {}, "UPLOADING"),
    Making(
        "images.insert", "image", NAMED | {"sourceDisk": DISK}, {"forceCreate": True}, "PENDING"
    ),
]
copies = pytest.mark.parametrize("making", COPIES, ids=lambda making: making.method)


class Held:
    """A latency profile that lets steps pass until it is told which one to hold."""

    patience = 0.0

    def __init__(self) -> None:
        self.held = ""
        self.go_on = asyncio.Event()

    async def before(self, step: str) -> None:
        if step == self.held:
            await self.go_on.wait()

    def end_waits(self) -> None:
        self.go_on.set()


@pytest.fixture
def latency() -> Held:
    return Held()


@pytest.fixture
async def cloud(make_cloud: MakeCloud, latency: Held) -> AsyncIterator[Cloud]:
    yield await make_cloud(latency=latency)
    latency.end_waits()


async def finished(api: Client, operation: dict[str, Any]) -> dict[str, Any]:
    scope = "zoneOperations" if "zone" in operation else "globalOperations"
    ended: dict[str, Any] = await api.call(f"{scope}.wait", operation=operation["name"])
    return ended


@pytest.fixture
async def vm(api: Client, spec: Any, runtime: MemoryRuntime) -> dict[str, Any]:
    """A running instance that has written something."""
    await finished(api, await api.call("instances.insert", spec()))
    instance = await api.instance()
    runtime.guest_write(instance["id"], "/srv/app", "at the request")
    return instance


async def under_way(api: Client, latency: Held, making: Making) -> dict[str, Any]:
    """Begin a copy; return its operation when the copy's content stands and its time runs."""
    latency.held = making.longest_step
    operation: dict[str, Any] = await api.call(making.method, making.body, **making.query)
    copy = await api.call(f"{making.kind}s.get", **{making.kind: "copy"})
    runtime = api.cloud.runtime
    assert isinstance(runtime, MemoryRuntime)
    await eventually(lambda: volume_of(copy) in runtime.volumes)
    return operation


@copies
async def test_a_copy_holds_what_its_source_held_when_it_was_asked_for(
    api: Client, runtime: MemoryRuntime, latency: Held, vm: Any, making: Making
) -> None:
    kind = making.kind
    operation = await under_way(api, latency, making)
    runtime.guest_write(vm["id"], "/srv/app", "later")
    copy = await api.call(f"{kind}s.get", **{kind: "copy"})
    assert copy["status"] == making.meanwhile
    latency.end_waits()
    assert "error" not in await finished(api, operation)
    copy = await api.call(f"{kind}s.get", **{kind: "copy"})
    assert copy["status"] == "READY"
    assert copy["sourceDiskId"] == (await api.call("disks.get", disk="vm"))["id"]
    assert runtime.volumes[volume_of(copy)].files["/srv/app"] == "at the request"


@copies
async def test_a_disk_stays_while_it_is_copied(
    api: Client, latency: Held, vm: Any, making: Making
) -> None:
    assert vm
    operation = await under_way(api, latency, making)
    refusal = await api.refused("instances.delete", instance="vm")
    assert (refusal.status, refusal.reason) == (400, "resourceInUseByAnotherResource")
    project = "projects/cloudspill-sandbox"
    scope = f"zones/{ZONE}" if making is CLONE else "global"
    assert refusal.message == (
        f"The disk resource '{project}/{DISK}' is already being used by "
        f"'{project}/{scope}/{making.kind}s/copy'"
    )
    latency.end_waits()
    await finished(api, operation)
    assert "error" not in await finished(api, await api.call("instances.delete", instance="vm"))
    assert (await api.refused("disks.get", disk="vm")).status == 404


@pytest.mark.parametrize("kind", ["snapshot", "image", "disk"])
async def test_what_a_disk_is_being_made_from_stays(
    api: Client, latency: Held, vm: Any, kind: str
) -> None:
    assert vm
    made = {
        "snapshot": ("snapshots.insert", {"name": "origin", "sourceDisk": DISK}, {}),
        "image": ("images.insert", {"name": "origin", "sourceDisk": DISK}, {"forceCreate": True}),
        "disk": ("disks.insert", {"name": "origin", "sourceDisk": DISK}, {}),
    }
    method, body, query = made[kind]
    await finished(api, await api.call(method, body, **query))
    link = (await api.call(f"{kind}s.get", **{kind: "origin"}))["selfLink"]
    clone = Making("disks.insert", "disk", NAMED | {f"source{kind.capitalize()}": link}, {})
    operation = await under_way(api, latency, clone)
    refusal = await api.refused(f"{kind}s.delete", **{kind: "origin"})
    assert refusal.reason == "resourceInUseByAnotherResource"
    assert refusal.message.endswith(f"zones/{ZONE}/disks/copy'")
    latency.end_waits()
    await finished(api, operation)
    await finished(api, await api.call(f"{kind}s.delete", **{kind: "origin"}))
    disk = await api.call("disks.get", disk="copy")
    assert (f"source{kind.capitalize()}" in disk) is (kind == "disk")
    assert f"source{kind.capitalize()}Id" in disk


async def test_a_snapshot_can_be_neither_used_nor_deleted_before_it_is_ready(
    api: Client, latency: Held, vm: Any
) -> None:
    assert vm
    operation = await under_way(api, latency, SNAPSHOT)
    source = {"name": "early", "sourceSnapshot": "global/snapshots/copy"}
    for method, body, query in (
        ("disks.insert", source, {}),
        ("images.insert", source, {}),
        ("snapshots.delete", None, {"snapshot": "copy"}),
    ):
        refusal = await api.refused(method, body, **query)
        assert refusal.reason == "resourceNotReady"
        assert refusal.message.endswith("global/snapshots/copy' is not ready")
    latency.end_waits()
    await finished(api, operation)


async def test_a_copy_knows_how_much_it_stores(api: Client, vm: Any) -> None:
    assert vm
    await finished(api, await api.call("disks.createSnapshot", {"name": "s"}, disk="vm"))
    snapshot = await api.call("snapshots.get", snapshot="s")
    size = str(len("at the request"))
    assert (snapshot["storageBytes"], snapshot["creationSizeBytes"]) == (size, size)
    body = {"name": "i", "sourceSnapshot": "global/snapshots/s"}
    await finished(api, await api.call("images.insert", body))
    assert (await api.call("images.get", image="i"))["archiveSizeBytes"] == size
