# SPDX-License-Identifier: GPL-3.0-or-later
"""An update that reaches the network while its instance is being deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.faults.interface import NoFaults
from cloudspill_sandbox.network.memory import MemoryNetwork

from .conftest import Client, Machines, MakeCloud, idle


class SlowVolumes(Machines):
    """Machines whose volumes go when they may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go = asyncio.Event()

    async def delete_volume(self, volume: str) -> None:
        await self.may_go.wait()
        await super().delete_volume(volume)


class LateUpdate(NoFaults):
    """Hooks by which an update begins when it may."""

    def __init__(self) -> None:
        self.may_begin = asyncio.Event()

    async def before_step(self, step: str, target: str) -> None:
        if step == "instances.update.apply":
            await self.may_begin.wait()


@pytest.fixture
def runtime() -> SlowVolumes:
    return SlowVolumes()


async def test_it_brings_nothing_of_the_instance_back(
    make_cloud: MakeCloud,
    client_of: Callable[[Cloud], Client],
    spec: Any,
    network: MemoryNetwork,
    runtime: SlowVolumes,
) -> None:
    update = LateUpdate()
    api = client_of(await make_cloud(faults=update))
    await api.done("instances.insert", spec())
    body = await api.instance() | {"canIpForward": True}
    updating = asyncio.create_task(api.done("instances.update", body, instance="vm"))
    await idle()
    deleting = asyncio.create_task(api.done("instances.delete", instance="vm"))
    await idle()
    assert (network.attached, deleting.done()) == ({}, False)  # removed, and not yet forgotten
    update.may_begin.set()
    await updating
    runtime.may_go.set()
    await deleting
    assert (network.attached, network.topology.nics) == ({}, ())
