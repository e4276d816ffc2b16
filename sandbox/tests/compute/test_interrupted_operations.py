# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operation that a kill cut short says of its target, and that it is so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cloudspill_sandbox.runtime.interface import MachineError

from .conftest import Machines, MakeCloud
from .test_restart import ClientOf, Stuck, kill


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite3"


class Hotplug(Machines):
    """Machines that tell which disks came and went; those that are stuck do neither."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.stuck: set[str] = set()

    async def plug(self, machine: str, device: str, volume: str, *, read_only: bool) -> None:
        self._call("plug", device)
        await super().plug(machine, device, volume, read_only=read_only)

    async def unplug(self, machine: str, device: str) -> None:
        self._call("unplug", device)
        await super().unplug(machine, device)

    def _call(self, what: str, device: str) -> None:
        self.calls.append(f"{what} {device}")
        if device in self.stuck:
            raise MachineError(f"{device} is stuck")


@pytest.fixture
def runtime() -> Hotplug:
    return Hotplug()


@dataclass(frozen=True)
class Cut:
    """A life of the sandbox that ends while the disk `data` is attached or detached.

    Attributes:
        operation: what was cut short.
        machine: the instance's, by its id.
    """

    operation: str
    machine: str


@pytest.fixture
def cut_short(
    make_cloud: MakeCloud, client_of: ClientOf, spec: Any, runtime: Hotplug, database: Path
) -> Callable[[str, bool], Awaitable[Cut]]:
    """End a life in a method; the machine goes on, and `has` the disk or not."""

    async def cut(method: str, has: bool) -> Cut:
        first = client_of(await make_cloud(database))
        await first.done("instances.insert", spec())
        for name in ("data", "fine"):
            await first.done("disks.insert", {"name": name})
            await first.done("instances.attachDisk", _attached(name), instance="vm")
        machine = runtime.running[(await first.instance())["id"]]
        if method == "attachDisk":
            await first.done("instances.detachDisk", instance="vm", deviceName="data")
        await kill(first.cloud)
        second = client_of(await make_cloud(database, Stuck()))
        if method == "attachDisk":
            operation = await second.call("instances.attachDisk", _attached("data"), instance="vm")
        else:
            operation = await second.call("instances.detachDisk", instance="vm", deviceName="data")
        assert operation["status"] == "RUNNING"
        await kill(second.cloud)
        runtime.running[machine.id] = machine if has else machine.unplugged("data")
        runtime.calls.clear()
        return Cut(operation["name"], machine.id)

    return cut


def _attached(name: str) -> dict[str, str]:
    return {"source": f"zones/us-west1-b/disks/{name}", "deviceName": name}


@pytest.mark.parametrize("method", ["attachDisk", "detachDisk"])
@pytest.mark.parametrize("has", [True, False])
async def test_a_disk_comes_or_goes_after_all_and_others_are_left_alone(
    make_cloud: MakeCloud,
    client_of: ClientOf,
    runtime: Hotplug,
    database: Path,
    cut_short: Callable[[str, bool], Awaitable[Cut]],
    method: str,
    has: bool,
) -> None:
    cut = await cut_short(method, has)
    third = client_of(await make_cloud(database))
    ended = await third.call("zoneOperations.get", operation=cut.operation)
    assert (ended["status"], "error" in ended) == ("DONE", False)
    left = {"fine", "data"} if method == "attachDisk" else {"fine"}
    assert {disk["deviceName"] for disk in (await third.instance())["disks"][1:]} == left
    assert {device for device, _ in runtime.running[cut.machine].data_volumes} == left
    assert runtime.calls == [{"attachDisk": "plug data", "detachDisk": "unplug data"}[method]]
    await third.done("instances.stop", instance="vm")


@pytest.mark.parametrize("method", ["attachDisk", "detachDisk"])
async def test_a_disk_that_cannot_come_or_go_after_all_is_where_it_was(
    make_cloud: MakeCloud,
    client_of: ClientOf,
    runtime: Hotplug,
    database: Path,
    cut_short: Callable[[str, bool], Awaitable[Cut]],
    method: str,
) -> None:
    cut = await cut_short(method, method == "detachDisk")
    runtime.stuck.add("data")
    third = client_of(await make_cloud(database))
    runtime.stuck.clear()
    ended = await third.call("zoneOperations.get", operation=cut.operation)
    assert "nothing was changed" in ended["error"]["errors"][0]["message"]
    left = {"fine", "data"} if method == "detachDisk" else {"fine"}
    assert {disk["deviceName"] for disk in (await third.instance())["disks"][1:]} == left
    assert {device for device, _ in runtime.running[cut.machine].data_volumes} == left
    if method == "attachDisk":
        await third.done("disks.delete", disk="data")
    else:
        await third.done("instances.detachDisk", instance="vm", deviceName="data")


async def test_a_disk_whose_growth_was_cut_short_says_that_it_did_not_grow(
    make_cloud: MakeCloud, client_of: ClientOf, database: Path
) -> None:
    first = client_of(await make_cloud(database))
    await first.done("disks.insert", {"name": "d", "sizeGb": "10"})
    await first.cloud.stop()
    second = client_of(await make_cloud(database, Stuck()))
    operation = await second.call("disks.resize", {"sizeGb": "20"}, disk="d")
    await kill(second.cloud)
    third = client_of(await make_cloud(database))
    ended = await third.call("zoneOperations.get", operation=operation["name"])
    assert "nothing was changed" in ended["error"]["errors"][0]["message"]
    assert (await third.call("disks.get", disk="d"))["sizeGb"] == "10"


BEFORE = {"start": "stop", "resume": "suspend"}


@pytest.mark.parametrize("method", ["start", "reset", "suspend", "resume"])
async def test_what_was_to_leave_it_on_and_was_cut_short_says_that_it_is_off(
    make_cloud: MakeCloud,
    client_of: ClientOf,
    spec: Any,
    database: Path,
    method: str,
) -> None:
    first = client_of(await make_cloud(database))
    await first.done("instances.insert", spec())
    if method in {"start", "resume"}:
        await first.done(f"instances.{BEFORE[method]}", instance="vm")
    await first.cloud.stop()
    second = client_of(await make_cloud(database, Stuck()))
    operation = await second.call(f"instances.{method}", instance="vm")
    await kill(second.cloud)
    third = client_of(await make_cloud(database))
    ended = await third.call("zoneOperations.get", operation=operation["name"])
    message = ended["error"]["errors"][0]["message"]
    assert "the instance is off" in message
    assert "removed" not in message
    assert (await third.instance())["status"] == "TERMINATED"


@pytest.mark.parametrize("kind", ["image", "snapshot"])
async def test_a_deletion_cut_short_leaves_no_link_to_what_it_deleted(
    make_cloud: MakeCloud, client_of: ClientOf, database: Path, kind: str
) -> None:
    """https://cloud.google.com/compute/docs/reference/rest/v1/disks (sourceImage)"""
    first = client_of(await make_cloud(database))
    await first.done("disks.insert", {"name": "d"})
    if kind == "image":
        await first.done("images.insert", {"name": "x", "sourceDisk": "zones/us-west1-b/disks/d"})
    else:
        await first.done("disks.createSnapshot", {"name": "x"}, disk="d")
    link = f"source{kind.capitalize()}"
    await first.done("disks.insert", {"name": "copy", link: f"global/{kind}s/x"})
    await first.cloud.stop()
    second = client_of(await make_cloud(database, Stuck()))
    operation = await second.call(f"{kind}s.delete", **{kind: "x"})
    await kill(second.cloud)
    third = client_of(await make_cloud(database))
    ended = await third.call("globalOperations.get", operation=operation["name"])
    assert (ended["status"], "error" in ended) == ("DONE", False)
    assert (await third.refused(f"{kind}s.get", **{kind: "x"})).status == 404
    copy = await third.call("disks.get", disk="copy")
    assert (link in copy, f"{link}Id" in copy) == (False, True)
