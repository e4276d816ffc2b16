# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated host maintenance:
https://cloud.google.com/compute/docs/instances/simulating-host-maintenance."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.metadata_view import MetadataView
from cloudspill_sandbox.runtime.interface import MachineExit
from cloudspill_sandbox.runtime.memory import MemoryRuntime

from .conftest import Client, MakeCloud, eventually
from .test_restart import Stuck, kill

INSTANCE = "projects/cloudspill-sandbox/zones/us-west1-b/instances/vm"


def event(cloud: Cloud) -> str:
    """What the guest reads as instance/maintenance-event."""
    tree = MetadataView(cloud).tree("10.138.0.2")
    assert tree is not None
    return str(tree["instance"]["maintenanceEvent"])


async def simulated(api: Client) -> asyncio.Task[Any]:
    """Begin a maintenance; the call answers when it is over or has taken its patience."""
    call = asyncio.create_task(api.call("instances.simulateMaintenanceEvent", instance="vm"))
    await eventually(lambda: event(api.cloud) != "NONE")
    return call


def status(api: Client) -> str:
    return str((api.cloud.store.get(INSTANCE) or {}).get("status"))


async def by_system(api: Client) -> list[tuple[str, str]]:
    """(type, message) of the operations that nobody asked for."""
    listed = await api.call("zoneOperations.list", filter="user = system")
    return [(each["operationType"], each["statusMessage"]) for each in listed.get("items", [])]


async def test_an_instance_that_migrates_is_told_and_goes_on(
    api: Client, spec: Any, runtime: MemoryRuntime
) -> None:
    await api.done("instances.insert", spec())
    boots = list(runtime.boots)
    call = await simulated(api)
    assert event(api.cloud) == "MIGRATE_ON_HOST_MAINTENANCE"
    waiting = asyncio.create_task(MetadataView(api.cloud).changed("10.138.0.2"))
    await asyncio.sleep(0)
    api.cloud.clock.advance(60)
    operation = await call
    assert (operation["operationType"], operation["status"]) == ("simulateMaintenanceEvent", "DONE")
    assert "error" not in operation
    await waiting
    assert event(api.cloud) == "NONE"
    assert (await api.instance())["status"] == "RUNNING"
    assert (runtime.boots, await by_system(api)) == (boots, [])


@pytest.mark.parametrize("restart", [True, False])
async def test_an_instance_that_terminates_restarts_if_it_is_to(
    api: Client, spec: Any, runtime: MemoryRuntime, restart: bool
) -> None:
    policy = {"onHostMaintenance": "TERMINATE", "automaticRestart": restart}
    await api.done("instances.insert", spec(scheduling=policy))
    call = await simulated(api)
    assert event(api.cloud) == "TERMINATE_ON_HOST_MAINTENANCE"
    assert (await api.instance())["status"] == "RUNNING"
    api.cloud.clock.advance(60)
    operation = await call
    assert (operation["status"], "error" in operation) == ("DONE", False)
    assert (await api.instance())["status"] == ("RUNNING" if restart else "TERMINATED")
    assert len(runtime.boots) == (2 if restart else 1)
    assert event(api.cloud) == "NONE"
    types = {kind for kind, _ in await by_system(api)}
    terminated = {"compute.instances.terminateOnHostMaintenance"}
    assert types == terminated | ({"compute.instances.automaticRestart"} if restart else set())


async def test_an_instance_deleted_within_the_notice_stays_deleted(api: Client, spec: Any) -> None:
    policy = {"onHostMaintenance": "TERMINATE"}
    await api.done("instances.insert", spec(scheduling=policy))
    call = await simulated(api)
    await api.done("instances.delete", instance="vm")
    api.cloud.clock.advance(60)
    operation = await call
    assert (operation["status"], "error" in operation) == ("DONE", False)
    assert api.cloud.store.get(INSTANCE) is None


async def test_a_kill_within_the_notice_ends_the_maintenance(
    make_cloud: MakeCloud, client_of: Callable[[Cloud], Client], spec: Any, tmp_path: Path
) -> None:
    first = client_of(await make_cloud(tmp_path / "state.sqlite3"))
    await first.done("instances.insert", spec(scheduling={"onHostMaintenance": "TERMINATE"}))
    call = await simulated(first)
    await first.cloud.operations.stop(grace=0)
    await call
    second = client_of(await make_cloud(tmp_path / "state.sqlite3"))
    second.cloud.clock.advance(60)
    assert event(second.cloud) == "NONE"
    assert (await second.instance())["status"] == "RUNNING"


async def test_an_automatic_restart_that_a_kill_cut_short_says_that_it_is_off(
    make_cloud: MakeCloud, client_of: Callable[[Cloud], Client], spec: Any, tmp_path: Path
) -> None:
    first = client_of(await make_cloud(tmp_path / "state.sqlite3", Stuck(6)))
    await first.call("instances.insert", spec(scheduling={"onHostMaintenance": "TERMINATE"}))
    await eventually(lambda: status(first) == "RUNNING")
    call = await simulated(first)
    first.cloud.clock.advance(60)
    await eventually(lambda: status(first) == "STAGING")
    await kill(first.cloud)
    await call
    second = client_of(await make_cloud(tmp_path / "state.sqlite3"))
    assert (await second.instance())["status"] == "TERMINATED"
    wanted = "operationType=compute.instances.automaticRestart"
    (restart,) = (await second.call("zoneOperations.list", filter=wanted))["items"]
    assert "the instance is off" in restart["error"]["errors"][0]["message"]


async def test_what_is_off_has_no_host_to_maintain(api: Client, spec: Any) -> None:
    await api.done("instances.insert", spec())
    await api.done("instances.stop", instance="vm")
    refusal = await api.refused("instances.simulateMaintenanceEvent", instance="vm")
    assert (refusal.status, refusal.reason) == (400, "resourceNotReady")


async def test_a_guest_that_shuts_itself_down_is_an_operation_of_the_system(
    api: Client, spec: Any, runtime: MemoryRuntime
) -> None:
    await api.done("instances.insert", spec())
    runtime.guest_power_off((await api.instance())["id"])
    assert await by_system(api) == [
        ("compute.instances.guestTerminate", "Instance terminated by guest OS shutdown.")
    ]
    await api.done("instances.start", instance="vm")
    runtime.guest_power_off((await api.instance())["id"], MachineExit.CRASH)
    assert len(await by_system(api)) == 1


async def test_the_maintenance_of_an_earlier_life_leaves_a_later_one_alone(
    api: Client, spec: Any, runtime: MemoryRuntime
) -> None:
    body = spec(scheduling={"onHostMaintenance": "TERMINATE"})
    await api.done("instances.insert", body)
    call = await simulated(api)
    await api.done("instances.delete", instance="vm")
    await api.done("instances.insert", body)
    boots = list(runtime.boots)
    api.cloud.clock.advance(60)
    operation = await call
    assert (operation["status"], "error" in operation) == ("DONE", False)
    assert (await api.instance())["status"] == "RUNNING"
    assert (runtime.boots, await by_system(api)) == (boots, [])


async def test_a_stop_of_the_sandbox_does_not_wait_for_an_announced_maintenance(
    api: Client, spec: Any
) -> None:
    await api.done("instances.insert", spec())
    call = await simulated(api)
    begun = asyncio.get_running_loop().time()
    await api.cloud.stop()
    assert asyncio.get_running_loop().time() - begun < 1
    assert (await call)["status"] == "DONE"
