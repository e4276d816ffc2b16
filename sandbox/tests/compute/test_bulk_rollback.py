# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances that are made in bulk are taken back together, whatever ends the sandbox meanwhile.

https://cloud.google.com/compute/docs/reference/rest/v1/instances/bulkInsert (minCount).
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cloudspill_sandbox.compute.latency import Instant
from cloudspill_sandbox.compute.names import relative
from cloudspill_sandbox.network.memory import MemoryNetwork
from cloudspill_sandbox.runtime.memory import MemoryRuntime

from .conftest import Client, MakeCloud, eventually
from .test_bulk_insert import StockOut, bulk, group_of, listed, names_of
from .test_restart import ClientOf, Stuck, kill


@pytest.mark.parametrize(("free", "running"), [(0, 0), (1, 0), (3, 0), (4, 1)])
async def test_what_a_kill_cut_short_is_all_removed(
    make_cloud: MakeCloud,
    client_of: ClientOf,
    runtime: MemoryRuntime,
    network: MemoryNetwork,
    tmp_path: Path,
    free: int,
    running: int,
) -> None:
    first = client_of(await make_cloud(tmp_path / "store", Stuck(free)))
    operation = await first.call("instances.bulkInsert", bulk(2))
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

    async def before_step(self, step: str, target: str) -> None:
        if step.startswith("instances.insert") and target.endswith("vm-02"):
            await self.told.wait()
        if step.startswith("instances.delete"):
            await self.deletions.wait()
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
