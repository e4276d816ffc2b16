# SPDX-License-Identifier: GPL-3.0-or-later
"""Many instances by one request.

https://cloud.google.com/compute/docs/instances/multiple/about-bulk-creation,
https://cloud.google.com/compute/docs/reference/rest/v1/instances/bulkInsert.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.faults.interface import NoFaults
from cloudspill_sandbox.network.memory import MemoryNetwork
from cloudspill_sandbox.runtime.memory import MemoryRuntime

from .conftest import UBUNTU, ZONE, Client, MakeCloud
from .test_restart import ClientOf

PROPERTIES = {
    "machineType": "f1-micro",
    "disks": [
        {"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": UBUNTU}},
    ],
    "networkInterfaces": [{"network": "global/networks/default", "accessConfigs": [{}]}],
    "labels": {"batch": "one"},
}


def bulk(number: int, **more: Any) -> dict[str, Any]:
    """Return a request for so many instances; None leaves a field out."""
    asked = {"count": str(number), "namePattern": "vm-##", "instanceProperties": PROPERTIES}
    return {key: value for key, value in (asked | more).items() if value is not None}


async def listed(api: Client, **where: Any) -> list[dict[str, Any]]:
    return list((await api.call("instances.list", **where))["items"])


def names_of(documents: Iterable[dict[str, Any]]) -> list[str]:
    return [document["name"] for document in documents]


async def group_of(api: Client, operation: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the operations of the single instances, as clients find them."""
    group = operation["operationGroupId"]
    found = await api.call("zoneOperations.list", filter=f'operationGroupId="{group}"')
    return [each for each in found["items"] if each["operationType"] != "bulkInsert"]


class StockOut(NoFaults):
    """Hooks by which creations of some instances find no room, and named steps fail."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.lost: set[str] = set()
        self.struck = 0

    def usable_zones(
        self,
        method: str,
        named: frozenset[str],
        zones: Sequence[str],
        most: int,
        *,
        strike: bool,
    ) -> Sequence[str]:
        assert named == {"vm-##"}
        self.struck += strike
        return [zone for zone in zones if zone not in self.lost][:most]

    async def before_step(self, step: str, target: str) -> None:
        if step in self.names:
            raise ApiError(503, "backendError", f"{step} fails")
        if step == "instances.insert.provision" and target.rpartition("/")[2] in self.names:
            raise ApiError(503, "ZONE_RESOURCE_POOL_EXHAUSTED", f"no room for {target}")


@pytest.fixture
def shortage() -> StockOut:
    return StockOut()


@pytest.fixture
async def scarce(make_cloud: MakeCloud, client_of: ClientOf, shortage: StockOut) -> Client:
    return client_of(await make_cloud(faults=shortage))


async def test_the_instances_are_numbered_and_alike(
    api: Client, runtime: MemoryRuntime, network: MemoryNetwork
) -> None:
    operation = await api.done("instances.bulkInsert", bulk(3))
    instances = await listed(api)
    assert names_of(instances) == ["vm-01", "vm-02", "vm-03"]
    assert {each["status"] for each in instances} == {"RUNNING"}
    assert {each["labels"]["batch"] for each in instances} == {"one"}
    assert {each["machineType"].rpartition("/")[2] for each in instances} == {"f1-micro"}
    assert len(runtime.running) == len(network.attached) == 3
    assert operation["operationType"] == "bulkInsert"
    assert operation["targetLink"].endswith(f"/zones/{ZONE}/instances")
    assert operation["instancesBulkInsertOperationMetadata"]["perLocationStatus"] == {
        f"zones/{ZONE}": {
            "status": "DONE",
            "targetVmCount": 3,
            "createdVmCount": 3,
            "failedToCreateVmCount": 0,
            "deletedVmCount": 0,
        }
    }


async def test_each_instance_has_an_operation_in_the_group(api: Client) -> None:
    operation = await api.done("instances.bulkInsert", bulk(2))
    members = await group_of(api, operation)
    assert {each["operationType"] for each in members} == {"insert"}
    assert {each["status"] for each in members} == {"DONE"}
    ids = {each["id"] for each in await listed(api)}
    assert {each["targetId"] for each in members} == ids


async def test_names_may_be_given_with_host_names(api: Client) -> None:
    each = {"web": {}, "db": {"hostname": "db.example.org"}}
    await api.done("instances.bulkInsert", bulk(2, namePattern=None, perInstanceProperties=each))
    assert names_of(await listed(api)) == ["db", "web"]
    assert (await api.instance("db"))["hostname"] == "db.example.org"
    assert "hostname" not in await api.instance("web")


async def test_numbers_go_on_after_the_biggest_there_is(api: Client, spec: Any) -> None:
    await api.done("instances.insert", spec("vm-07"))
    await api.done("instances.insert", spec("vm-100"))
    await api.done("instances.bulkInsert", bulk(2))
    assert names_of(await listed(api)) == ["vm-07", "vm-08", "vm-09", "vm-100"]


async def test_a_template_is_used_and_overridden(api: Client) -> None:
    template = {"name": "t", "properties": PROPERTIES}
    await api.done("instanceTemplates.insert", template)
    body = bulk(2, sourceInstanceTemplate="global/instanceTemplates/t")
    body["instanceProperties"] = {"machineType": "e2-small", "labels": {"more": "yes"}}
    await api.done("instances.bulkInsert", body)
    for instance in await listed(api):
        assert instance["machineType"].endswith("/e2-small")
        assert instance["labels"] == {"batch": "one", "more": "yes"}


async def test_the_same_request_id_is_the_same_request(api: Client) -> None:
    request = "6f5cb2a4-5a0e-4ce5-9b2c-0a7c4de0c1f2"
    first = await api.done("instances.bulkInsert", bulk(2), requestId=request)
    second = await api.done("instances.bulkInsert", bulk(2), requestId=request)
    assert first["name"] == second["name"]
    assert len(await listed(api)) == 2


async def test_too_few_instances_are_none(
    scarce: Client, shortage: StockOut, runtime: MemoryRuntime, network: MemoryNetwork
) -> None:
    shortage.names = {"vm-02"}
    operation = await scarce.call("instances.bulkInsert", bulk(3))
    assert [each["code"] for each in operation["error"]["errors"]] == [
        "VM_MIN_COUNT_NOT_REACHED",
        "ZONE_RESOURCE_POOL_EXHAUSTED",
    ]
    message = operation["error"]["errors"][0]["message"]
    assert message == "Requested minimum count of 3 VMs could not be created."
    (status,) = operation["instancesBulkInsertOperationMetadata"]["perLocationStatus"].values()
    assert (status["createdVmCount"], status["deletedVmCount"]) == (2, 2)
    assert await listed(scarce) == []
    assert (runtime.running, network.attached) == ({}, {})
    assert (await scarce.call("disks.list"))["items"] == []
    kinds = sorted(each["operationType"] for each in await group_of(scarce, operation))
    assert kinds == ["delete", "delete", "insert", "insert", "insert"]


async def test_what_cannot_be_taken_back_is_told(scarce: Client, shortage: StockOut) -> None:
    """CLEANUP_FAILED: https://cloud.google.com/compute/docs/reference/rest/v1/zoneOperations"""
    shortage.names = {"vm-02", "instances.delete.shutDown"}
    operation = await scarce.call("instances.bulkInsert", bulk(2))
    assert names_of(await listed(scarce)) == ["vm-01"]
    (status,) = operation["instancesBulkInsertOperationMetadata"]["perLocationStatus"].values()
    assert (status["createdVmCount"], status["deletedVmCount"]) == (1, 0)
    name = f"projects/cloudspill-sandbox/zones/{ZONE}/instances/vm-01"
    assert [(each["code"], each["data"]) for each in operation["warnings"]] == [
        ("CLEANUP_FAILED", [{"key": "resource_name", "value": name}])
    ]


