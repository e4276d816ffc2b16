# SPDX-License-Identifier: GPL-3.0-or-later
"""Operations that fail: what they were to change is as it was before, as far as it is not gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.latency import Instant
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.faults.interface import NoFaults
from cloudspill_sandbox.network.memory import MemoryNetwork
from cloudspill_sandbox.runtime.memory import MemoryRuntime

from .conftest import ZONE, Client, MakeCloud, eventually, idle

INSTANCE = f"projects/cloudspill-sandbox/zones/{ZONE}/instances/vm"
BROKEN = ApiError(500, "INTERNAL_ERROR", "Internal error.")


class FailingSteps(NoFaults):
    """Fails the steps that are named in it, before they do anything."""

    def __init__(self) -> None:
        self.steps: set[str] = set()
        self.failed: list[str] = []

    async def before_step(self, step: str, target: str) -> None:
        if step in self.steps:
            self.failed.append(step)
            raise BROKEN


@pytest.fixture
def failing() -> FailingSteps:
    return FailingSteps()


@pytest.fixture
async def api(
    make_cloud: MakeCloud, client_of: Callable[[Cloud], Client], failing: FailingSteps
) -> Client:
    return client_of(await make_cloud(faults=failing))


@pytest.mark.parametrize("method", ["stop", "delete", "reset"])
async def test_an_instance_whose_machine_goes_on_is_running(
    api: Client, spec: Any, failing: FailingSteps, runtime: MemoryRuntime, method: str
) -> None:
    await api.done("instances.insert", spec())
    before, boots = await api.instance(), list(runtime.boots)
    failing.steps = {f"instances.{method}.{step}" for step in ("shutDown", "powerOff")}
    error = await api.failed(f"instances.{method}", instance="vm")
    assert error["code"] == "INTERNAL_ERROR"
    assert runtime.is_running(before["id"])
    assert await api.instance() == before
    failing.steps = set()
    assert runtime.boots == boots
    await api.done(f"instances.{method}", instance="vm")


async def test_an_instance_whose_deletion_fails_when_it_is_off_is_terminated(
    api: Client, spec: Any, failing: FailingSteps, runtime: MemoryRuntime
) -> None:
    await api.done("instances.insert", spec())
    failing.steps = {"instances.delete.remove"}
    await api.failed("instances.delete", instance="vm")
    assert not runtime.running
    assert (await api.instance())["status"] == "TERMINATED"
    assert (await api.call("disks.get", disk="vm"))["status"] == "READY"
    failing.steps = set()
    await api.done("instances.delete", instance="vm")


@pytest.mark.parametrize("step", ["delete.shutDown", "resume.connect", "resume.restore"])
async def test_an_instance_whose_machine_stands_still_is_suspended(
    api: Client,
    spec: Any,
    failing: FailingSteps,
    network: MemoryNetwork,
    runtime: MemoryRuntime,
    step: str,
) -> None:
    await api.done("instances.insert", spec())
    await api.done("instances.suspend", instance="vm")
    before, leases, boots = await api.instance(), api.documents()["leases"], list(runtime.boots)
    failing.steps = {f"instances.{step}"}
    error = await api.failed(f"instances.{step.partition('.')[0]}", instance="vm")
    assert error["code"] == "INTERNAL_ERROR"
    assert await api.instance() == before
    assert api.documents()["leases"] == leases, "its ephemeral address went back"
    assert [nic.external_ip for nic in network.topology.nics] == [None]
    failing.steps = set()
    await api.done("instances.resume", instance="vm")
    assert (await api.instance())["status"] == "RUNNING"
    assert runtime.boots == boots, "it went on, and did not boot"


CHANGES = [
    ("setTags", {"items": ["web"]}, {}),
    ("setMetadata", {"items": [{"key": "a", "value": "1"}]}, {}),
    ("setDeletionProtection", None, {"resource": "vm", "deletionProtection": True}),
    ("setDiskAutoDelete", None, {"deviceName": "persistent-disk-0", "autoDelete": False}),
    ("deleteAccessConfig", None, {"networkInterface": "nic0", "accessConfig": "nat"}),
]


@pytest.mark.parametrize(("method", "body", "parameters"), CHANGES)
async def test_a_setting_that_could_not_be_applied_is_what_it_was(
    api: Client,
    spec: Any,
    failing: FailingSteps,
    network: MemoryNetwork,
    method: str,
    body: Any,
    parameters: dict[str, Any],
) -> None:
    await api.done("instances.insert", spec())
    before, topology = api.documents(), network.topology
    instance = await api.instance()
    failing.steps = {f"instances.{method}.apply"}
    if method in {"setTags", "setMetadata"}:
        name = "tags" if method == "setTags" else "metadata"
        body |= {"fingerprint": instance[name]["fingerprint"]}
    target = {} if "resource" in parameters else {"instance": "vm"}
    await api.failed(f"instances.{method}", body, **target, **parameters)
    after = api.documents()
    for name in (INSTANCE.rpartition("/")[0], "leases"):
        assert after[name] == before[name]
    assert network.topology == topology


async def test_an_external_address_that_could_not_be_applied_is_free_again(
    api: Client, spec: Any, failing: FailingSteps
) -> None:
    await api.done("instances.insert", spec(networkInterfaces=[{}]))
    before = api.documents()
    failing.steps = {"instances.addAccessConfig.apply"}
    await api.failed("instances.addAccessConfig", {}, instance="vm", networkInterface="nic0")
    assert await api.instance() == before[INSTANCE.rpartition("/")[0]]["vm"]
    assert api.documents()["leases"] == before["leases"]


RULE = {"name": "web", "allowed": [{"IPProtocol": "tcp", "ports": ["80"]}]}


@pytest.mark.parametrize("method", ["insert", "patch", "update", "delete"])
async def test_a_firewall_rule_that_could_not_be_applied_is_what_it_was(
    api: Client, failing: FailingSteps, network: MemoryNetwork, method: str
) -> None:
    if method != "insert":
        await api.done("firewalls.insert", RULE)
    before, rules = api.documents(), network.topology.rules
    failing.steps = {f"firewalls.{method}.apply"}
    changed = None if method == "delete" else RULE | {"sourceRanges": ["10.0.0.0/8"]}
    where = {} if method == "insert" else {"firewall": "web"}
    await api.failed(f"firewalls.{method}", changed, **where)
    collection = "projects/cloudspill-sandbox/global/firewalls"
    assert api.documents()[collection] == before[collection]
    assert set(network.topology.rules) == set(rules)


async def test_an_ending_that_fails_is_tried_again_after_a_while(
    api: Client, spec: Any, failing: FailingSteps
) -> None:
    limit = {"maxRunDuration": {"seconds": "60"}, "instanceTerminationAction": "DELETE"}
    await api.done("instances.insert", spec(scheduling=limit))
    failing.steps = {"instances.delete.shutDown"}
    api.cloud.clock.advance(60)
    await eventually(lambda: failing.failed)
    await idle()
    assert len(failing.failed) == 1
    assert (await api.instance())["status"] == "RUNNING"
    failing.steps = set()
    api.cloud.clock.advance(5)
    await eventually(lambda: api.cloud.store.get(INSTANCE) is None)


class Late(FailingSteps):
    """The first of some steps fails, and the others go well, when the test lets them."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0
        self.due = asyncio.Event()

    async def before_step(self, step: str, target: str) -> None:
        if step not in self.steps:
            return
        first = self.waiting == 0
        self.waiting += 1
        await self.due.wait()
        if first:
            await super().before_step(step, target)


