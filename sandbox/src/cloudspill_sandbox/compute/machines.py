# SPDX-License-Identifier: GPL-3.0-or-later
"""Instance documents on one side, the runtime's machines and the network's links on the other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cloudspill_sandbox.compute import (
    documents,
    interfaces,
    names,
    scheduling,
    topology,
)
from cloudspill_sandbox.compute.catalogue.machine_types import machine_type
from cloudspill_sandbox.compute.together import all_ended
from cloudspill_sandbox.compute.volumes import volume_of
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.store import Store, Transaction
from cloudspill_sandbox.network.interface import Nic
from cloudspill_sandbox.runtime.interface import MachineNic, MachineSpec

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud

_INDEX = "machines"
_GRACE = 90.0
_SPOT_GRACE = 30.0


def index(tx: Transaction, instance: Document) -> None:
    """Make an instance findable by its numeric id, which is all that the runtime knows of it."""
    name = names.relative(instance["selfLink"])
    tx.put(f"{_INDEX}/{instance['id']}", {"instance": name})


def note(tx: Transaction, instance: Document, **facts: Any) -> None:
    """Note what is so of this life of an instance and stands in no document of Google's.

    Whoever waits for the instance is woken. The next start forgets it all (`index`).
    """
    name = names.relative(instance["selfLink"])
    tx.put(f"{_INDEX}/{instance['id']}", {**noted(tx, instance), "instance": name, **facts})
    tx.put(name, instance)


def noted(store: Store | Transaction, instance: Document) -> Document:
    """Return what `note` noted."""
    return store.get(f"{_INDEX}/{instance['id']}") or {}


def instance_of(store: Store, machine: str) -> str:
    """Return the relative name of a machine's instance, "" when it has none (any more)."""
    return str((store.get(f"{_INDEX}/{machine}") or {"instance": ""})["instance"])


def forget(tx: Transaction, instance: Document) -> None:
    """Remove what `index` wrote."""
    tx.delete(f"{_INDEX}/{instance['id']}")


