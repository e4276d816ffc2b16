# SPDX-License-Identifier: GPL-3.0-or-later
"""Limited run times: https://cloud.google.com/compute/docs/instances/limit-vm-runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.documents import seconds, timestamp
from cloudspill_sandbox.network.memory import MemoryNetwork
from cloudspill_sandbox.runtime.memory import MemoryRuntime

from .conftest import NOW, Client, HostClock, MakeCloud, eventually, idle

ClientOf = Callable[[Cloud], Client]
DAY = 24 * 3600.0


def limited(action: str = "DELETE", run: int = 3600, **fields: Any) -> dict[str, Any]:
    """Scheduling with a run time of some seconds."""
    limit = {"maxRunDuration": {"seconds": str(run)}, "instanceTerminationAction": action}
    return {"scheduling": limit | fields}


async def end(instance: dict[str, Any]) -> float:
    """When a running instance says that it will end; 0.0 when it does not."""
    shown = instance.get("resourceStatus", {}).get("scheduling", {}).get("terminationTimestamp")
    return seconds(shown) if shown else 0.0


async def gone(api: Client, name: str = "vm") -> None:
    """Return when an instance is deleted."""
    await eventually(
        lambda: (
            name not in api.documents().get(f"{api.cloud.project}/zones/{api.zone}/instances", {})
        )
    )


async def off(api: Client, name: str = "vm") -> dict[str, Any]:
    """Return an instance when it is TERMINATED."""
    path = f"{api.cloud.project}/zones/{api.zone}/instances/{name}"
    await eventually(lambda: (api.cloud.store.get(path) or {}).get("status") == "TERMINATED")
    return await api.instance(name)


async def endings(api: Client) -> list[tuple[str, str, str]]:
    """(type, user, status) of the operations that nobody asked for."""
    operations = (await api.call("zoneOperations.list"))["items"]
    return [
        (each["operationType"], each["user"], each["status"])
        for each in operations
        if each["operationType"].startswith("compute.")
    ]


async def test_a_deletion_takes_the_disks_that_go_with_the_instance(
    api: Client, spec: Any, runtime: MemoryRuntime, network: MemoryNetwork
) -> None:
    await api.done("disks.insert", {"name": "data", "sizeGb": "10"})
    kept = {"source": f"zones/{api.zone}/disks/data", "autoDelete": False}
    body = spec(**limited())
    await api.done("instances.insert", body | {"disks": [*body["disks"], kept]})
    assert await end(await api.instance()) == NOW + 3600
    api.cloud.clock.advance(3599)
    await idle()
    assert (await api.instance())["status"] == "RUNNING"
    api.cloud.clock.advance(1)
    await gone(api)
    await eventually(lambda: not network.topology.nics)
    disks = (await api.call("disks.list"))["items"]
    assert [disk["name"] for disk in disks] == ["data"]
    assert "users" not in disks[0]
    assert runtime.running == {}
    assert await endings(api) == [("compute.instances.deferredDelete", "system", "DONE")]


async def test_a_stop_keeps_the_disk_and_clears_the_time(api: Client, spec: Any) -> None:
    await api.done("instances.insert", spec(**limited("STOP")))
    api.cloud.clock.advance(3600)
    stopped = await off(api)
    assert "resourceStatus" not in stopped
    assert [disk["name"] for disk in (await api.call("disks.list"))["items"]] == ["vm"]
    assert await endings(api) == [("compute.instances.deferredStop", "system", "DONE")]
    operation = (await api.call("zoneOperations.list", filter="user = system"))["items"][0]
    assert operation["targetLink"] == stopped["selfLink"]
    assert operation["targetId"] == stopped["id"]
    assert "run time is over" in operation["statusMessage"]


async def test_a_stop_by_hand_clears_the_time_and_a_start_sets_it_anew(
    api: Client, spec: Any
) -> None:
    await api.done("instances.insert", spec(**limited()))
    api.cloud.clock.advance(1000)
    await api.done("instances.stop", instance="vm")
    assert await end(await api.instance()) == 0.0
    api.cloud.clock.advance(10 * 3600)
    await idle()
    assert (await api.instance())["status"] == "TERMINATED", "what is off has no time to end"
    await api.done("instances.start", instance="vm")
    assert await end(await api.instance()) == api.cloud.clock() + 3600
    api.cloud.clock.advance(3600)
    await gone(api)


async def test_a_reset_does_not_prolong(api: Client, spec: Any) -> None:
    await api.done("instances.insert", spec(**limited()))
    api.cloud.clock.advance(1000)
    await api.done("instances.reset", instance="vm")
    assert await end(await api.instance()) == NOW + 3600
    api.cloud.clock.advance(2600)
    await gone(api)


async def test_a_termination_time_is_the_same_after_a_start_until_it_is_past(
    api: Client, spec: Any
) -> None:
    at = {"terminationTime": timestamp(NOW + 600), "instanceTerminationAction": "STOP"}
    await api.done("instances.insert", spec(scheduling=at))
    await api.done("instances.stop", instance="vm")
    api.cloud.clock.advance(100)
    await api.done("instances.start", instance="vm")
    assert await end(await api.instance()) == NOW + 600
    api.cloud.clock.advance(500)
    await off(api)
    refusal = await api.refused("instances.start", instance="vm")
    assert (refusal.status, refusal.reason) == (400, "invalid")
    assert "scheduling.terminationTime" in refusal.message
    later = {"terminationTime": timestamp(NOW + 7200)}
    await api.done("instances.setScheduling", later, instance="vm")
    await api.done("instances.start", instance="vm")
    assert await end(await api.instance()) == NOW + 7200


async def test_each_of_many_ends_at_its_own_time(api: Client, spec: Any) -> None:
    for number in (3, 1, 2):
        await api.done("instances.insert", spec(f"vm{number}", **limited(run=number * 100)))
    await api.done("instances.insert", spec("stays"))
    for number in (1, 2, 3):
        api.cloud.clock.advance(100)
        await gone(api, f"vm{number}")
        left = sorted(each["name"] for each in (await api.call("instances.list"))["items"])
        assert left == sorted([*(f"vm{other}" for other in range(number + 1, 4)), "stays"])


async def test_a_time_that_passes_by_itself_ends_too(
    make_cloud: MakeCloud, client_of: ClientOf, spec: Any, clock: HostClock
) -> None:
    api = client_of(await make_cloud())
    await api.done("instances.insert", spec(**limited()))
    clock.now += 3599.99
    api.cloud.lifetimes._changed.set()  # looks at the clock, and has 10 ms to wait by the host's
    await idle()
    assert (await api.instance())["status"] == "RUNNING"
    clock.now += 0.01
    api.cloud.lifetimes._changed.set()
    await gone(api)


async def test_the_day_of_a_preemptible_instance(api: Client, spec: Any) -> None:
    await api.done("instances.insert", spec(scheduling={"preemptible": True}))
    await api.done("instances.insert", spec("spot", scheduling={"provisioningModel": "SPOT"}))
    shown = (await api.instance())["scheduling"]
    assert (shown["provisioningModel"], shown["preemptible"]) == ("STANDARD", True)
    api.cloud.clock.advance(DAY - 1)
    await idle()
    assert (await api.instance())["status"] == "RUNNING"
    api.cloud.clock.advance(1)
    await off(api)
    assert (await api.instance("spot"))["status"] == "RUNNING", "a Spot VM has no such limit"
    assert api.cloud.lifetimes._foreseen == {}, "what is off has no end"
    assert await endings(api) == [("compute.instances.preempted", "system", "DONE")]


@pytest.mark.parametrize("action", ["STOP", "DELETE"])
async def test_what_came_due_while_the_sandbox_was_down_ends_at_its_start(
    make_cloud: MakeCloud,
    client_of: ClientOf,
    spec: Any,
    clock: HostClock,
    runtime: MemoryRuntime,
    tmp_path: Path,
    action: str,
) -> None:
    first = client_of(await make_cloud(tmp_path / "state.sqlite3"))
    await first.done("instances.insert", spec(**limited(action)))
    await first.done("instances.insert", spec("stays", **limited(action, run=2 * 3600)))
    await first.cloud.stop()
    clock.now += 3601
    runtime.boots.clear()
    second = client_of(await make_cloud(tmp_path / "state.sqlite3"))
    await (gone(second) if action == "DELETE" else off(second))
    stays = await second.instance("stays")
    assert runtime.boots == [stays["id"]], "what is overdue is not booted first"
    assert await end(stays) == NOW + 2 * 3600
    clock.now += 3600
    second.cloud.lifetimes._changed.set()
    await (gone(second, "stays") if action == "DELETE" else off(second, "stays"))


async def test_what_cannot_be_written_down_is_tried_again(
    api: Client, spec: Any, clock: HostClock, caplog: pytest.LogCaptureFixture
) -> None:
    await api.done("instances.insert", spec(**limited()))
    database = api.cloud.store._database
    database.execute("PRAGMA query_only=1")
    clock.now += 3600
    api.cloud.lifetimes._changed.set()
    await eventually(lambda: "next try in 5 s" in caplog.text)
    await idle()
    assert (await api.instance())["status"] == "RUNNING"
    assert caplog.text.count("next try") == 1
    database.execute("PRAGMA query_only=0")
    api.cloud.clock.advance(5)
    await gone(api)


async def test_the_advance_outlives_a_kill(
    make_cloud: MakeCloud, client_of: ClientOf, spec: Any, tmp_path: Path
) -> None:
    first = client_of(await make_cloud(tmp_path / "state.sqlite3"))
    await first.done("instances.insert", spec(**limited()))
    first.cloud.clock.advance(3000)
    await first.cloud.operations.stop(grace=0)
    second = client_of(await make_cloud(tmp_path / "state.sqlite3"))
    second.cloud.clock.advance(600)
    await gone(second)


REFUSED = [
    ({"maxRunDuration": {"seconds": "29"}}, "maxRunDuration': '29'. Must be between 30"),
    (
        {"maxRunDuration": {"seconds": "29", "nanos": 999_999_999}},
        "maxRunDuration': '29.999999999'",
    ),
    ({"maxRunDuration": {"seconds": "10368001"}}, "and 10368000 seconds"),
    ({"maxRunDuration": {}}, "maxRunDuration': '0'"),
    ({"terminationTime": "tomorrow"}, "Must be a timestamp in RFC 3339 format"),
    ({"terminationTime": timestamp(NOW + 29)}, "seconds from now"),
    ({"terminationTime": timestamp(NOW - 3600)}, "seconds from now"),
    ({"terminationTime": timestamp(NOW + 121 * DAY)}, "seconds from now"),
    (
        {"maxRunDuration": {"seconds": "60"}, "terminationTime": timestamp(NOW + 60)},
        "together with terminationTime",
    ),
    ({"maxRunDuration": {"seconds": "60"}, "preemptible": True}, "legacy preemptible"),
    ({"terminationTime": timestamp(NOW + 60), "preemptible": True}, "legacy preemptible"),
    (
        {"maxRunDuration": {"seconds": "60"}, "instanceTerminationAction": None},
        "instanceTerminationAction",
    ),
    ({"provisioningModel": "FLEX_START"}, "Not supported by this sandbox"),
    ({"instanceTerminationAction": "STOP"}, "Allowed only for Spot VMs"),
    ({"instanceTerminationAction": "STOP", "preemptible": True}, "Allowed only for Spot VMs"),
]


@pytest.mark.parametrize(("scheduling", "words"), REFUSED)
async def test_limits_that_google_refuses(
    api: Client, spec: Any, scheduling: dict[str, Any], words: str
) -> None:
    asked = {"instanceTerminationAction": "DELETE"} | scheduling
    refusal = await api.refused("instances.insert", spec(scheduling=asked))
    assert (refusal.status, refusal.reason) == (400, "invalid")
    assert refusal.message.startswith("Invalid value for field 'resource.scheduling.")
    assert words in refusal.message


async def test_the_bounds_themselves_are_well(api: Client, spec: Any) -> None:
    await api.done("instances.insert", spec("short", **limited(run=30)))
    await api.done("instances.insert", spec("long", **limited(run=10368000)))


async def test_limits_are_set_and_cleared_while_the_instance_is_off(api: Client, spec: Any) -> None:
    await api.done("instances.insert", spec())
    refusal = await api.refused("instances.setScheduling", limited()["scheduling"], instance="vm")
    assert (refusal.status, "must be stopped" in refusal.message) == (400, True)
    await api.done("instances.stop", instance="vm")
    await api.done("instances.setScheduling", limited()["scheduling"], instance="vm")
    await api.done("instances.start", instance="vm")
    assert await end(await api.instance()) == NOW + 3600
    await api.done("instances.stop", instance="vm")
    refusal = await api.refused("instances.setScheduling", {"maxRunDuration": None}, instance="vm")
    assert "'scheduling.instanceTerminationAction': 'DELETE'. Allowed only" in refusal.message
    cleared = {"maxRunDuration": None, "instanceTerminationAction": None}
    await api.done("instances.setScheduling", cleared, instance="vm")
    kept = (await api.instance())["scheduling"]
    assert "maxRunDuration" not in kept
    assert kept["automaticRestart"] is True, "what a request does not name stays"
    await api.done("instances.start", instance="vm")
    assert await end(await api.instance()) == 0.0


async def test_another_provisioning_model_brings_its_defaults(api: Client, spec: Any) -> None:
    await api.done("instances.insert", spec())
    await api.done("instances.stop", instance="vm")
    await api.done("instances.setScheduling", {"provisioningModel": "SPOT"}, instance="vm")
    spot = (await api.instance())["scheduling"]
    assert spot == {
        "automaticRestart": False,
        "instanceTerminationAction": "STOP",
        "onHostMaintenance": "TERMINATE",
        "preemptible": True,
        "provisioningModel": "SPOT",
    }
    back = {"provisioningModel": "STANDARD", "instanceTerminationAction": None}
    await api.done("instances.setScheduling", back, instance="vm")
    standard = (await api.instance())["scheduling"]
    assert (standard["preemptible"], standard["automaticRestart"]) == (False, True)
