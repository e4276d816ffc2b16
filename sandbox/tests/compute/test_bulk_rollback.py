# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances that are made in bulk are taken back together, whatever ends the sandbox meanwhile.

https://cloud.google.com/compute/docs/reference/rest/v1/instances/bulkInsert (minCount).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cloudspill_sandbox.compute.latency import Instant
from cloudspill_sandbox.compute.names import relative
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.network.memory import MemoryNetwork
from cloudspill_sandbox.runtime.memory import MemoryRuntime

from .conftest import UBUNTU, ZONE, Client, MakeCloud, eventually, idle
from .test_bulk_insert import PROPERTIES, StockOut, bulk, group_of, listed, names_of
from .test_restart import ClientOf, Stuck, kill


@pytest.fixture
def shortage() -> StockOut:
    return StockOut()


@pytest.fixture
async def scarce(make_cloud: MakeCloud, client_of: ClientOf, shortage: StockOut) -> Client:
    return client_of(await make_cloud(faults=shortage))


KEPT = {"boot": True, "initializeParams": {"sourceImage": UBUNTU}}
"""A boot disk that would stay without its instance: autoDelete is false unless set."""


@pytest.mark.parametrize("disk", [KEPT, KEPT | {"autoDelete": True}])
@pytest.mark.parametrize(("free", "running"), [(0, 0), (1, 0), (3, 0), (4, 1)])
async def test_what_a_kill_cut_short_is_all_removed(
    make_cloud: MakeCloud,
    client_of: ClientOf,
    runtime: MemoryRuntime,
    network: MemoryNetwork,
    tmp_path: Path,
    free: int,
    running: int,
    disk: Document,
) -> None:
    first = client_of(await make_cloud(tmp_path / "store", Stuck(free)))
    properties = PROPERTIES | {"disks": [disk]}
    operation = await first.call("instances.bulkInsert", bulk(2, instanceProperties=properties))
    assert operation["status"] == "RUNNING"
    await eventually(lambda: len(runtime.running) == running)
    await kill(first.cloud)
    second = client_of(await make_cloud(tmp_path / "store"))
    assert await listed(second) == []
    assert (await second.call("disks.list"))["items"] == []
    assert (runtime.running, network.attached) == ({}, {})
    assert "leases" not in second.documents()
    ended = await second.call("zoneOperations.get", operation=operation["name"])
    assert ended["error"]["errors"][0]["code"] == "SERVICE_UNAVAILABLE"
    assert told(ended) == ("DONE", running, 2 - running, running)


async def test_a_kill_takes_back_instances_whose_operations_a_client_deleted(
    make_cloud: MakeCloud, client_of: ClientOf, runtime: MemoryRuntime, tmp_path: Path
) -> None:
    first = client_of(await make_cloud(tmp_path / "store", Stuck(4)))
    operation = await first.call("instances.bulkInsert", bulk(2))
    await eventually(lambda: len(runtime.running) == 1)
    (ended,) = [each for each in await group_of(first, operation) if each["status"] == "DONE"]
    await first.call("zoneOperations.delete", operation=ended["name"])
    await kill(first.cloud)
    second = client_of(await make_cloud(tmp_path / "store"))
    assert await listed(second) == []
    assert runtime.running == {}
    assert "bulkInserts" not in second.documents()


async def test_what_is_over_stays_whatever_is_killed_later(
    make_cloud: MakeCloud, client_of: ClientOf, tmp_path: Path
) -> None:
    first = client_of(await make_cloud(tmp_path / "store"))
    await first.done("instances.bulkInsert", bulk(2))
    assert "bulkInserts" not in first.documents()
    await kill(first.cloud)
    second = client_of(await make_cloud(tmp_path / "store"))
    assert names_of(await listed(second)) == ["vm-01", "vm-02"]


def told(operation: dict[str, Any]) -> tuple[str, int, int, int]:
    """Return what a bulkInsert's operation says: status, and how many came, failed, and went."""
    metadata = operation["instancesBulkInsertOperationMetadata"]
    (zone,) = metadata["perLocationStatus"].values()
    counts = [zone[f"{which}VmCount"] for which in ("created", "failedToCreate", "deleted")]
    return (zone["status"], *counts)


class LateStockOut(StockOut):
    """One creation finds no room, but hears of it only when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.names = {"vm-02"}
        self.told = asyncio.Event()
        self.deletions = asyncio.Event()
        self.held: str = ""
        self.let_go = asyncio.Event()

    async def before_step(self, step: str, target: str) -> None:
        if step.startswith("instances.insert") and target.endswith("vm-02"):
            await self.told.wait()
        if step.startswith("instances.delete"):
            await self.deletions.wait()
        if self.held and step.startswith(self.held):
            await self.let_go.wait()
        await super().before_step(step, target)


class Impatient(Instant):
    """A latency profile under which a reply does not wait for the work."""

    patience = 0.0


@pytest.fixture
def late() -> LateStockOut:
    return LateStockOut()


@pytest.fixture
async def rolling(make_cloud: MakeCloud, client_of: ClientOf, late: LateStockOut) -> Client:
    """A cloud with a bulkInsert of two that only has to hear that it must be taken back."""
    client = client_of(await make_cloud(latency=Impatient(), faults=late))
    await client.call("instances.bulkInsert", bulk(2))
    runtime = client.cloud.runtime
    assert isinstance(runtime, MemoryRuntime)
    await eventually(lambda: len(runtime.running) == 1)
    return client


async def test_the_operation_tells_how_far_it_is(rolling: Client, late: LateStockOut) -> None:
    """https://cloud.google.com/compute/docs/reference/rest/v1/zoneOperations: counts "so far"."""

    def so_far() -> tuple[str, int, int, int]:
        zone = "projects/cloudspill-sandbox/zones/us-west1-b"
        documents = rolling.cloud.store.children(f"{zone}/operations").values()
        (operation,) = [each for each in documents if each["operationType"] == "bulkInsert"]
        return told(operation)

    assert so_far() == ("CREATING", 1, 0, 0)
    late.told.set()
    await eventually(lambda: so_far() == ("ROLLING_BACK", 1, 1, 0))
    late.deletions.set()
    await eventually(lambda: so_far() == ("DONE", 1, 1, 1))


