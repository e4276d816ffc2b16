# SPDX-License-Identifier: GPL-3.0-or-later
"""Several properties changed by one request.

https://cloud.google.com/compute/docs/instances/update-instance-properties,
https://cloud.google.com/compute/docs/reference/rest/v1/instances/update.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.faults.interface import NoFaults
from cloudspill_sandbox.network.memory import MemoryNetwork
from cloudspill_sandbox.runtime.memory import MemoryRuntime

from .conftest import ZONE, Client, MakeCloud
from .test_restart import ClientOf, Stuck, kill

BIGGER = f"zones/{ZONE}/machineTypes/n1-standard-4"
REFRESHED: list[tuple[str, Any]] = [
    ("canIpForward", True),
    ("deletionProtection", True),
    ("description", "another"),
    ("labels", {"a": "b"}),
    ("metadata", {"items": [{"key": "a", "value": "b"}]}),
    ("tags", {"items": ["web"]}),
]
RESTARTED: list[tuple[str, Any]] = [
    ("displayDevice", {"enableDisplay": True}),
    ("machineType", BIGGER),
    ("minCpuPlatform", "Intel Skylake"),
    ("scheduling", {"automaticRestart": False}),
    ("serviceAccounts", [{"email": "default", "scopes": []}]),
    ("shieldedInstanceConfig", {"enableSecureBoot": True}),
]


def says(held: Any, asked: Any) -> bool:
    """Whether a document has what was asked for."""
    if isinstance(asked, dict):
        return all(says(held.get(key), value) for key, value in asked.items())
    if isinstance(asked, list) and asked and isinstance(asked[0], dict) and "email" in asked[0]:
        return len(held) == len(asked)
    return bool(held == asked or (isinstance(asked, str) and str(held).endswith(f"/{asked}")))


@pytest.fixture
async def vm(api: Client, spec: Any) -> dict[str, Any]:
    await api.done("instances.insert", spec(labels={"old": "one"}, description="first"))
    return await api.instance()


async def test_an_instance_sent_back_as_it_was_read_stays_so(
    api: Client, vm: dict[str, Any], runtime: MemoryRuntime
) -> None:
    boots = len(runtime.boots)
    await api.done("instances.update", vm, instance="vm")
    assert await api.instance() == vm
    assert len(runtime.boots) == boots


@pytest.mark.parametrize(("field", "value"), REFRESHED)
async def test_some_properties_change_while_it_runs(
    api: Client, vm: dict[str, Any], runtime: MemoryRuntime, field: str, value: Any
) -> None:
    boots = len(runtime.boots)
    await api.done("instances.update", vm | {field: value}, instance="vm")
    after = await api.instance()
    assert says(after[field], value)
    assert after["fingerprint"] != vm["fingerprint"]
    assert (after["status"], len(runtime.boots)) == ("RUNNING", boots)


@pytest.mark.parametrize(("field", "value"), RESTARTED)
async def test_others_need_a_restart_that_the_request_allows(
    api: Client, vm: dict[str, Any], runtime: MemoryRuntime, field: str, value: Any
) -> None:
    body = vm | {field: value}
    refusal = await api.refused("instances.update", body, instance="vm")
    assert refusal.status == 400
    assert (
        "Effective update action for the instance 'vm' is RESTART, which is greater than the most "
        "disruptive allowed action REFRESH" in refusal.message
    )
    boots = len(runtime.boots)
    allowed = {"instance": "vm", "mostDisruptiveAllowedAction": "RESTART"}
    await api.done("instances.update", body, **allowed)
    after = await api.instance()
    assert says(after[field], value)
    assert (after["status"], len(runtime.boots)) == ("RUNNING", boots + 1)
    assert after["networkInterfaces"] == vm["networkInterfaces"]


async def test_a_restart_gives_the_machine_its_new_size(
    api: Client, vm: dict[str, Any], runtime: MemoryRuntime
) -> None:
    allowed = {"instance": "vm", "mostDisruptiveAllowedAction": "RESTART"}
    await api.done("instances.update", vm | {"machineType": BIGGER}, **allowed)
    assert runtime.running[vm["id"]].vcpus == 4.0


async def test_a_stopped_instance_needs_no_restart(
    api: Client, vm: dict[str, Any], runtime: MemoryRuntime
) -> None:
    await api.done("instances.stop", instance="vm")
    stopped = await api.instance()
    await api.done("instances.update", stopped | {"machineType": BIGGER}, instance="vm")
    after = await api.instance()
    assert (after["status"], after["machineType"].rpartition("/")[2]) == (
        "TERMINATED",
        "n1-standard-4",
    )
    assert not runtime.running


async def test_a_restart_can_be_asked_for(
    api: Client, vm: dict[str, Any], runtime: MemoryRuntime
) -> None:
    boots = len(runtime.boots)
    both = {"minimalAction": "RESTART", "mostDisruptiveAllowedAction": "RESTART"}
    await api.done("instances.update", vm, instance="vm", **both)
    assert len(runtime.boots) == boots + 1
    refusal = await api.refused("instances.update", vm, instance="vm", minimalAction="RESTART")
    assert "is RESTART, which is greater" in refusal.message


async def test_a_restart_begins_the_run_time_anew(api: Client, spec: Any) -> None:
    limited = {"maxRunDuration": {"seconds": "3600"}, "instanceTerminationAction": "STOP"}
    await api.done("instances.insert", spec(scheduling=limited))
    vm = await api.instance()
    allowed = {"instance": "vm", "mostDisruptiveAllowedAction": "RESTART"}
    longer = limited | {"maxRunDuration": {"seconds": "86400"}}
    await api.done("instances.update", vm | {"scheduling": longer}, **allowed)
    ends = (await api.instance())["resourceStatus"]["scheduling"]["terminationTimestamp"]
    assert ends > vm["resourceStatus"]["scheduling"]["terminationTimestamp"]
    body = {key: value for key, value in (await api.instance()).items() if key != "scheduling"}
    await api.done("instances.update", body, **allowed)
    assert "scheduling" not in (await api.instance()).get("resourceStatus", {})


async def test_what_a_request_leaves_out_is_removed(api: Client, vm: dict[str, Any]) -> None:
    gone = {"labels", "description"}
    body = {key: value for key, value in vm.items() if key not in gone}
    await api.done("instances.update", body, instance="vm")
    assert not gone & (await api.instance()).keys()


async def test_forwarding_reaches_the_network(
    api: Client, vm: dict[str, Any], network: MemoryNetwork
) -> None:
    await api.done("instances.update", vm | {"canIpForward": True}, instance="vm")
    assert [nic.can_ip_forward for nic in network.topology.nics] == [True]


@pytest.mark.parametrize("method", ["setLabels", "setTags", "setMetadata"])
async def test_any_change_makes_an_older_fingerprint_stale(
    api: Client, vm: dict[str, Any], method: str
) -> None:
    bodies: dict[str, Any] = {
        "setLabels": {"labels": {"a": "b"}, "labelFingerprint": vm["labelFingerprint"]},
        "setTags": {"items": ["a"], "fingerprint": vm["tags"]["fingerprint"]},
        "setMetadata": {"items": [], "fingerprint": vm["metadata"]["fingerprint"]},
    }
    bodies["setMetadata"]["items"].append({"key": "a", "value": "b"})
    await api.done(f"instances.{method}", bodies[method], instance="vm")
    refusal = await api.refused("instances.update", vm, instance="vm")
    assert refusal.status == 412


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"disks": []}, "attachDisk and detachDisk"),
    ({"networkInterfaces": []}, "updateNetworkInterface"),
    ({"name": "other"}, "The field cannot be changed."),
    ({"hostname": "other.example.org"}, "The field cannot be changed."),
    ({"machineType": None}, "Required field 'resource.machineType' not specified"),
    ({"tags": {"items": ["Not a tag"]}}, "resource.tags.items[0]"),
]


@pytest.mark.parametrize(("fields", "words"), REFUSED)
async def test_what_has_methods_of_its_own_is_refused(
    api: Client, vm: dict[str, Any], fields: dict[str, Any], words: str
) -> None:
    refusal = await api.refused("instances.update", vm | fields, instance="vm")
    assert (refusal.status, words in refusal.message) == (400, True), refusal.message


async def test_a_request_without_the_fingerprint_is_stale(api: Client, vm: dict[str, Any]) -> None:
    refusal = await api.refused("instances.update", vm | {"fingerprint": None}, instance="vm")
    assert refusal.status == 412


class NoBoot(NoFaults):
    """Hooks by which no restart comes to its end."""

    async def before_step(self, step: str, target: str) -> None:
        if step == "instances.update.boot":
            raise ApiError(503, "ZONE_RESOURCE_POOL_EXHAUSTED", f"no room for {target}")


async def test_a_restart_that_fails_leaves_it_off_and_as_it_was(
    make_cloud: MakeCloud, client_of: ClientOf, spec: Any
) -> None:
    api = client_of(await make_cloud(faults=NoBoot()))
    await api.done("instances.insert", spec())
    vm = await api.instance()
    allowed = {"instance": "vm", "mostDisruptiveAllowedAction": "RESTART"}
    failure = await api.failed("instances.update", vm | {"machineType": BIGGER}, **allowed)
    assert failure["code"] == "ZONE_RESOURCE_POOL_EXHAUSTED"
    after = await api.instance()
    assert (after["status"], after["machineType"]) == ("TERMINATED", vm["machineType"])
    assert after["fingerprint"] == vm["fingerprint"]


async def test_a_restart_that_fails_takes_back_no_change_of_another(
    make_cloud: MakeCloud, client_of: ClientOf, spec: Any
) -> None:
    class Meanwhile(NoFaults):
        async def before_step(self, step: str, target: str) -> None:
            if step == "instances.update.boot":
                await api.done("instances.setDeletionProtection", resource="vm")
                raise ApiError(503, "ZONE_RESOURCE_POOL_EXHAUSTED", f"no room for {target}")

    api = client_of(await make_cloud(faults=Meanwhile()))
    await api.done("instances.insert", spec())
    body = await api.instance() | {"machineType": BIGGER}
    allowed = {"instance": "vm", "mostDisruptiveAllowedAction": "RESTART"}
    await api.failed("instances.update", body, **allowed)
    after = await api.instance()
    assert (after["status"], after["deletionProtection"]) == ("TERMINATED", True)


async def test_a_restart_that_a_kill_cut_short_fails_and_the_instance_is_off(
    make_cloud: MakeCloud, client_of: ClientOf, spec: Any, tmp_path: Path
) -> None:
    first = client_of(await make_cloud(tmp_path / "store"))
    await first.done("instances.insert", spec())
    await first.cloud.stop()
    second = client_of(await make_cloud(tmp_path / "store", Stuck(1)))
    body = await second.instance() | {"machineType": BIGGER}
    allowed = {"instance": "vm", "mostDisruptiveAllowedAction": "RESTART"}
    operation = await second.call("instances.update", body, **allowed)
    assert operation["status"] == "RUNNING"
    await kill(second.cloud)
    third = client_of(await make_cloud(tmp_path / "store"))
    ended = await third.call("zoneOperations.get", operation=operation["name"])
    message = ended["error"]["errors"][0]["message"]
    assert "the instance is off, with what the update gave it" in message
    off = await third.instance()
    assert off["status"] == "TERMINATED"
    assert off["machineType"].endswith(f"/{BIGGER}")
    await third.done("instances.start", instance="vm")
