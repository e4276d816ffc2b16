# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operation that a kill cut short says of its target, and that it is so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cloudspill_sandbox.runtime.memory import MemoryRuntime

from .conftest import MakeCloud
from .test_restart import ClientOf, Stuck, kill


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite3"


@pytest.mark.parametrize("method", ["attachDisk", "detachDisk"])
@pytest.mark.parametrize("plugged", [True, False])
async def test_a_disk_that_came_or_went_is_there_as_the_document_says(
    make_cloud: MakeCloud,
    client_of: ClientOf,
    spec: Any,
    runtime: MemoryRuntime,
    database: Path,
    method: str,
    plugged: bool,
) -> None:
    first = client_of(await make_cloud(database))
    await first.done("instances.insert", spec())
    await first.done("disks.insert", {"name": "data"})
    disk = {"source": "zones/us-west1-b/disks/data", "deviceName": "data"}
    await first.done("instances.attachDisk", disk, instance="vm")
    machine = runtime.running[(await first.instance())["id"]]
    if method == "attachDisk":
        await first.done("instances.detachDisk", instance="vm", deviceName="data")
    await kill(first.cloud)
    second = client_of(await make_cloud(database, Stuck()))
    if method == "attachDisk":
        operation = await second.call("instances.attachDisk", disk, instance="vm")
    else:
        operation = await second.call("instances.detachDisk", instance="vm", deviceName="data")
    assert operation["status"] == "RUNNING"
    await kill(second.cloud)
    runtime.running[machine.id] = machine if plugged else machine.unplugged("data")
    third = client_of(await make_cloud(database))
    ended = await third.call("zoneOperations.get", operation=operation["name"])
    if method == "detachDisk":
        assert "nothing was changed" in ended["error"]["errors"][0]["message"]
    else:
        assert "error" not in ended
    assert [each["deviceName"] for each in (await third.instance())["disks"]][1:] == ["data"]
    assert runtime.running[machine.id] == machine
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