class Machine:
    """The machine of one instance; the document is read anew for each step.

    Args:
        name: relative name of the instance.
    """

    def __init__(self, cloud: Cloud, name: str) -> None:
        self._cloud = cloud
        self._name = name
        self._namespace = ""

    @property
    def document(self) -> Document:
        """The instance as it is now."""
        document = self._cloud.store.get(self._name)
        if document is None:
            raise LookupError(f"{self._name} is gone")
        return document

    def nics(self) -> tuple[Nic, ...]:
        """The instance's interfaces as the network knows them."""
        return topology.nics(self._cloud.store, self.document)

    async def connect(self) -> None:
        """Make the instance's namespace, and let the network know addresses and tags."""
        await all_ended(self._attach(), self._cloud.topology.settle())

    async def _attach(self) -> None:
        self._namespace = await self._cloud.network.attach(self.nics())

    async def expected(self) -> MachineSpec:
        """Make the instance's namespace unless it is there; return what runs in it if on.

        Raises NetworkError, LookupError.
        """
        await self._attach()
        return self._spec()

    async def disconnect(self) -> None:
        """Remove what `connect` made."""
        await self._cloud.network.detach(self.nics())

    async def power_on(self) -> None:
        """Boot; `connect` came before. Raises MachineError."""
        emergency = self._cloud.faults.boot_fails(self._name)
        await self._cloud.runtime.boot(replace(self._spec(), emergency=emergency))

    async def power_off(self) -> None:
        """Cut the power at once."""
        await self._cloud.runtime.power_off(self.document["id"])

    async def plug(self, attached: Document) -> None:
        """Give the machine the disk of an AttachedDisk; one that is off gets it when it boots.

        Raises MachineError, LookupError.
        """
        if not self._cloud.runtime.is_running(self.document["id"]):
            return
        volume, read_only = self._volume(attached), attached["mode"] == "READ_ONLY"
        machine, device = self.document["id"], attached["deviceName"]
        await self._cloud.runtime.plug(machine, device, volume, read_only=read_only)

    async def unplug(self, device: str) -> None:
        """Take a disk from the machine, by its device's name. Raises MachineError."""
        await self._cloud.runtime.unplug(self.document["id"], device)

    async def suspend(self) -> None:
        """Stop the machine and keep its memory. Raises MachineError."""
        await self._cloud.runtime.suspend(self.document["id"])

    async def resume(self) -> None:
        """Let the machine go on; one whose memory a stop of the sandbox ended boots.

        Raises MachineError.
        """
        if self._cloud.runtime.is_running(self.document["id"]):
            await self._cloud.runtime.resume(self.document["id"])
        else:
            await self.power_on()

    async def shut_down(self, *, graceful: bool = True) -> None:
        """Press the power button, and cut the power when the guest takes too long.

        https://cloud.google.com/compute/docs/shutdownscript#limitations: 90 s, Spot 30 s.
        """
        document = self.document
        grace = _SPOT_GRACE if scheduling.may_be_preempted(document) else _GRACE
        if not graceful or document["scheduling"].get("skipGuestOsShutdown"):
            grace = 0.0
        await self._cloud.runtime.shut_down(document["id"], grace)

    def _spec(self) -> MachineSpec:
        document = self.document
        size = machine_type(names.last(document["machineType"]))
        if size is None:
            raise LookupError(f"{document['machineType']} is not in the catalogue")
        nic = self.nics()[0]
        boot, *data = sorted(document["disks"], key=lambda disk: not disk["boot"])
        return MachineSpec(
            id=document["id"],
            name=document["name"],
            hostname=nic.hostname,
            boot_volume=self._volume(boot),
            nic=MachineNic(self._namespace, nic.internal_ip, nic.mac),
            vcpus=float(size.vcpus),
            memory_mb=size.memory_mb,
            data_volumes=tuple((disk["deviceName"], self._volume(disk)) for disk in data),
            read_only=frozenset(d["deviceName"] for d in data if d["mode"] == "READ_ONLY"),
        )

    def _volume(self, attached: Document) -> str:
        disk = self._cloud.store.get(names.relative(attached["source"]))
        if disk is None:
            raise LookupError(f"{attached['source']} is gone")
        return volume_of(disk)


def running(cloud: Cloud, tx: Transaction, name: str) -> None:
    """Write that an instance runs, from now; TERMINATED when its machine went off at once."""
    instance = tx.get(name)
    if instance is None:
        return
    if not cloud.runtime.is_running(instance["id"]):
        # Its end was reported while it was still STAGING, when nobody could make sense of it.
        terminated(cloud, tx, name)
    else:
        now = cloud.clock()
        started = {"status": "RUNNING", "lastStartTimestamp": documents.timestamp(now)}
        tx.put(name, scheduling.limited(instance | started, now))


def as_it_is(cloud: Cloud, tx: Transaction, name: str) -> None:
    """Write what became of an instance whose change of power failed: on, suspended or off."""
    instance = tx.get(name)
    if instance is None or not cloud.runtime.is_running(instance["id"]):
        terminated(cloud, tx, name)
    elif cloud.runtime.is_suspended(instance["id"]):
        suspended(tx, name, instance)
    else:
        tx.put(name, instance | {"status": "RUNNING"})


def suspended(tx: Transaction, name: str, instance: Document) -> None:
    """Write that an instance stands still; its ephemeral external address goes back.

    As a stop, it clears the time at which a limited run is to end.
    """
    still = scheduling.unlimited(interfaces.without_ephemeral(tx, name, instance))
    tx.put(name, still | {"status": "SUSPENDED"})


def terminated(cloud: Cloud, tx: Transaction, name: str) -> None:
    """Write that an instance is off; its ephemeral external address goes back."""
    if instance := tx.get(name):
        stopped = documents.timestamp(cloud.clock())
        off = scheduling.unlimited(interfaces.without_ephemeral(tx, name, instance))
        tx.put(name, off | {"status": "TERMINATED", "lastStopTimestamp": stopped})
