# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks that come to and go from an instance.

https://cloud.google.com/compute/docs/reference/rest/v1/instances/attachDisk.
"""

from __future__ import annotations

from cloudspill_sandbox.compute import disk_features, disks, names, refusals, under_way
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.disk_changes import DiskChange
from cloudspill_sandbox.compute.handlers import Methods
from cloudspill_sandbox.compute.lookup import found, zonal
from cloudspill_sandbox.compute.operations import Step, Work
from cloudspill_sandbox.engine.call import Call, Document


async def _attach_disk(cloud: Cloud, call: Call) -> Document:
    """https://cloud.google.com/compute/docs/disks/add-persistent-disk#api"""
    name = zonal(call, "instances", "instance")
    with cloud.transaction() as tx:
        instance = found(tx, name)
        _check_is_on_or_off(name, instance)
        if not call.body.get("source"):
            raise refusals.missing("source")
        boot = bool(call.body.get("boot"))
        disks.check_attachment("resource", call.body, boot=boot)
        disk = disks.existing(cloud, tx, name, call.body, "resource")
        disk_features.check_machine_type(disk, instance["machineType"])
        if boot and any(entry["boot"] for entry in instance["disks"]):
            raise refusals.invalid_value("boot", "true", "The instance has a boot disk.")
        index = 1 + max((entry["index"] for entry in instance["disks"]), default=-1)
        auto_delete = bool(call.body.get("autoDelete"))
        new = disks.attachment(disk, call.body, index, boot=boot, auto_delete=auto_delete)
        attached = [*instance["disks"], new]
        disks.check_count("disks", len(attached), instance["machineType"])
        disks.check_device_names("disks", attached)
        tx.put(name, instance | {"disks": attached})
        disks.use(cloud, tx, names.relative(disk["selfLink"]), name)
        operation = cloud.operations.open(tx, call, "attachDisk", name)
        change = DiskChange(cloud, name, operation, new)
        change.begin(tx)
    step = Step("instances.attachDisk.plug", change.plug)
    work = Work((step,), done=change.left, failed=change.detached)
    return await cloud.operations.perform(operation, work)


async def _detach_disk(cloud: Cloud, call: Call) -> Document:
    """What a guest has open on a disk that goes is lost to it, as on Google Cloud."""
    name = zonal(call, "instances", "instance")
    device = call.query["deviceName"]
    with cloud.transaction() as tx:
        instance = found(tx, name)
        going = disks.attached(instance, device)
        under_way.check_none(tx, instance, under_way.disk(device))
        if going["boot"] and instance["status"] != "TERMINATED":
            raise refusals.invalid_usage(
                "To detach the boot disk, the instance must be in TERMINATED state"
            )
        _check_is_on_or_off(name, instance)
        operation = cloud.operations.open(tx, call, "detachDisk", name)
        change = DiskChange(cloud, name, operation, going)
        change.begin(tx)
    step = Step("instances.detachDisk.unplug", change.unplug)
    work = Work((step,), done=change.detached, failed=change.left)
    return await cloud.operations.perform(operation, work)


def _check_is_on_or_off(name: str, instance: Document) -> None:
    """Raises ApiError for an instance that is in between."""
    if instance["status"] not in {"RUNNING", "TERMINATED"}:
        raise refusals.not_ready(name)


METHODS: Methods = {
    "attachDisk": _attach_disk,
    "detachDisk": _detach_disk,
}
