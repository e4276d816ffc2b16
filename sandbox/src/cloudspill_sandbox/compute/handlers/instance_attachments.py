# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks that come to and go from an instance.

https://cloud.google.com/compute/docs/reference/rest/v1/instances/attachDisk.
"""

from __future__ import annotations

from cloudspill_sandbox.compute import disks, machines, names, refusals
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.handlers import Methods
from cloudspill_sandbox.compute.lookup import found, zonal
from cloudspill_sandbox.compute.operations import Step, Work, Writes
from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.store import Transaction


async def _attach_disk(cloud: Cloud, call: Call) -> Document:
    """https://cloud.google.com/compute/docs/disks/add-persistent-disk#api"""
    name = zonal(call, "instances", "instance")
    with cloud.transaction() as tx:
        instance = found(tx, name)
        running = _is_on(name, instance)
        if not call.body.get("source"):
            raise refusals.missing("source")
        boot = bool(call.body.get("boot"))
        disks.check_attachment("resource", call.body, boot=boot)
        disk = disks.existing(cloud, tx, name, call.body, "resource")
        if boot and any(entry["boot"] for entry in instance["disks"]):
            raise refusals.invalid_value("boot", "true", "The instance has a boot disk.")
        index = 1 + max((entry["index"] for entry in instance["disks"]), default=-1)
        auto_delete = bool(call.body.get("autoDelete"))
        new = disks.attachment(disk, call.body, index, boot=boot, auto_delete=auto_delete)
        attached = [*instance["disks"], new]
        disks.check_count("disks", len(attached))
        disks.check_device_names("disks", attached)
        tx.put(name, instance | {"disks": attached})
        disks.use(cloud, tx, names.relative(disk["selfLink"]), name)
        operation = cloud.operations.open(tx, call, "attachDisk", name)
    machine = machines.Machine(cloud, name)

    async def plug() -> None:
        await machine.plug(new)

    steps = (Step("instances.attachDisk.plug", plug),) if running else ()
    failed = _detaching(cloud, name, new)
    return await cloud.operations.perform(operation, Work(steps, failed=failed))


async def _detach_disk(cloud: Cloud, call: Call) -> Document:
    """What a guest has open on a disk that goes is lost to it, as on Google Cloud."""
    name = zonal(call, "instances", "instance")
    device = call.query["deviceName"]
    with cloud.transaction() as tx:
        instance = found(tx, name)
        going = disks.attached(instance, device)
        if going["boot"] and instance["status"] != "TERMINATED":
            raise refusals.invalid_usage(
                "To detach the boot disk, the instance must be in TERMINATED state"
            )
        running = _is_on(name, instance)
        operation = cloud.operations.open(tx, call, "detachDisk", name)
    machine = machines.Machine(cloud, name)

    async def unplug() -> None:
        await machine.unplug(device)

    steps = (Step("instances.detachDisk.unplug", unplug),) if running else ()
    return await cloud.operations.perform(operation, Work(steps, _detaching(cloud, name, going)))


def _detaching(cloud: Cloud, name: str, going: Document) -> Writes:
    """Return what takes one disk from an instance, and leaves what others attach meanwhile."""

    def write(tx: Transaction) -> None:
        now = tx.get(name)
        if now is None or going["source"] not in {entry["source"] for entry in now["disks"]}:
            return  # another call was first
        rest = [entry for entry in now["disks"] if entry["source"] != going["source"]]
        tx.put(name, now | {"disks": rest})
        disks.let_go(cloud, tx, names.relative(going["source"]), name)

    return write


def _is_on(name: str, instance: Document) -> bool:
    """Whether an instance runs; it is off otherwise. Raises ApiError for what is in between."""
    if instance["status"] not in {"RUNNING", "TERMINATED"}:
        raise refusals.not_ready(name)
    return bool(instance["status"] == "RUNNING")


METHODS: Methods = {
    "attachDisk": _attach_disk,
    "detachDisk": _detach_disk,
}
