# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operation says of itself, from the first answer to the last.

https://cloud.google.com/compute/docs/reference/rest/v1/zoneOperations and
https://cloud.google.com/compute/docs/api/how-tos/api-requests-responses#handling_api_responses.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cloudspill_sandbox.compute import operations
from cloudspill_sandbox.compute.documents import seconds
from cloudspill_sandbox.compute.names import relative
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.faults.interface import NoFaults

from .conftest import NOW, ZONE, Client, HostClock, MakeCloud
from .test_bulk_insert import bulk
from .test_operations import Gate
from .test_restart import ClientOf, kill

ROOT = "https://www.googleapis.com/compute/v1/projects/cloudspill-sandbox"
BORN = {
    *("kind", "id", "name", "zone", "operationType", "targetLink", "targetId", "status", "user"),
    *("progress", "insertTime", "startTime", "selfLink"),
}
"""As in an answer of Google's to setMetadata that is quoted in public; creationTimestamp, which the
reference calls deprecated, is not among them."""

REQUEST = "6f5cb2a4-5a0e-4ce5-9b2c-0a7c4de0c1f2"


class Failing(NoFaults):
    """The boot of every instance finds no room."""

    async def before_step(self, step: str, target: str) -> None:
        if step == "instances.insert.boot":
            raise ApiError(503, "ZONE_RESOURCE_POOL_EXHAUSTED", f"no room for {target}")


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def slow(make_cloud: MakeCloud, gate: Gate, client_of: ClientOf) -> Client:
    return client_of(await make_cloud(latency=gate))


async def ended(api: Client, operation: dict[str, Any]) -> dict[str, Any]:
    return dict(await api.call("zoneOperations.wait", operation=operation["name"]))


async def test_it_says_who_does_what_to_which_and_since_when(
    slow: Client, gate: Gate, spec: Any, clock: HostClock
) -> None:
    begun = await slow.call("instances.insert", spec())
    assert set(begun) == BORN
    assert begun["selfLink"] == f"{ROOT}/zones/{ZONE}/operations/{begun['name']}"
    assert begun["targetLink"] == f"{ROOT}/zones/{ZONE}/instances/vm"
    assert (begun["zone"], begun["user"]) == (f"{ROOT}/zones/{ZONE}", "owner@example.org")
    assert begun["targetId"] == (await slow.instance())["id"]
    assert begun["targetId"] != begun["id"]
    assert (begun["operationType"], begun["status"]) == ("insert", "RUNNING")
    assert seconds(begun["insertTime"]) == seconds(begun["startTime"]) == NOW
    clock.now += 40
    gate.open.set()
    done = await ended(slow, begun)
    assert done == begun | {"status": "DONE", "progress": 100, "endTime": done["endTime"]}
    assert seconds(done["endTime"]) == NOW + 40


async def test_a_scope_other_than_a_zone_is_named_as_such(api: Client) -> None:
    regional = await api.done("addresses.insert", {"name": "a"})
    assert set(regional) == BORN - {"zone"} | {"region", "endTime"}
    assert regional["region"] == f"{ROOT}/regions/us-west1"
    worldwide = await api.done("networks.insert", {"name": "n", "autoCreateSubnetworks": False})
    assert set(worldwide) == BORN - {"zone"} | {"endTime"}


async def test_what_has_no_id_has_none_as_a_target(api: Client) -> None:
    operation = await api.done("instances.bulkInsert", bulk(1))
    assert operation["targetLink"] == f"{ROOT}/zones/{ZONE}/instances"
    assert "targetId" not in operation


async def test_a_failure_is_an_end_with_errors_and_the_status_of_http(
    make_cloud: MakeCloud, client_of: ClientOf, spec: Any
) -> None:
    api = client_of(await make_cloud(faults=Failing()))
    operation = await api.call("instances.insert", spec())
    assert (operation["status"], operation["progress"]) == ("DONE", 100)
    target = relative(operation["targetLink"])
    entry = {"code": "ZONE_RESOURCE_POOL_EXHAUSTED", "message": f"no room for {target}"}
    assert operation["error"] == {"errors": [entry]}
    assert operation["httpErrorStatusCode"] == 503
    assert operation["httpErrorMessage"] == "SERVICE UNAVAILABLE"


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("status=RUNNING", ["stop"]),
        ("status=DONE", ["insert", "insert"]),
        ('operationType="insert"', ["insert", "insert"]),
        ("targetLink eq .*/instances/one", ["insert", "stop"]),
        ("targetLink:instances/one AND status!=DONE", ["stop"]),
        (f'(targetLink = "{ROOT}/zones/{ZONE}/instances/two") (progress = 100)', ["insert"]),
        ("user=owner@example.org AND operationType=stop", ["stop"]),
        ("user=somebody@example.org", []),
    ],
)
async def test_lists_are_filtered_by_what_it_says(
    slow: Client, gate: Gate, spec: Any, expression: str, found: list[str]
) -> None:
    gate.open.set()
    for name in ("one", "two"):
        await ended(slow, await slow.call("instances.insert", spec(name)))
    gate.open.clear()
    await slow.call("instances.stop", instance="one")
    listed = (await slow.call("zoneOperations.list", filter=expression))["items"]
    assert sorted(each["operationType"] for each in listed) == found
    gate.open.set()