async def test_a_sandbox_that_stops_takes_back_the_rest_first(
    rolling: Client, late: LateStockOut
) -> None:
    late.deletions.set()
    stopping = asyncio.create_task(rolling.cloud.stop())
    await asyncio.sleep(0)
    late.told.set()
    await stopping
    assert await listed(rolling) == []
    assert (await rolling.call("disks.list"))["items"] == []
    assert (await rolling.refused("instances.bulkInsert", bulk(2))).status == 503


async def test_a_stop_abandons_what_was_begun_while_it_waited(
    rolling: Client, late: LateStockOut
) -> None:
    stopping = asyncio.create_task(rolling.cloud.operations.stop(grace=0.1))
    await asyncio.sleep(0)
    late.told.set()
    await stopping
    operations = (await rolling.call("zoneOperations.list"))["items"]
    assert "delete" in {each["operationType"] for each in operations}
    names = [relative(each["selfLink"]) for each in operations]
    assert not [name for name in names if rolling.cloud.operations.pending(name)]


async def test_what_it_made_goes_and_what_it_found_stays(
    scarce: Client, shortage: StockOut, runtime: MemoryRuntime
) -> None:
    """Whatever autoDelete says: all of the request's or nothing (minCount)."""
    await scarce.done("disks.insert", {"name": "data", "sizeGb": "10"})
    shared = {"source": "data", "mode": "READ_ONLY", "autoDelete": True}
    shortage.names = {"vm-02"}
    properties = PROPERTIES | {"disks": [KEPT, shared]}
    operation = await scarce.call("instances.bulkInsert", bulk(2, instanceProperties=properties))
    assert operation["error"]["errors"][0]["code"] == "VM_MIN_COUNT_NOT_REACHED"
    assert await listed(scarce) == []
    (data,) = (await scarce.call("disks.list"))["items"]
    assert (data["name"], data["status"], "users" in data) == ("data", "READY", False)
    assert len(runtime.volumes) == 2  # the image and the disk


async def taken_back_once_let_go(rolling: Client, late: LateStockOut) -> None:
    """Check that the roll-back leaves `vm-01` until a client's operation ends, and no longer."""
    late.told.set()
    await idle()
    assert names_of(await listed(rolling)) == ["vm-01"]
    late.let_go.set()
    await eventually(lambda: "bulkInserts" not in rolling.documents())
    assert await listed(rolling) == []


@pytest.mark.parametrize("method", ["attachDisk", "reset", "stop", "suspend"])
async def test_an_instance_that_a_client_is_at_is_taken_back_afterwards(
    rolling: Client, late: LateStockOut, runtime: MemoryRuntime, method: str
) -> None:
    late.deletions.set()
    await rolling.done("disks.insert", {"name": "data", "sizeGb": "10"})
    late.held = f"instances.{method}"
    body = {"source": f"zones/{ZONE}/disks/data"} if method == "attachDisk" else None
    await rolling.call(late.held, body, instance="vm-01")
    await taken_back_once_let_go(rolling, late)
    assert runtime.running == {}
    (data,) = (await rolling.call("disks.list"))["items"]
    assert (data["name"], "users" in data) == ("data", False)


async def test_a_disk_that_a_client_copies_is_taken_back_afterwards(
    rolling: Client, late: LateStockOut
) -> None:
    late.deletions.set()
    late.held = "disks.createSnapshot.freeze"
    await rolling.call("disks.createSnapshot", {"name": "s"}, disk="vm-01")
    await taken_back_once_let_go(rolling, late)
    assert (await rolling.call("snapshots.get", snapshot="s"))["status"] == "READY"


async def test_another_instance_of_the_name_is_not_taken_back(
    rolling: Client, late: LateStockOut, spec: Any
) -> None:
    late.deletions.set()
    await rolling.done("instances.delete", instance="vm-01")
    await rolling.done("instances.insert", spec("vm-01"))
    late.told.set()
    await eventually(lambda: "bulkInserts" not in rolling.documents())
    assert names_of(await listed(rolling)) == ["vm-01"]


@pytest.mark.parametrize("sign", ["ROLLING_BACK", "STOPPING"])
async def test_a_disk_that_is_full_for_a_moment_does_not_end_the_taking_back(
    scarce: Client, shortage: StockOut, monkeypatch: pytest.MonkeyPatch, sign: str
) -> None:
    store, full = scarce.cloud.store, [True]
    commit = store._commit

    def failing(writes: Mapping[str, Document | None]) -> None:
        if sign in str(writes) and full:
            full.pop()
            raise sqlite3.OperationalError("database or disk is full")
        commit(writes)

    monkeypatch.setattr(store, "_commit", failing)
    shortage.names = {"vm-02"}
    operation = await scarce.call("instances.bulkInsert", bulk(2))
    assert (full, operation["status"]) == ([], "DONE")
    assert operation["error"]["errors"][0]["code"] == "VM_MIN_COUNT_NOT_REACHED"
    assert await listed(scarce) == []
    assert "bulkInserts" not in scarce.documents()