async def test_a_request_that_fails_before_it_begins_leaves_nothing(
    scarce: Client, shortage: StockOut, network: MemoryNetwork
) -> None:
    shortage.names = {"instances.bulkInsert.create"}
    operation = await scarce.call("instances.bulkInsert", bulk(2))
    assert operation["error"]["errors"][0]["code"] == "backendError"
    assert {each["status"] for each in await group_of(scarce, operation)} == {"DONE"}
    assert await listed(scarce) == []
    assert (await scarce.call("disks.list"))["items"] == []
    assert "leases" not in {key for key, held in scarce.documents().items() if held}
    assert network.attached == {}


async def test_enough_instances_stay(scarce: Client, shortage: StockOut) -> None:
    shortage.names = {"vm-02"}
    operation = await scarce.done("instances.bulkInsert", bulk(3, minCount="2"))
    (status,) = operation["instancesBulkInsertOperationMetadata"]["perLocationStatus"].values()
    assert (status["createdVmCount"], status["failedToCreateVmCount"]) == (2, 1)
    assert names_of(await listed(scarce)) == ["vm-01", "vm-03"]


async def test_a_quota_lets_as_many_as_it_can_if_that_is_enough(api: Client) -> None:
    api.cloud.limits["INSTANCES"] = 2
    refusal = await api.refused("instances.bulkInsert", bulk(3))
    assert (refusal.status, refusal.reason) == (403, "quotaExceeded")
    await api.done("instances.bulkInsert", bulk(3, minCount="1"))
    assert names_of(await listed(api)) == ["vm-01", "vm-02"]
    assert len((await api.call("disks.list"))["items"]) == 2


async def test_a_region_chooses_a_zone_that_is_not_denied(api: Client) -> None:
    """https://cloud.google.com/compute/docs/instances/multiple/create-in-bulk#regional"""
    denied = {"zones/us-west1-a": {"preference": "DENY"}}
    body = bulk(2, locationPolicy={"locations": denied})
    operation = await api.done("regionInstances.bulkInsert", body)
    assert operation["region"].endswith("/us-west1")
    assert names_of(await listed(api, zone="us-west1-a")) == []
    assert names_of(await listed(api, zone="us-west1-b")) == ["vm-01", "vm-02"]