async def test_the_newest_come_first_if_asked(api: Client, clock: HostClock) -> None:
    """The reference of `orderBy` names operations as what to sort by creationTimestamp."""
    made = []
    for name in ("b", "a", "c"):
        made.append((await api.done("addresses.insert", {"name": name}))["name"])
        clock.now += 1
    listed = await api.call("regionOperations.list", orderBy="creationTimestamp desc")
    assert [each["name"] for each in listed["items"]] == made[::-1]
    first = await api.call("regionOperations.list", orderBy="creationTimestamp desc", maxResults=2)
    token = first["nextPageToken"]
    rest = await api.call(
        "regionOperations.list", orderBy="creationTimestamp desc", pageToken=token
    )
    assert [each["name"] for each in rest["items"]] == made[:1]


async def test_a_wait_ends_after_two_minutes_whatever_came_of_it(
    slow: Client, gate: Gate, spec: Any
) -> None:
    """https://cloud.google.com/compute/docs/reference/rest/v1/zoneOperations/wait"""
    assert operations.LONGEST_WAIT == 120
    begun = await slow.call("instances.insert", spec())
    name = relative(begun["selfLink"])
    waited = await slow.cloud.operations.wait(name, longest=0.01)
    assert waited == begun
    waiting = asyncio.create_task(slow.cloud.operations.wait(name))
    gate.open.set()
    assert (await waiting)["status"] == "DONE"
    again = await slow.call("zoneOperations.wait", operation=begun["name"])
    assert again == await waiting
    unknown = await slow.refused("zoneOperations.wait", operation="operation-0")
    assert (unknown.status, unknown.reason) == (404, "notFound")


async def test_it_cannot_be_deleted_while_it_runs(slow: Client, gate: Gate, spec: Any) -> None:
    begun = await slow.call("instances.insert", spec())
    refusal = await slow.refused("zoneOperations.delete", operation=begun["name"])
    assert (refusal.status, refusal.reason) == (400, "resourceNotReady")
    gate.open.set()
    await ended(slow, begun)
    await slow.call("zoneOperations.delete", operation=begun["name"])
    refusal = await slow.refused("zoneOperations.delete", operation=begun["name"])
    assert refusal.status == 404


async def test_a_second_request_of_the_same_id_is_ignored_whatever_it_says(
    api: Client, spec: Any
) -> None:
    """https://cloud.google.com/compute/docs/reference/rest/v1/instances/insert (requestId)"""
    await api.done("instances.insert", spec())
    tags = (await api.instance())["tags"]
    changes = [{"items": [each], "fingerprint": tags["fingerprint"]} for each in ("web", "db")]
    first, second = [
        await api.done("instances.setTags", change, instance="vm", requestId=REQUEST)
        for change in changes
    ]
    assert second == first
    assert (await api.instance())["tags"]["items"] == ["web"]


async def test_requests_of_one_id_at_the_same_time_are_one(
    slow: Client, gate: Gate, spec: Any
) -> None:
    calls = [slow.call("instances.insert", spec(), requestId=REQUEST) for _ in range(5)]
    operations = await asyncio.gather(*calls)
    assert len({each["name"] for each in operations}) == 1
    gate.open.set()
    assert "error" not in await ended(slow, operations[0])


async def test_a_request_s_id_outlives_a_kill(
    make_cloud: MakeCloud, client_of: ClientOf, spec: Any, tmp_path: Path
) -> None:
    first = client_of(await make_cloud(tmp_path / "store"))
    made = await first.done("instances.insert", spec(), requestId=REQUEST)
    await kill(first.cloud)
    second = client_of(await make_cloud(tmp_path / "store"))
    assert await second.done("instances.insert", spec(), requestId=REQUEST) == made
