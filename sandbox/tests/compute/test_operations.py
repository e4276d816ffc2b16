# SPDX-License-Identifier: GPL-3.0-or-later
"""Operations: shown, waited for, repeated by requestId, deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.operations import Operations, Step, Work
from cloudspill_sandbox.engine.call import Call
from cloudspill_sandbox.runtime.memory import MemoryRuntime

from .conftest import Client, MakeCloud, eventually, idle

REQUEST = "6f5cb2a4-5a0e-4ce5-9b2c-0a7c4de0c1f2"


class Gate:
    """A latency profile whose steps wait for the test."""

    patience = 0.02

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.open = asyncio.Event()

    async def before(self, step: str) -> None:
        self.steps.append(step)
        await self.open.wait()


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def slow(make_cloud: MakeCloud, gate: Gate, client_of: Callable[[Cloud], Client]) -> Client:
    return client_of(await make_cloud(latency=gate))


async def test_an_operation_that_takes_long_is_seen_running_and_then_done(
    slow: Client, gate: Gate, spec: Any
) -> None:
    operation = await slow.call("instances.insert", spec())
    assert (operation["status"], operation["progress"]) == ("RUNNING", 0)
    assert "endTime" not in operation
    assert (await slow.instance())["status"] == "PROVISIONING"
    waiting = asyncio.create_task(slow.call("zoneOperations.wait", operation=operation["name"]))
    gate.open.set()
    ended = await waiting
    assert (ended["status"], ended["progress"]) == ("DONE", 100)
    assert ended["endTime"] >= ended["insertTime"]
    assert gate.steps == ["instances.insert.provision", "instances.insert.boot"]
    assert await slow.call("zoneOperations.get", operation=operation["name"]) == ended


async def test_the_client_may_go_away_while_the_work_goes_on(
    slow: Client, gate: Gate, spec: Any
) -> None:
    request = asyncio.create_task(slow.call("instances.insert", spec()))
    await eventually(lambda: gate.steps)
    request.cancel()
    gate.open.set()
    (operation,) = (await slow.call("zoneOperations.list"))["items"]
    await slow.call("zoneOperations.wait", operation=operation["name"])
    assert (await slow.instance())["status"] == "RUNNING"


async def test_an_instance_in_the_making_is_not_ready(slow: Client, gate: Gate, spec: Any) -> None:
    operation = await slow.call("instances.insert", spec())
    for method in ("delete", "start", "stop", "reset"):
        refusal = await slow.refused(f"instances.{method}", instance="vm")
        assert (refusal.status, refusal.reason) == (400, "resourceNotReady")
        assert refusal.message.endswith("/instances/vm' is not ready")
    gate.open.set()
    await slow.call("zoneOperations.wait", operation=operation["name"])


async def test_a_machine_that_goes_off_while_it_is_deleted_stays_in_deletion(
    slow: Client, gate: Gate, spec: Any, runtime: MemoryRuntime
) -> None:
    gate.open.set()
    insertion = await slow.call("instances.insert", spec())
    await slow.call("zoneOperations.wait", operation=insertion["name"])
    gate.open.clear()
    deletion = await slow.call("instances.delete", instance="vm")
    runtime.guest_power_off((await slow.instance())["id"])
    assert (await slow.instance())["status"] == "STOPPING"
    gate.open.set()
    ended = await slow.call("zoneOperations.wait", operation=deletion["name"])
    assert "error" not in ended
    assert (await slow.refused("instances.get", instance="vm")).status == 404


async def test_what_only_touches_documents_is_done_at_once(slow: Client) -> None:
    operation = await slow.call("networks.insert", {"name": "n", "autoCreateSubnetworks": False})
    assert operation["status"] == "DONE"


async def test_the_same_request_id_is_the_same_request(slow: Client, gate: Gate, spec: Any) -> None:
    first = await slow.call("instances.insert", spec(), requestId=REQUEST)
    second = await slow.call("instances.insert", spec(), requestId=REQUEST)
    assert first["name"] == second["name"]
    assert first["clientOperationId"] == REQUEST
    gate.open.set()
    third = await slow.call("instances.insert", spec(), requestId=REQUEST)
    assert third["name"] == first["name"]
    assert third["status"] == "DONE"
    assert (await slow.refused("instances.insert", spec())).status == 409


async def test_a_refused_request_id_may_be_tried_again(api: Client, spec: Any) -> None:
    await api.refused("instances.insert", spec(labels={"No": ""}), requestId=REQUEST)
    await api.done("instances.insert", spec(), requestId=REQUEST)


@pytest.mark.parametrize(
    "request_id", ["x", "zones/us-west1-b/disks/vm", "00000000-0000-0000-0000-000000000000"]
)
async def test_a_request_id_is_a_uuid(api: Client, spec: Any, request_id: str) -> None:
    refusal = await api.refused("instances.insert", spec(), requestId=request_id)
    assert (refusal.status, refusal.reason) == (400, "invalid")
    assert f"'requestId': '{request_id}'" in refusal.message


async def test_operations_are_kept_by_scope(api: Client, spec: Any) -> None:
    await api.done("instances.insert", spec())
    await api.done("addresses.insert", {"name": "a"})
    firewall = {"name": "f", "allowed": [{"IPProtocol": "tcp"}]}
    operation = await api.done("firewalls.insert", firewall)
    assert "zone" not in operation
    assert "region" not in operation
    for kind, target in (
        ("zone", "instances/vm"),
        ("region", "addresses/a"),
        ("global", "firewalls/f"),
    ):
        (found,) = (await api.call(f"{kind}Operations.list"))["items"]
        assert found["targetLink"].endswith(target)
    everywhere = await api.call("globalOperations.aggregatedList")
    assert len([s for s in everywhere["items"].values() if "operations" in s]) == 3


async def test_an_ended_operation_can_be_deleted(api: Client) -> None:
    operation = await api.done("addresses.insert", {"name": "a"})
    reply = await api.call("regionOperations.delete", operation=operation["name"])
    assert (reply.status, reply.body) == (204, b"")
    refusal = await api.refused("regionOperations.get", operation=operation["name"])
    assert refusal.status == 404


async def test_old_operations_are_forgotten(api: Client) -> None:
    await api.done("addresses.insert", {"name": "first"})
    method = api.service["compute.subnetworks.setPrivateIpGoogleAccess"]
    path = {"project": "cloudspill-sandbox", "region": "us-west1", "subnetwork": "default"}
    call = Call("compute.subnetworks.setPrivateIpGoogleAccess", path, {}, {}, api.principal)
    for _ in range(2010):
        await method(call)
    listed = (await api.call("regionOperations.list", filter="operationType = insert"))["items"]
    assert listed == []
    assert (
        len(api.cloud.store.children("projects/cloudspill-sandbox/regions/us-west1/operations"))
        == 2000
    )


async def test_a_request_id_is_of_one_method_and_target(api: Client, spec: Any) -> None:
    insertion = await api.done("instances.insert", spec(), requestId=REQUEST)
    await api.done("instances.insert", spec("other"))
    stop = await api.done("instances.stop", instance="vm", requestId=REQUEST)
    another = await api.done("instances.stop", instance="other", requestId=REQUEST)
    assert len({insertion["name"], another["name"], stop["name"]}) == 3
    assert (await api.instance("other"))["status"] == "TERMINATED"
    assert (await api.instance("vm"))["status"] == "TERMINATED"
    assert await api.done("instances.insert", spec(), requestId=REQUEST) == insertion
    assert await api.done("instances.stop", instance="vm", requestId=REQUEST) == stop


async def test_a_request_id_says_that_it_is_the_same_request_whatever_its_body(api: Client) -> None:
    # GoogleCloudPlatform/python-docs-samples, compute/client_library: test_request_id.
    first = await api.done("disks.insert", {"name": "one", "sizeGb": "20"}, requestId=REQUEST)
    second = await api.done("disks.insert", {"name": "two", "sizeGb": "20"}, requestId=REQUEST)
    assert second == first
    assert [disk["name"] for disk in (await api.call("disks.list"))["items"]] == ["one"]


async def test_a_request_id_goes_with_its_operation(api: Client) -> None:
    address = {"name": "a"}
    before = api.documents()
    first = await api.done("addresses.insert", address, requestId=REQUEST)
    await api.call("regionOperations.delete", operation=first["name"])
    assert (await api.refused("addresses.insert", address, requestId=REQUEST)).status == 409
    deletion = await api.done("addresses.delete", address="a", requestId=REQUEST)
    await api.call("regionOperations.delete", operation=deletion["name"])
    left = api.documents()
    assert {name for name in left if name.endswith("/requests")} == set()
    assert set(left) == set(before)


async def test_a_sandbox_that_stops_takes_no_change(
    slow: Client, gate: Gate, spec: Any, runtime: MemoryRuntime
) -> None:
    insertion = await slow.call("instances.insert", spec())
    stopping = asyncio.create_task(slow.cloud.stop())
    await asyncio.sleep(0)
    refusal = await slow.refused("instances.insert", spec("late"))
    assert (refusal.status, refusal.reason) == (503, "backendError")
    assert (await slow.refused("addresses.insert", {"name": "a"})).status == 503
    gate.open.set()
    await stopping
    ended = await slow.call("zoneOperations.get", operation=insertion["name"])
    assert (ended["status"], "error" in ended) == ("DONE", False)
    assert not runtime.running
    assert (await slow.refused("instances.insert", spec("later"))).status == 503


async def test_an_end_that_cannot_be_written_is_written_when_it_can(
    slow: Client, gate: Gate, spec: Any, caplog: pytest.LogCaptureFixture
) -> None:
    operation = await slow.call("instances.insert", spec())
    database = slow.cloud.store._database
    database.execute("PRAGMA query_only=ON")
    gate.open.set()
    await eventually(lambda: "could not be written" in caplog.text)
    assert (await slow.call("zoneOperations.get", operation=operation["name"]))["progress"] == 0
    database.execute("PRAGMA query_only=OFF")
    ended = await slow.call("zoneOperations.wait", operation=operation["name"])
    # Its second step writes too, and could not: the operation failed and was taken back.
    assert (ended["status"], ended["httpErrorStatusCode"]) == ("DONE", 500)
    assert (await slow.refused("instances.get", instance="vm")).status == 404


async def test_an_operation_whose_end_is_an_accident_still_ends(api: Client) -> None:
    def accident(tx: Any) -> None:
        tx.put("projects/cloudspill-sandbox/half", {"kind": "a write"})
        raise LookupError("the end of all things")

    call = Call("compute.instances.stop", {}, {}, {}, api.principal)
    target = "projects/cloudspill-sandbox/zones/us-west1-b/instances/none"
    with api.cloud.transaction() as tx:
        name = api.cloud.operations.open(tx, call, "stop", target)
    async with asyncio.timeout(20):
        ended = await api.cloud.operations.perform(name, Work(done=accident))
    assert (ended["status"], ended["error"]["errors"][0]["code"]) == ("DONE", "INTERNAL_ERROR")
    assert api.cloud.store.get("projects/cloudspill-sandbox/half") is None


class Family:
    """An operation that begins another one as a part of it, and does not wait for that one."""

    def __init__(self, api: Client) -> None:
        self.operations: Operations = api.cloud.operations
        self._transaction = api.cloud.transaction
        self._call = Call("compute.instances.stop", {}, {}, {}, api.principal)
        self.may_go_on = asyncio.Event()
        self.parent = self._open(None)
        self.child = ""

    def _open(self, part_of: str | None) -> str:
        target = "projects/cloudspill-sandbox/zones/us-west1-b/instances/none"
        with self._transaction() as tx:
            name = self.operations.open(tx, self._call, "stop", target, part_of=part_of)
            tx.put(name, (tx.get(name) or {}) | {"operationGroupId": REQUEST})
        return name

    async def begin(self, child: Work) -> None:
        """Begin the parent; it begins the child when it may go on, or is abandoned."""
        running: list[asyncio.Task[Any]] = []

        async def bear() -> None:
            try:
                await self.may_go_on.wait()
            finally:
                self.child = self._open(self.parent)
                running.append(asyncio.create_task(self.operations.perform(self.child, child)))
                await asyncio.sleep(0)  # it has its task

        await self.operations.perform(self.parent, Work((Step("parent", bear),)))


@pytest.fixture
async def family(make_cloud: MakeCloud, client_of: Callable[[Cloud], Client]) -> Family:
    latency = Gate()
    latency.open.set()
    return Family(client_of(await make_cloud(latency=latency)))


async def test_a_stop_waits_for_what_an_operation_began_at_its_end(family: Family) -> None:
    ended = []

    async def last() -> None:
        await idle()
        ended.append("child")

    await family.begin(Work((Step("child", last),)))
    stopping = asyncio.create_task(family.operations.stop(grace=20))
    await idle()
    family.may_go_on.set()
    await stopping
    assert ended == ["child"]


async def test_a_stop_abandons_what_an_abandoned_operation_began(family: Family) -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    await family.begin(Work((Step("child", forever),)))
    await family.operations.stop(grace=0)
    assert family.child
    assert not family.operations.pending(family.child)