async def test_a_region_spreads_them_over_its_zones(api: Client) -> None:
    body = bulk(4, locationPolicy={"targetShape": "BALANCED"})
    await api.done("regionInstances.bulkInsert", body)
    held = [len(await listed(api, zone=f"us-west1-{letter}")) for letter in "abc"]
    assert held == [2, 1, 1]


SNAPSHOT = [{"boot": True, "initializeParams": {"sourceSnapshot": "global/snapshots/s"}}]
REFUSED = [
    ({"count": None}, "Required field 'resource.count' not specified"),
    ({"count": "0"}, "'resource.count': '0'. Must be between 1 and 5000"),
    ({"count": "5001"}, "'resource.count': '5001'. Must be between 1 and 5000"),
    ({"minCount": "3"}, "'resource.minCount': '3'. Must be between 1 and 2"),
    ({"namePattern": None}, "Either namePattern or perInstanceProperties must be set."),
    ({"namePattern": "vm"}, "one continuous sequence of at most 18 characters '#'"),
    ({"namePattern": "a#b#"}, "one continuous sequence"),
    ({"namePattern": "Vm-#"}, "Must be a match of regex"),
    ({"namePattern": "#"}, "Must be a match of regex"),
    ({"count": "10", "namePattern": "vm-#"}, "It has no names for 10 instances after number 0."),
    # https://github.com/googleapis/nodejs-compute/issues/765
    (
        {"perInstanceProperties": {"Bad": {}, "ok": {}}},
        "Invalid value for field 'resource.perInstanceProperties.key': 'Bad'. Must be a match of",
    ),
    ({"perInstanceProperties": {"ok": {}}}, "perInstanceProperties names 1 instances."),
    ({"instanceProperties": None}, "Required field 'resource.instanceProperties' not specified"),
    ({"instanceProperties": {}}, "Required field 'resource.instanceProperties' not specified"),
    (
        {"instanceProperties": PROPERTIES | {"machineType": "zones/z/machineTypes/f1-micro"}},
        "'resource.instanceProperties.machineType'",
    ),
    ({"instanceProperties": PROPERTIES | {"disks": SNAPSHOT}}, "cannot come from a snapshot"),
    ({"sourceInstanceTemplate": "none"}, "The referenced instanceTemplate resource cannot be"),
    ({"locationPolicy": {"targetShape": "ANY"}}, "Not supported by this sandbox"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "held"), [("ANY_SINGLE_ZONE", [0, 2, 0]), ("BALANCED", [0, 1, 1])]
)
async def test_a_region_makes_none_in_a_zone_that_is_lost(
    scarce: Client, shortage: StockOut, shape: str, held: list[int]
) -> None:
    """https://cloud.google.com/compute/docs/instances/multiple/about-bulk-creation"""
    shortage.lost = {"us-west1-a"}
    body = bulk(2, locationPolicy={"targetShape": shape})
    await scarce.done("regionInstances.bulkInsert", body)
    assert [len(await listed(scarce, zone=f"us-west1-{letter}")) for letter in "abc"] == held
    assert shortage.struck == 1


async def test_a_request_that_is_refused_spends_no_fault_of_a_zone(
    scarce: Client, shortage: StockOut
) -> None:
    """docs/faults.md: passing a zone over is a strike, when instances are made there."""
    foreign = [{"network": "global/networks/default", "networkIP": "192.168.9.9"}]
    body = bulk(1, instanceProperties=PROPERTIES | {"networkInterfaces": foreign})
    assert (await scarce.refused("regionInstances.bulkInsert", body)).status == 400
    assert shortage.struck == 0


@pytest.mark.parametrize(("fields", "words"), REFUSED)
async def test_what_cannot_be_is_refused_and_makes_nothing(
    api: Client, fields: dict[str, Any], words: str
) -> None:
    refusal = await api.refused("instances.bulkInsert", bulk(2, **fields))
    assert refusal.status == 400
    assert words in refusal.message


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"locations": {"zones/us-east1-b": {"preference": "ALLOW"}}}, "not a zone of the region"),
        (
            {"locations": {f"zones/us-west1-{z}": {"preference": "DENY"} for z in "abc"}},
            "denies every zone",
        ),
        ({"zones": [{"zone": "zones/us-east1-b"}]}, "not a zone of the region"),
        (
            {"locations": {"zones/us-west1-a": {"constraints": {"maxCount": 1}}}},
            "Not supported by this sandbox",
        ),
    ],
)
async def test_a_policy_that_cannot_be_is_refused(
    api: Client, policy: dict[str, Any], words: str
) -> None:
    body = bulk(2, locationPolicy=policy)
    refusal = await api.refused("regionInstances.bulkInsert", body)
    assert words in refusal.message


async def test_a_taken_name_is_refused(api: Client, spec: Any) -> None:
    await api.done("instances.insert", spec("web"))
    body = bulk(2, namePattern=None, perInstanceProperties={"new": {}, "web": {}})
    refusal = await api.refused("instances.bulkInsert", body)
    assert (refusal.status, refusal.reason) == (409, "alreadyExists")
