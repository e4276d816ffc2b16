# SPDX-License-Identifier: GPL-3.0-or-later
"""A thousand instances in memory; what they cost in time is in bench/scale.py."""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import Any

from cloudspill_sandbox.network.memory import MemoryNetwork
from cloudspill_sandbox.runtime.memory import MemoryRuntime

from .conftest import ZONE, Client

COUNT = 1000
NAMES = [f"vm-{number:04}" for number in range(COUNT)]
PORTIONS = [NAMES[start : start + 50] for start in range(0, COUNT, 50)]


async def make_all(api: Client, spec: Any) -> None:
    for some in PORTIONS:
        await asyncio.gather(*(api.done("instances.insert", spec(name)) for name in some))


async def delete_all(api: Client) -> None:
    for some in PORTIONS:
        await asyncio.gather(*(api.done("instances.delete", instance=name) for name in some))


async def pages(api: Client, method: str) -> list[dict[str, Any]]:
    found = [await api.call(method)]
    while token := found[-1].get("nextPageToken"):
        found.append(await api.call(method, pageToken=token))
    return found


async def test_a_thousand_instances_are_made_listed_and_deleted(
    api: Client, spec: Any, runtime: MemoryRuntime, network: MemoryNetwork
) -> None:
    await make_all(api, spec)
    listed = await pages(api, "instances.list")
    assert [len(page["items"]) for page in listed] == [500, 500]
    instances = [instance for page in listed for instance in page["items"]]
    assert [instance["name"] for instance in instances] == NAMES
    assert {instance["status"] for instance in instances} == {"RUNNING"}
    nics = [instance["networkInterfaces"][0] for instance in instances]
    assert len({nic["networkIP"] for nic in nics}) == COUNT
    assert len({nic["accessConfigs"][0]["natIP"] for nic in nics}) == COUNT
    everywhere = await pages(api, "instances.aggregatedList")
    found = [
        instance["name"]
        for page in everywhere
        for instance in page["items"][f"zones/{ZONE}"].get("instances", ())
    ]
    assert found == NAMES
    assert len(runtime.running) == len(network.attached) == COUNT
    await delete_all(api)
    assert (await api.call("instances.list"))["items"] == []
    assert (await api.call("disks.list"))["items"] == []
    assert (runtime.running, set(runtime.volumes), network.attached) == ({}, {"debian-12"}, {})


async def test_what_a_thousand_instances_took_is_given_back(api: Client, spec: Any) -> None:
    held = []
    for _ in range(3):  # what is kept of operations is full after the second
        await make_all(api, spec)
        await delete_all(api)
        gc.collect()
        held.append(sys.getallocatedblocks())
    assert held[2] - held[1] < COUNT / 2