class Impatient(Instant):
    """A latency profile under which a reply does not wait for the work."""

    patience = 0.0


async def test_a_disk_that_cannot_be_attached_is_free_whatever_is_attached_meanwhile(
    make_cloud: MakeCloud, client_of: Callable[[Cloud], Client], spec: Any
) -> None:
    late = Late()
    api = client_of(await make_cloud(latency=Impatient(), faults=late))
    for method, body in (
        ("instances.insert", spec()),
        ("disks.insert", {"name": "a"}),
        ("disks.insert", {"name": "b"}),
    ):
        made = await api.call(method, body)
        await api.call("zoneOperations.wait", operation=made["name"])
    late.steps = {"instances.attachDisk.plug"}
    one, other = [
        await api.call(
            "instances.attachDisk", {"source": f"zones/{ZONE}/disks/{name}"}, instance="vm"
        )
        for name in "ab"
    ]
    await eventually(lambda: late.waiting == 2)
    late.due.set()
    ended = [await api.call("zoneOperations.wait", operation=each["name"]) for each in (one, other)]
    assert ["error" in each for each in ended] == [True, False]
    attached = [each["source"].rpartition("/")[2] for each in (await api.instance())["disks"]]
    assert attached == ["vm", "b"]
    assert "users" not in await api.call("disks.get", disk="a")


async def test_what_another_changed_meanwhile_stays_and_bars_no_taking_back(
    make_cloud: MakeCloud, client_of: Callable[[Cloud], Client], spec: Any
) -> None:
    late = Late()
    api = client_of(await make_cloud(latency=Impatient(), faults=late))
    made = await api.call("instances.insert", spec())
    await api.call("zoneOperations.wait", operation=made["name"])
    late.steps = {"instances.setTags.apply"}
    before = await api.instance()
    body = {"items": ["web"], "fingerprint": before["tags"]["fingerprint"]}
    operation = await api.call("instances.setTags", body, instance="vm")
    labels = {"labels": {"a": "b"}, "labelFingerprint": before["labelFingerprint"]}
    await api.call("instances.setLabels", labels, instance="vm")
    between = await api.instance()
    assert (between["tags"]["items"], between["labels"]) == (["web"], {"a": "b"})
    late.due.set()
    ended = await api.call("zoneOperations.wait", operation=operation["name"])
    assert ended["error"]["errors"][0]["code"] == "INTERNAL_ERROR"
    after = await api.instance()
    assert (after["tags"], after["labels"]) == (before["tags"], {"a": "b"})
    seen = {each["fingerprint"] for each in (before, between, after)}
    assert len(seen) == 3, "each state has a fingerprint of its own"
