# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances that are suspended and go on.

https://cloud.google.com/compute/docs/instances/suspend-resume-instance and the sentences of
https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-suspend-resume.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.network.memory import MemoryNetwork
from cloudspill_sandbox.runtime.interface import MachineError
from cloudspill_sandbox.runtime.memory import MemoryRuntime

from .conftest import Client

MakeCloud = Callable[..., Awaitable[Cloud]]


@pytest.fixture(autouse=True)
async def vm(api: Client, spec: Any) -> dict[str, Any]:
    await api.done("instances.insert", spec())
    return await api.instance()


async def test_a_suspended_instance_stands_still_and_goes_on(
    api: Client, runtime: MemoryRuntime, vm: dict[str, Any]
) -> None:
    await api.done("instances.suspend", instance="vm")
    suspended = await api.instance()
    assert suspended["status"] == "SUSPENDED"
    assert suspended["lastSuspendedTimestamp"]
    assert vm["id"] in runtime.suspended
    await api.done("instances.resume", instance="vm")
    assert (await api.instance())["status"] == "RUNNING"
    assert vm["id"] not in runtime.suspended
    assert runtime.boots == [vm["id"]], "it did not boot again"


async def test_an_ephemeral_address_is_given_back_and_the_internal_one_stays(
    api: Client, network: MemoryNetwork, vm: dict[str, Any]
) -> None:
    await api.done("instances.suspend", instance="vm")
    assert [nic.external_ip for nic in network.topology.nics] == [None]
    await api.done("instances.resume", instance="vm")
    (before,), (after,) = vm["networkInterfaces"], (await api.instance())["networkInterfaces"]
    assert after["networkIP"] == before["networkIP"]
    assert after["accessConfigs"][0]["natIP"] != before["accessConfigs"][0]["natIP"]


async def test_a_limit_of_the_run_time_is_no_more_and_begins_anew(api: Client, spec: Any) -> None:
    limits = {"maxRunDuration": {"seconds": "600"}, "instanceTerminationAction": "STOP"}
    await api.done("instances.insert", spec("brief", scheduling=limits))
    await api.done("instances.suspend", instance="brief")
    assert "resourceStatus" not in await api.instance("brief")
    await api.done("instances.resume", instance="brief")
    assert "resourceStatus" in await api.instance("brief")


async def test_only_what_runs_is_suspended_and_only_what_is_suspended_resumes(api: Client) -> None:
    refusal = await api.refused("instances.resume", instance="vm")
    assert (refusal.status, refusal.reason) == (400, "UNSUPPORTED_OPERATION")
    await api.done("instances.suspend", instance="vm")
    again = await api.refused("instances.suspend", instance="vm")
    assert again.message == "You cannot suspend an already suspended instance."
    for method in ("start", "stop", "reset"):
        refusal = await api.refused(f"instances.{method}", instance="vm")
        assert refusal.reason == "resourceNotReady"
    await api.done("instances.resume", instance="vm")
    await api.done("instances.stop", instance="vm")
    off = await api.refused("instances.suspend", instance="vm")
    assert off.message == "You cannot suspend an instance that is stopped or terminated."


async def test_a_suspended_instance_can_be_deleted(
    api: Client, runtime: MemoryRuntime, vm: dict[str, Any]
) -> None:
    await api.done("instances.suspend", instance="vm")
    await api.done("instances.delete", instance="vm")
    assert not runtime.is_running(vm["id"])
    assert runtime.volumes.keys() == {"debian-12"}


async def test_what_cannot_be_suspended_runs_on(
    api: Client, runtime: MemoryRuntime, vm: dict[str, Any]
) -> None:
    runtime.failures["suspend"] = MachineError("no freezer")
    error = await api.failed("instances.suspend", instance="vm")
    assert "no freezer" in error["message"]
    after = await api.instance()
    assert (after["status"], after["networkInterfaces"]) == ("RUNNING", vm["networkInterfaces"])


async def test_what_cannot_resume_is_off(api: Client, runtime: MemoryRuntime) -> None:
    await api.done("instances.suspend", instance="vm")
    runtime.failures["resume"] = MachineError("frozen for ever")
    await api.failed("instances.resume", instance="vm")
    assert (await api.instance())["status"] == "TERMINATED"
    assert not runtime.running


async def test_memory_does_not_outlive_the_sandbox_but_the_suspension_does(
    make_cloud: MakeCloud,
    client_of: Callable[[Cloud], Client],
    runtime: MemoryRuntime,
    spec: Any,
    tmp_path: Path,
) -> None:
    first = await make_cloud(tmp_path / "cloud.db")
    await client_of(first).done("instances.insert", spec("kept"))
    await client_of(first).done("instances.suspend", instance="kept")
    await first.stop()
    first.store.close()
    runtime.boots.clear()
    second = client_of(await make_cloud(tmp_path / "cloud.db"))
    kept = await second.instance("kept")
    assert (kept["status"], runtime.boots) == ("SUSPENDED", [])
    await second.done("instances.resume", instance="kept")
    assert ((await second.instance("kept"))["status"], runtime.boots) == ("RUNNING", [kept["id"]])
