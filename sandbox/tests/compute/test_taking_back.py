# SPDX-License-Identifier: GPL-3.0-or-later
"""What a failing operation takes back when others changed what it is about meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.faults.interface import NoFaults
from cloudspill_sandbox.network.memory import MemoryNetwork
from cloudspill_sandbox.runtime.memory import MemoryRuntime

from .conftest import ZONE, Client, MakeCloud, idle

VM = {"instance": "vm"}
NIC = {"networkInterface": "nic0"}


class LateFailure(NoFaults):
    """One step fails, but not before the test lets it."""

    def __init__(self) -> None:
        self.step = ""
        self.due = asyncio.Event()

    async def before_step(self, step: str, target: str) -> None:
        if step == self.step:
            self.step = ""
            await self.due.wait()
            raise ApiError(500, "INTERNAL_ERROR", "Internal error.")


class Failing:
    """A request that was accepted, and fails when the test lets it."""

    def __init__(self, late: LateFailure, answer: asyncio.Task[Any]) -> None:
        self._late = late
        self._answer = answer

    async def ends(self) -> None:
        """Let it fail, and wait for that."""
        assert not self._answer.done()
        self._late.due.set()
        assert (await self._answer)["error"]["errors"][0]["code"] == "INTERNAL_ERROR"


@pytest.fixture
def late() -> LateFailure:
    return LateFailure()


@pytest.fixture
async def api(
    make_cloud: MakeCloud, client_of: Callable[[Cloud], Client], late: LateFailure
) -> Client:
    return client_of(await make_cloud(faults=late))


Begin = Callable[..., Awaitable[Failing]]


@pytest.fixture
def begin(api: Client, late: LateFailure) -> Begin:
    """Return what begins a request that is going to fail where it applies what it wrote."""

    async def begun(method: str, body: Any = None, **parameters: Any) -> Failing:
        late.step = f"{method}.apply"
        answer = asyncio.create_task(api.call(method, body, **parameters))
        await idle()
        return Failing(late, answer)

    return begun


async def test_an_instance_made_anew_keeps_the_metadata_that_it_was_made_with(
    api: Client, begin: Begin, spec: Any
) -> None:
    old, new = ({"items": [{"key": "role", "value": value}]} for value in ("old", "new"))
    await api.done("instances.insert", spec(metadata=old))
    fingerprint = (await api.instance())["metadata"]["fingerprint"]
    failing = await begin("instances.setMetadata", new | {"fingerprint": fingerprint}, **VM)
    await api.done("instances.delete", **VM)
    await api.done("instances.insert", spec(metadata=new))
    await failing.ends()
    assert (await api.instance())["metadata"]["items"] == new["items"]


async def test_an_address_made_anew_is_in_nobodys_use(api: Client, begin: Begin, spec: Any) -> None:
    async def reserved() -> dict[str, Any]:
        return dict(await api.call("addresses.get", address="front"))

    await api.done("addresses.insert", {"name": "front"})
    natted = [{"accessConfigs": [{"name": "nat", "natIP": (await reserved())["address"]}]}]
    await api.done("instances.insert", spec(networkInterfaces=natted))
    failing = await begin("instances.deleteAccessConfig", **VM, **NIC, accessConfig="nat")
    await api.done("addresses.delete", address="front")
    await api.done("addresses.insert", {"name": "front"})
    await failing.ends()
    anew = await reserved()
    assert (anew["status"], "users" in anew) == ("RESERVED", False)
    assert "accessConfigs" not in (await api.instance())["networkInterfaces"][0]


async def two_subnetworks(api: Client) -> None:
    """Make the network `own` with the subnetworks `a` and `b`."""
    await api.done("networks.insert", {"name": "own", "autoCreateSubnetworks": False})
    for name, ip_range in (("a", "10.9.4.0/28"), ("b", "10.9.5.0/28")):
        body = {"name": name, "network": "global/networks/own", "ipCidrRange": ip_range}
        await api.done("subnetworks.insert", body)


async def moving(api: Client, begin: Begin) -> Failing:
    """Begin to move the instance into the subnetwork `b`."""
    (nic,) = (await api.instance())["networkInterfaces"]
    there = {"network": "global/networks/own", "subnetwork": "regions/us-west1/subnetworks/b"}
    body = there | {"fingerprint": nic["fingerprint"]}
    return await begin("instances.updateNetworkInterface", body, **VM, **NIC)


@pytest.mark.parametrize("left", ["subnetworks", "networks"])
async def test_what_an_instance_moves_out_of_is_there_when_it_comes_back(
    api: Client, begin: Begin, spec: Any, left: str
) -> None:
    """What is used cannot be deleted: https://cloud.google.com/vpc/docs/create-modify-vpc-networks."""
    await two_subnetworks(api)
    await api.done("networks.insert", {"name": "left"})  # automatic subnetworks go with it
    home = {"subnetworks": {"subnetwork": "a"}, "networks": {"network": "left"}}[left]
    at = (
        {"subnetwork": "regions/us-west1/subnetworks/a"}
        if left == "subnetworks"
        else {"network": "global/networks/left"}
    )
    await api.done("instances.insert", spec(networkInterfaces=[at]))
    await api.done("instances.stop", **VM)
    before = await api.instance()
    failing = await moving(api, begin)
    refusal = await api.refused(f"{left}.delete", **home)
    assert refusal.reason == "resourceInUseByAnotherResource"
    assert refusal.message.endswith("/instances/vm'")
    await failing.ends()
    assert (await api.instance())["networkInterfaces"] == before["networkInterfaces"]
    await api.done("instances.start", **VM)


