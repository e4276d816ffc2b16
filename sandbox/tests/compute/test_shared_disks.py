# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks that several instances read, while one of those goes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cloudspill_sandbox.runtime.interface import VolumeError
from cloudspill_sandbox.runtime.memory import MemoryRuntime

from .conftest import Client

SHARED = {"source": "zones/us-west1-b/disks/shared", "mode": "READ_ONLY", "autoDelete": True}


class SlowRuntime(MemoryRuntime):
    """Removes volumes when it is let to, as one with much on its disk does."""

    def __init__(self) -> None:
        super().__init__()
        self.removing = asyncio.Event()
        self.may_remove = asyncio.Event()

    async def delete_volume(self, volume: str) -> None:
        self.removing.set()
        await self.may_remove.wait()
        await super().delete_volume(volume)


@pytest.fixture
def runtime() -> SlowRuntime:
    """In the place of the one that needs no time."""
    return SlowRuntime()


async def deleting(api: Client, spec: Any, runtime: SlowRuntime) -> asyncio.Task[Any]:
    """Begin to delete an instance together with the disk that others might read."""
    await api.done("disks.insert", {"name": "shared"})
    body = spec("a")
    await api.done("instances.insert", body | {"disks": [*body["disks"], SHARED]})
    operation = await api.call("instances.delete", instance="a")
    ended = asyncio.create_task(api.call("zoneOperations.wait", operation=operation["name"]))
    await runtime.removing.wait()
    return ended


async def test_a_disk_that_is_being_deleted_cannot_be_attached(
    api: Client, spec: Any, runtime: SlowRuntime
) -> None:
    ended = await deleting(api, spec, runtime)
    body = spec("b")
    refusal = await api.refused("instances.insert", body | {"disks": [*body["disks"], SHARED]})
    assert refusal.reason == "resourceNotReady"
    runtime.may_remove.set()
    assert "error" not in await ended
    assert (await api.refused("disks.get", disk="shared")).status == 404


async def test_a_disk_whose_deletion_failed_can_be_used_again(
    api: Client, spec: Any, runtime: SlowRuntime
) -> None:
    ended = await deleting(api, spec, runtime)
    runtime.failures["delete_volume"] = VolumeError("busy")
    runtime.may_remove.set()
    assert "busy" in str((await ended)["error"])
    assert (await api.call("disks.get", disk="a"))["status"] == "READY"
    await api.done("instances.start", instance="a")
