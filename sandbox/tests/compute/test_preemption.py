# SPDX-License-Identifier: GPL-3.0-or-later
"""Preemption: https://cloud.google.com/compute/docs/instances/spot#preemption-process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.metadata_view import MetadataView
from cloudspill_sandbox.compute.preemption import preempt
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.runtime.memory import MemoryRuntime

from .conftest import Client, MakeCloud, eventually

ClientOf = Callable[[Cloud], Client]
ADDRESS = "10.138.0.2"
INSTANCES = "projects/cloudspill-sandbox/zones/us-west1-b/instances"


class Graceful(MemoryRuntime):
    """Machines that keep running until a test lets them end, and note how long they were given."""

    def __init__(self) -> None:
        super().__init__()
        self.graces: list[float] = []
        self.may_end = asyncio.Event()

    async def shut_down(self, machine: str, grace: float) -> None:
        self.graces.append(grace)
        await self.may_end.wait()
        await super().shut_down(machine, grace)


@pytest.fixture
def runtime() -> Graceful:
    return Graceful()


def preempted(cloud: Cloud) -> str:
    """What the guest reads as instance/preempted."""
    tree = MetadataView(cloud).tree(ADDRESS)
    assert tree is not None
    return str(tree["instance"]["preempted"])


def status(cloud: Cloud, name: str = "vm") -> str | None:
    """Status of an instance; None when it is gone."""
    document = cloud.store.get(f"{INSTANCES}/{name}")
    return None if document is None else str(document["status"])


def spot(action: str = "STOP", **fields: Any) -> dict[str, Any]:
    """Scheduling of a Spot VM."""
    asked = {"provisioningModel": "SPOT", "instanceTerminationAction": action}
    return {"scheduling": asked | fields}


@pytest.mark.parametrize("action", ["STOP", "DELETE"])
async def test_the_guest_is_told_has_30_seconds_and_ends_as_its_scheduling_says(
    api: Client, spec: Any, runtime: Graceful, action: str
) -> None:
    await api.done("instances.insert", spec(**spot(action)))
    identity = (await api.instance())["id"]
    waiting = asyncio.create_task(MetadataView(api.cloud).changed(ADDRESS))
    await asyncio.sleep(0)
    assert (preempted(api.cloud), waiting.done()) == ("FALSE", False)
    preempt(api.cloud, f"{INSTANCES}/vm")
    await waiting
    assert preempted(api.cloud) == "TRUE"
    await eventually(lambda: runtime.graces)
    assert runtime.graces == [30.0]
    assert (status(api.cloud), runtime.is_running(identity)) == ("STOPPING", True)
    (operation,) = (await api.call("zoneOperations.list", filter="user = system"))["items"]
    assert operation["operationType"] == "compute.instances.preempted"
    assert operation["statusMessage"] == "Instance was preempted."
    assert (operation["status"], operation["targetId"]) == ("RUNNING", identity)
    runtime.may_end.set()
    await eventually(lambda: status(api.cloud) == ("TERMINATED" if action == "STOP" else None))
    assert not runtime.is_running(identity)
    disks = (await api.call("disks.list")).get("items", [])
    assert len(disks) == (1 if action == "STOP" else 0)
    ended = await api.call("zoneOperations.wait", operation=operation["name"])
    assert (ended["status"], "error" in ended) == ("DONE", False)


async def test_a_start_after_a_preemption_is_a_new_life(
    api: Client, spec: Any, runtime: Graceful
) -> None:
    runtime.may_end.set()
    await api.done("instances.insert", spec(**spot()))
    preempt(api.cloud, f"{INSTANCES}/vm")
    await eventually(lambda: status(api.cloud) == "TERMINATED")
    await api.done("instances.start", instance="vm")
    assert preempted(api.cloud) == "FALSE"
    for _ in range(100):
        await asyncio.sleep(0)
    assert status(api.cloud) == "RUNNING"


async def test_a_longer_notice_comes_before_the_power_button(
    api: Client, spec: Any, runtime: Graceful
) -> None:
    runtime.may_end.set()
    await api.done("instances.insert", spec(**spot(preemptionNoticeDuration={"seconds": "120"})))
    preempt(api.cloud, f"{INSTANCES}/vm")
    api.cloud.clock.advance(119)
    preempt(api.cloud, f"{INSTANCES}/vm")  # goes on, and does not begin anew
    for _ in range(100):
        await asyncio.sleep(0)
    assert (preempted(api.cloud), status(api.cloud), runtime.graces) == ("TRUE", "RUNNING", [])
    api.cloud.clock.advance(1)
    await eventually(lambda: status(api.cloud) == "TERMINATED")


async def test_who_stops_within_the_notice_is_not_preempted_any_more(
    api: Client, spec: Any, runtime: Graceful
) -> None:
    runtime.may_end.set()
    await api.done("instances.insert", spec(**spot(preemptionNoticeDuration={"seconds": "120"})))
    preempt(api.cloud, f"{INSTANCES}/vm")
    await api.done("instances.stop", instance="vm")
    await api.done("instances.start", instance="vm")
    api.cloud.clock.advance(120)
    for _ in range(100):
        await asyncio.sleep(0)
    assert (preempted(api.cloud), status(api.cloud)) == ("FALSE", "RUNNING")


async def test_a_kill_within_the_notice_does_not_save_the_instance(
    make_cloud: MakeCloud, client_of: ClientOf, spec: Any, runtime: Graceful, tmp_path: Path
) -> None:
    runtime.may_end.set()
    first = client_of(await make_cloud(tmp_path / "state.sqlite3"))
    notice = spot("DELETE", preemptionNoticeDuration={"seconds": "120"})
    await first.done("instances.insert", spec(**notice))
    preempt(first.cloud, f"{INSTANCES}/vm")
    await first.cloud.operations.stop(grace=0)
    second = client_of(await make_cloud(tmp_path / "state.sqlite3"))
    assert (status(second.cloud), preempted(second.cloud)) == ("RUNNING", "TRUE")
    second.cloud.clock.advance(120)
    await eventually(lambda: status(second.cloud) is None)


@pytest.mark.parametrize("action", ["STOP", "DELETE"])
async def test_a_kill_during_a_preemption_is_finished_by_the_next_start(
    make_cloud: MakeCloud,
    client_of: ClientOf,
    spec: Any,
    runtime: Graceful,
    tmp_path: Path,
    action: str,
) -> None:
    first = client_of(await make_cloud(tmp_path / "state.sqlite3"))
    await first.done("instances.insert", spec(**spot(action)))
    preempt(first.cloud, f"{INSTANCES}/vm")
    await eventually(lambda: runtime.graces)
    await first.cloud.operations.stop(grace=0)
    runtime.may_end.set()
    second = client_of(await make_cloud(tmp_path / "state.sqlite3"))
    assert status(second.cloud) == ("TERMINATED" if action == "STOP" else None)
    assert len(runtime.volumes) == (2 if action == "STOP" else 1)
    (operation,) = (await second.call("zoneOperations.list", filter="user = system"))["items"]
    assert operation["status"] == "DONE"


@pytest.mark.parametrize("action", ["STOP", "DELETE"])
async def test_a_kill_during_the_end_of_a_run_time_is_finished_by_the_next_start(
    make_cloud: MakeCloud,
    client_of: ClientOf,
    spec: Any,
    runtime: Graceful,
    tmp_path: Path,
    action: str,
) -> None:
    first = client_of(await make_cloud(tmp_path / "state.sqlite3"))
    limit = {"maxRunDuration": {"seconds": "60"}, "instanceTerminationAction": action}
    await first.done("instances.insert", spec(scheduling=limit))
    first.cloud.clock.advance(60)
    await eventually(lambda: runtime.graces)
    assert runtime.graces == [90.0]
    await first.cloud.operations.stop(grace=0)
    runtime.may_end.set()
    second = client_of(await make_cloud(tmp_path / "state.sqlite3"))
    assert status(second.cloud) == ("TERMINATED" if action == "STOP" else None)
    assert len(runtime.volumes) == (2 if action == "STOP" else 1)


async def test_the_sooner_of_preemption_and_time_limit_counts(
    api: Client, spec: Any, runtime: Graceful
) -> None:
    runtime.may_end.set()
    limit: dict[str, Any] = {
        "maxRunDuration": {"seconds": "60"},
        "preemptionNoticeDuration": {"seconds": "120"},
    }
    await api.done("instances.insert", spec(**spot(**limit)))
    preempt(api.cloud, f"{INSTANCES}/vm")
    api.cloud.clock.advance(60)
    await eventually(lambda: status(api.cloud) == "TERMINATED")
    (operation,) = (await api.call("zoneOperations.list", filter="user = system"))["items"]
    assert operation["operationType"] == "compute.instances.deferredStop"


@pytest.mark.parametrize(
    ("scheduling", "reason", "words"),
    [
        ({}, "invalidResourceUsage", "neither a Spot VM nor preemptible"),
        ({"provisioningModel": "SPOT"}, "resourceNotReady", "is not ready"),
        ({"preemptible": True}, "resourceNotReady", "is not ready"),
    ],
)
async def test_what_cannot_be_preempted_is_refused(
    api: Client,
    spec: Any,
    runtime: Graceful,
    scheduling: dict[str, Any],
    reason: str,
    words: str,
) -> None:
    runtime.may_end.set()
    await api.done("instances.insert", spec(scheduling=scheduling))
    await api.done("instances.stop", instance="vm")
    before = api.documents()
    with pytest.raises(ApiError, match=words) as refused:
        preempt(api.cloud, f"{INSTANCES}/vm")
    assert (refused.value.status, refused.value.reason) == (400, reason)
    with pytest.raises(ApiError, match="was not found"):
        preempt(api.cloud, f"{INSTANCES}/other")
    assert api.documents() == before


@pytest.mark.parametrize(
    ("scheduling", "words"),
    [
        ({"preemptionNoticeDuration": {"seconds": "30"}}, "Supported for Spot VMs only"),
        (
            {"provisioningModel": "SPOT", "preemptionNoticeDuration": {"seconds": "3601"}},
            "Must be between 0 and 3600",
        ),
        ({"preemptible": True, "automaticRestart": True}, "when AutomaticRestart is true"),
        (
            {"provisioningModel": "SPOT", "onHostMaintenance": "MIGRATE"},
            "when OnHostMaintenance isn't TERMINATE",
        ),
    ],
)
async def test_scheduling_that_contradicts_itself_is_refused(
    api: Client, spec: Any, scheduling: dict[str, Any], words: str
) -> None:
    refusal = await api.refused("instances.insert", spec(scheduling=scheduling))
    assert (refusal.status, refusal.reason) == (400, "invalid")
    assert words in refusal.message


async def test_no_guest_shutdown_when_it_is_to_be_skipped(
    api: Client, spec: Any, runtime: Graceful
) -> None:
    runtime.may_end.set()
    await api.done("instances.insert", spec(**spot(skipGuestOsShutdown=True)))
    preempt(api.cloud, f"{INSTANCES}/vm")
    await eventually(lambda: status(api.cloud) == "TERMINATED")
    assert runtime.graces == [0.0]


async def test_simulated_maintenance_preempts_a_spot_instance(
    api: Client, spec: Any, runtime: Graceful
) -> None:
    runtime.may_end.set()
    await api.done("instances.insert", spec(**spot()))
    await api.done("instances.simulateMaintenanceEvent", instance="vm")
    assert preempted(api.cloud) == "TRUE"
    await eventually(lambda: status(api.cloud) == "TERMINATED")
    (operation,) = (await api.call("zoneOperations.list", filter="user = system"))["items"]
    assert operation["operationType"] == "compute.instances.preempted"