async def test_what_an_instance_has_moved_out_of_may_go(
    api: Client, late: LateFailure, begin: Begin, spec: Any
) -> None:
    await two_subnetworks(api)
    nic = {"subnetwork": "regions/us-west1/subnetworks/a"}
    await api.done("instances.insert", spec(networkInterfaces=[nic]))
    await api.done("instances.stop", **VM)
    failing = await moving(api, begin)
    await failing.ends()
    (nic,) = (await api.instance())["networkInterfaces"]
    there = {"subnetwork": "regions/us-west1/subnetworks/b", "fingerprint": nic["fingerprint"]}
    await api.done("instances.updateNetworkInterface", there, **VM, **NIC)
    await api.done("subnetworks.delete", subnetwork="a")


RULE = {"name": "web", "network": "global/networks/own", "allowed": [{"IPProtocol": "tcp"}]}


@pytest.mark.parametrize("anew", [False, True])
async def test_a_firewall_rule_does_not_come_back_when_its_network_has_gone(
    api: Client, begin: Begin, network: MemoryNetwork, anew: bool
) -> None:
    own = {"name": "own", "autoCreateSubnetworks": False}
    await api.done("networks.insert", own)
    await api.done("firewalls.insert", RULE)
    failing = await begin("firewalls.delete", firewall="web")
    await api.done("networks.delete", network="own")
    if anew:
        await api.done("networks.insert", own)
    await failing.ends()
    assert (await api.refused("firewalls.get", firewall="web")).status == 404
    assert "web" not in {rule.name for rule in network.topology.rules}


async def test_a_firewall_rule_does_not_go_back_to_a_network_that_has_gone(
    api: Client, begin: Begin
) -> None:
    await api.done("networks.insert", {"name": "own", "autoCreateSubnetworks": False})
    await api.done("firewalls.insert", RULE)
    elsewhere = RULE | {"network": "global/networks/default"}
    failing = await begin("firewalls.update", elsewhere, firewall="web")
    await api.done("networks.delete", network="own")
    await failing.ends()
    rule = await api.call("firewalls.get", firewall="web")
    assert rule["network"].endswith("/global/networks/default")


async def test_the_address_of_an_instance_that_moves_is_not_released_before_it_has(
    api: Client, begin: Begin, spec: Any, network: MemoryNetwork
) -> None:
    """The answer: https://github.com/googleapis/google-cloud-java/issues/9312."""
    await two_subnetworks(api)
    await api.done("addresses.insert", {"name": "front"})
    natted = {"accessConfigs": [{"natIP": "198.19.0.2"}]}
    nic = natted | {"subnetwork": "regions/us-west1/subnetworks/a"}
    await api.done("instances.insert", spec(networkInterfaces=[nic]))
    await api.done("instances.stop", **VM)
    before = (await api.instance())["networkInterfaces"]
    failing = await moving(api, begin)
    refusal = await api.refused("addresses.delete", address="front")
    assert (refusal.status, refusal.reason) == (400, "resourceNotReady")
    await failing.ends()
    assert (await api.instance())["networkInterfaces"] == before
    assert before[0]["networkIP"] in api.documents()["leases"]
    await api.done("addresses.delete", address="front")


LARGE = {"machineType": f"zones/{ZONE}/machineTypes/n1-standard-4"}
SETTINGS: dict[str, dict[str, Any]] = {
    "setMachineType": LARGE,
    "setMinCpuPlatform": {"minCpuPlatform": "Intel Skylake"},
    "setScheduling": {"onHostMaintenance": "TERMINATE", "automaticRestart": False},
    "setServiceAccount": {},
    "updateShieldedInstanceConfig": {"enableSecureBoot": True},
    "update": LARGE,
}


@pytest.fixture
async def stopped(api: Client, spec: Any) -> dict[str, Any]:
    """Make an instance and stop it."""
    size = {"machineType": f"zones/{ZONE}/machineTypes/n1-standard-1"}
    scopes = ["https://www.googleapis.com/auth/cloud-platform"]
    account = {"serviceAccounts": [{"email": "default", "scopes": scopes}]}
    await api.done("instances.insert", spec(**size, **account))
    await api.done("instances.stop", **VM)
    return await api.instance()


@pytest.mark.parametrize("method", SETTINGS)
async def test_an_instance_does_not_start_with_what_may_be_taken_back_yet(
    api: Client, begin: Begin, runtime: MemoryRuntime, stopped: dict[str, Any], method: str
) -> None:
    """The answer: https://github.com/googleapis/google-cloud-java/issues/9312."""
    body = stopped | SETTINGS[method] if method == "update" else SETTINGS[method]
    failing = await begin(f"instances.{method}", body, **VM)
    assert await api.instance() != stopped
    refusal = await api.refused("instances.start", **VM)
    assert (refusal.status, refusal.reason) == (400, "resourceNotReady")
    await failing.ends()
    assert await api.instance() == stopped
    await api.done("instances.start", **VM)
    assert runtime.running[stopped["id"]].vcpus == 1


@pytest.mark.parametrize("method", SETTINGS)
async def test_an_instance_starts_with_what_was_set(
    api: Client, stopped: dict[str, Any], method: str
) -> None:
    body = stopped | SETTINGS[method] if method == "update" else SETTINGS[method]
    await api.done(f"instances.{method}", body, **VM)
    await api.done("instances.start", **VM)


async def test_what_a_machine_hears_of_at_any_time_keeps_no_start_waiting(
    api: Client, begin: Begin, stopped: dict[str, Any]
) -> None:
    body = {"items": ["web"], "fingerprint": stopped["tags"]["fingerprint"]}
    failing = await begin("instances.setTags", body, **VM)
    await api.done("instances.start", **VM)
    await failing.ends()
    instance = await api.instance()
    assert (instance["status"], instance["tags"]) == ("RUNNING", stopped["tags"])
