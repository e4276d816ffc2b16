# SPDX-License-Identifier: GPL-3.0-or-later
"""Many bulkInserts at once, with creations that fail, ended at any moment: all of each or none.

https://cloud.google.com/compute/docs/reference/rest/v1/instances/bulkInsert (minCount).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path
from typing import Any

import pytest

from cloudspill_sandbox.compute import names
from cloudspill_sandbox.compute.latency import Gce
from cloudspill_sandbox.compute.volumes import volume_of
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.faults.interface import NoFaults
from cloudspill_sandbox.network.memory import MemoryNetwork
from cloudspill_sandbox.runtime.memory import MemoryRuntime

from .conftest import ZONE, Client, MakeCloud
from .test_bulk_insert import bulk
from .test_restart import ClientOf, kill

ZONAL = f"projects/cloudspill-sandbox/zones/{ZONE}"
REQUESTS, INSTANCES = 4, 3


class FailingCreations(NoFaults):
    """Now and then an instance cannot be made."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice

    async def before_step(self, step: str, target: str) -> None:
        if step.startswith("instances.insert") and self._dice.random() < 0.08:
            raise ApiError(503, "ZONE_RESOURCE_POOL_EXHAUSTED", f"no room for {target}")


class Requests:
    """Clients that ask for instances in bulk, and one that tidies operations away.

    Attributes:
        asked: what each request's operation was, and which instances (ids) it was to make.
    """

    def __init__(self, api: Client, dice: random.Random) -> None:
        self._api = api
        self._dice = dice
        self.asked: dict[str, set[str]] = {}

    async def ask(self, number: int) -> None:
        """Ask for instances, and note what of it must stay together."""
        body = bulk(INSTANCES, namePattern=f"vm{number}-#")
        operation = await self._api.call("instances.bulkInsert", body)
        group = operation["operationGroupId"]
        children = await self._api.call("zoneOperations.list", filter=f'operationGroupId="{group}"')
        made = {each.get("targetId") for each in children["items"]}
        self.asked[operation["name"]] = made - {None}

    async def tidy(self) -> None:
        """Delete operations that have ended."""
        while True:
            await asyncio.sleep(0)
            ended = (await self._api.call("zoneOperations.list", filter="status=DONE"))["items"]
            for each in ended:
                if each["operationType"] != "bulkInsert" and self._dice.random() < 0.3:
                    with contextlib.suppress(ApiError):
                        await self._api.call("zoneOperations.delete", operation=each["name"])


@pytest.mark.parametrize("seed", range(16))
async def test_all_of_each_or_none(
    make_cloud: MakeCloud,
    client_of: ClientOf,
    runtime: MemoryRuntime,
    network: MemoryNetwork,
    tmp_path: Path,
    seed: int,
) -> None:
    dice = random.Random(seed)

    async def sleep(_: float) -> None:
        for _ in range(dice.randrange(30)):
            await asyncio.sleep(0)

    latency, faults = Gce(seed, sleep), FailingCreations(dice)
    first = client_of(await make_cloud(tmp_path / "store", latency, faults))
    requests = Requests(first, dice)
    tidying = asyncio.create_task(requests.tidy())
    await asyncio.gather(*map(requests.ask, range(REQUESTS)))
    for _ in range(dice.randrange(150)):
        await asyncio.sleep(0)
    tidying.cancel()
    await asyncio.gather(tidying, return_exceptions=True)
    await (kill(first.cloud) if seed % 2 else first.cloud.stop())
    second = client_of(await make_cloud(tmp_path / "store"))
    await _check(second, requests.asked, runtime, network)


async def _check(
    api: Client, asked: dict[str, set[str]], runtime: MemoryRuntime, network: MemoryNetwork
) -> None:
    documents = api.documents()
    instances: dict[str, Any] = documents.get(f"{ZONAL}/instances", {})
    here = {each["id"] for each in instances.values()}
    for name, made in asked.items():
        operation = await api.call("zoneOperations.get", operation=name)
        assert operation["status"] == "DONE"
        assert here & made == (set() if "error" in operation else made)
    disks: dict[str, Any] = documents.get(f"{ZONAL}/disks", {})
    assert disks.keys() == instances.keys()
    assert {each["status"] for each in instances.values()} <= {"RUNNING"}
    assert runtime.running.keys() == here
    assert {*runtime.volumes} == {"debian-12", *map(volume_of, disks.values())}
    interfaces = [each for vm in instances.values() for each in vm["networkInterfaces"]]
    assert network.attached.keys() == {each["networkIP"] for each in interfaces}
    assert "bulkInserts" not in documents
    assert {names.last(each) for each in documents} & {"requests"} == set()
