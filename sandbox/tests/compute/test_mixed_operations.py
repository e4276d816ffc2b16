# SPDX-License-Identifier: GPL-3.0-or-later
"""Many clients at once, on few names, with operations that fail: in the end all parts agree."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cloudspill_sandbox.compute import names
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.latency import Gce
from cloudspill_sandbox.compute.volumes import volume_of
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.faults.interface import NoFaults
from cloudspill_sandbox.network.memory import MemoryNetwork
from cloudspill_sandbox.runtime.interface import MachineError, VolumeError
from cloudspill_sandbox.runtime.memory import MemoryRuntime

from .conftest import ZONE, Client, MakeCloud, idle

ZONAL = f"projects/cloudspill-sandbox/zones/{ZONE}"
GLOBAL = "projects/cloudspill-sandbox/global"
REGIONAL = "projects/cloudspill-sandbox/regions/us-west1"
CLIENTS, CALLS = 10, 60
SUBNETWORKS = ("back", "third")


class RandomFailures(NoFaults):
    """Now and then a step fails, before it does anything or in the runtime."""

    def __init__(self, dice: random.Random, runtime: MemoryRuntime) -> None:
        self._dice = dice
        self._runtime = runtime
        self.over = False

    async def before_step(self, step: str, target: str) -> None:
        if self.over:
            return
        if self._dice.random() < 0.1:
            methods = ["boot", "create_volume", "freeze_volume", "shut_down", "plug", "unplug"]
            method = self._dice.choice(methods)
            self._runtime.failures[method] = self._dice.choice([MachineError, VolumeError])("no")
        if self._dice.random() < 0.06:
            raise ApiError(500, "INTERNAL_ERROR", f"{step} of {target}")


class Load:
    """Calls at random."""

    def __init__(self, api: Client, spec: Any, dice: random.Random) -> None:
        self._api = api
        self._spec = spec
        self._dice = dice

    async def client(self) -> None:
        """Be one client; refusals are part of it."""
        for _ in range(CALLS):
            with contextlib.suppress(ApiError):
                await self._dice.choice(
                    [self._instance, self._disk, self._copy, self._setting, self._change]
                )()
            for _ in range(self._dice.randrange(6)):
                await asyncio.sleep(0)

    def _name(self, kind: str) -> str:
        return f"{kind}-{self._dice.randrange(2)}"

    def _disk_name(self) -> str:
        return self._name(self._dice.choice(["vm", "disk"]))

    async def _instance(self) -> None:
        method = self._dice.choice(
            ["delete", "stop", "start", "start", "reset", "insert", "insert"]
        )
        if method != "insert":
            await self._api.call(f"instances.{method}", instance=self._name("vm"))
            return
        body = self._spec(self._name("vm"))
        if self._dice.random() < 0.3:
            action = self._dice.choice(["STOP", "DELETE"])
            body["scheduling"] = {"provisioningModel": "SPOT", "instanceTerminationAction": action}
        if self._dice.random() < 0.3:
            snapshot = {"sourceSnapshot": f"global/snapshots/{self._name('copy')}"}
            body["disks"] = [{"boot": True, "autoDelete": True, "initializeParams": snapshot}]
        if self._dice.random() < 0.5:
            mode = self._dice.choice(["READ_ONLY", "READ_WRITE"])
            body["disks"] = [*body["disks"], self._attached() | {"mode": mode}]
        if self._dice.random() < 0.5:
            body["networkInterfaces"].append(self._subnetwork() | {"accessConfigs": [{}]})
        await self._api.call("instances.insert", body)

    def _subnetwork(self) -> dict[str, Any]:
        return {"subnetwork": f"regions/us-west1/subnetworks/{self._dice.choice(SUBNETWORKS)}"}

    async def _change(self) -> None:
        """Change an instance in place, move an interface of it, widen its subnetwork, or make
        several at once."""
        vm = {"instance": self._name("vm")}
        case = self._dice.randrange(4)
        if case == 0:
            body = {
                "count": "2",
                "minCount": self._dice.choice(["1", "2"]),
                "namePattern": self._dice.choice(["vm-#", "disk-#"]),
                "instanceProperties": {
                    "machineType": "f1-micro",
                    "disks": self._spec()["disks"],
                    "networkInterfaces": [{}, self._subnetwork()],
                },
            }
            await self._api.call("instances.bulkInsert", body)
            return
        if case == 1:
            number = self._dice.randrange(len(SUBNETWORKS))
            wider = {"ipCidrRange": f"10.{number}.0.0/{self._dice.randrange(20, 24)}"}
            subnetwork = SUBNETWORKS[number]
            await self._api.call("subnetworks.expandIpCidrRange", wider, subnetwork=subnetwork)
            return
        instance = await self._api.call("instances.get", **vm)
        if case == 2:
            machine_type = (
                f"zones/{ZONE}/machineTypes/{self._dice.choice(['f1-micro', 'e2-micro'])}"
            )
            forward = self._dice.random() < 0.5
            body = instance | {"machineType": machine_type, "canIpForward": forward}
            most = self._dice.choice(["REFRESH", "RESTART"])
            await self._api.call("instances.update", body, mostDisruptiveAllowedAction=most, **vm)
            return
        interface = self._dice.choice(instance["networkInterfaces"])
        body = self._subnetwork() | {"fingerprint": interface["fingerprint"]}
        where = {"networkInterface": interface["name"], **vm}
        await self._api.call("instances.updateNetworkInterface", body, **where)

    def _attached(self) -> dict[str, Any]:
        source = f"zones/{ZONE}/disks/{self._disk_name()}"
        return {"source": source, "autoDelete": self._dice.random() < 0.5}

    async def _disk(self) -> None:
        name = self._disk_name()
        sources: list[dict[str, str]] = [
            {},
            {"sourceSnapshot": f"global/snapshots/{self._name('copy')}"},
            {"sourceDisk": f"zones/{ZONE}/disks/{self._disk_name()}"},
        ]
        match self._dice.randrange(4):
            case 0:
                await self._api.call("disks.delete", disk=name)
            case 1:
                size = {"sizeGb": str(self._dice.randrange(11, 40))}
                await self._api.call("disks.resize", size, disk=name)
            case _:
                body = {"name": name, "sizeGb": "40"} | self._dice.choice(sources)
                await self._api.call("disks.insert", body)

    async def _copy(self) -> None:
        name = self._name("copy")
        match self._dice.randrange(5):
            case 0:
                await self._api.call("snapshots.delete", snapshot=name)
            case 1:
                await self._api.call("images.delete", image=name)
            case 2:
                image = {"name": name, "sourceSnapshot": f"global/snapshots/{name}"}
                await self._api.call("images.insert", image)
            case _:
                await self._api.call("disks.createSnapshot", {"name": name}, disk=self._disk_name())

    async def _setting(self) -> None:
        vm, device = {"instance": self._name("vm")}, {"deviceName": "persistent-disk-1"}
        nic = {"networkInterface": self._dice.choice(["nic0", "nic1"])}
        settings: list[Callable[[], Awaitable[Any]]] = [
            lambda: self._api.call("instances.attachDisk", self._attached(), **vm),
            lambda: self._api.call("instances.detachDisk", **vm, **device),
            lambda: self._api.call("instances.setDiskAutoDelete", **vm, **device, autoDelete=True),
            lambda: self._api.call("instances.deleteAccessConfig", **vm, **nic, accessConfig="nat"),
            lambda: self._api.call("instances.addAccessConfig", {"name": "nat"}, **vm, **nic),
            lambda: self._api.call("instances.simulateMaintenanceEvent", **vm),
            self._pass_time,
        ]
        await self._dice.choice(settings)()

    async def _pass_time(self) -> None:
        self._api.cloud.clock.advance(self._dice.choice([1, 30, 61]))


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_is_done_at_once_leaves_nothing_half_done(
    make_cloud: MakeCloud,
    client_of: Callable[[Cloud], Client],
    spec: Any,
    runtime: MemoryRuntime,
    network: MemoryNetwork,
    seed: int,
) -> None:
    dice = random.Random(seed)

    async def sleep(_: float) -> None:
        for _ in range(dice.randrange(30)):
            await asyncio.sleep(0)

    failures = RandomFailures(dice, runtime)
    api = client_of(await make_cloud(latency=Gce(seed, sleep), faults=failures))
    await _make_networks(api)
    load = Load(api, spec, dice)
    await asyncio.gather(*(load.client() for _ in range(CLIENTS)))
    failures.over = True
    runtime.failures.clear()
    for _ in range(10):  # announced maintenance, preemptions, and endings to be tried again
        api.cloud.clock.advance(61)
        await idle()
    documents = api.documents()
    assert {o["status"] for o in documents[f"{ZONAL}/operations"].values()} == {"DONE"}
    _check_machines_and_disks(documents, runtime)
    _check_addresses(documents, network)


async def _make_networks(api: Client) -> None:
    for number, name in enumerate(SUBNETWORKS):
        network = {"name": name, "autoCreateSubnetworks": False}
        await api.call("networks.insert", network)
        subnetwork = {"name": name, "network": f"global/networks/{name}"}
        subnetwork["ipCidrRange"] = f"10.{number}.0.0/24"
        await api.call("subnetworks.insert", subnetwork)


def _check_machines_and_disks(documents: Any, runtime: MemoryRuntime) -> None:
    instances = documents.get(f"{ZONAL}/instances", {})
    disks = documents.get(f"{ZONAL}/disks", {})
    on = {each["id"]: each for each in instances.values() if each["status"] == "RUNNING"}
    assert {each["status"] for each in instances.values()} <= {"RUNNING", "TERMINATED"}
    assert runtime.running.keys() == on.keys()
    assert documents.get("machines", {}).keys() == {each["id"] for each in instances.values()}
    for machine, instance in on.items():
        attached = {names.last(each["source"]) for each in instance["disks"]}
        assert {*runtime.running[machine].volumes} == {volume_of(disks[each]) for each in attached}
    uses = {(each["source"], i["selfLink"]) for i in instances.values() for each in i["disks"]}
    assert uses == {(d["selfLink"], user) for d in disks.values() for user in d.get("users", ())}
    copies = [*documents.get(f"{GLOBAL}/snapshots", {}).values()]
    copies += documents.get(f"{GLOBAL}/images", {}).values()
    kept = [*disks.values(), *copies]
    assert {each["status"] for each in kept} <= {"READY"}
    assert {*runtime.volumes} == {"debian-12", *map(volume_of, kept)}


def _check_addresses(documents: Any, network: MemoryNetwork) -> None:
    interfaces = [
        interface
        for instance in documents.get(f"{ZONAL}/instances", {}).values()
        for interface in instance["networkInterfaces"]
    ]
    internal = {interface["networkIP"] for interface in interfaces}
    configs = [config for each in interfaces for config in each.get("accessConfigs", ())]
    external = {config["natIP"] for config in configs if "natIP" in config}
    assert documents.get("leases", {}).keys() == internal | external
    assert {nic.internal_ip for nic in network.topology.nics} == internal
    for nic in network.topology.nics:
        name = names.last(nic.network)
        subnetwork = documents[f"{REGIONAL}/subnetworks"][name]
        assert nic.subnet == subnetwork["ipCidrRange"]
    assert {nic.external_ip for nic in network.topology.nics} - {None} == external
    assert network.attached.keys() <= internal
