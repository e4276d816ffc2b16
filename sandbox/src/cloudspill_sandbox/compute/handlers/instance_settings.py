# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be changed about an instance: tags, metadata, labels, machine type, and so on.

https://cloud.google.com/compute/docs/reference/rest/v1/instances.
"""

from __future__ import annotations

from collections.abc import Callable

from cloudspill_sandbox.compute import (
    cpu_platforms,
    disks,
    documents,
    instance_metadata,
    instance_plan,
    instance_updates,
    interface_rules,
    names,
    refusals,
    scheduling,
    service_accounts,
    tags,
)
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.handlers import Methods, labels
from cloudspill_sandbox.compute.lookup import found, zonal
from cloudspill_sandbox.compute.rollback import rollback
from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.store import Transaction

_Change = Callable[[Transaction, Document], Document]


async def _change(
    cloud: Cloud, call: Call, kind: str, change: _Change, parameter: str = "instance"
) -> Document:
    """Put `change(tx, instance)` in the instance's place; the network is told before it is done."""
    name = zonal(call, "instances", parameter)
    with cloud.transaction() as tx:
        instance = found(tx, name)
        changed = instance_plan.stamped(change(tx, instance))
        tx.put(name, changed)
        take_back = rollback(cloud.store, tx)
        operation = cloud.operations.open(tx, call, kind, name)
        work = instance_updates.applied(cloud, tx, operation, instance, changed, take_back)
    return await cloud.operations.perform(operation, work)


async def _set_tags(cloud: Cloud, call: Call) -> Document:
    return await _change(
        cloud,
        call,
        "setTags",
        lambda _, instance: instance | {"tags": tags.replaced(instance["tags"], call.body)},
    )


async def _set_metadata(cloud: Cloud, call: Call) -> Document:
    def change(_: Transaction, instance: Document) -> Document:
        metadata = instance_metadata.replaced("metadata", instance["metadata"], call.body)
        return instance | {"metadata": metadata}

    return await _change(cloud, call, "setMetadata", change)


async def _set_labels(cloud: Cloud, call: Call) -> Document:
    name = zonal(call, "instances", "instance")
    return await labels.replace(cloud, call, name, instance_plan.stamped)


async def _set_service_account(cloud: Cloud, call: Call) -> Document:
    """Only while stopped: https://cloud.google.com/compute/docs/instances/change-service-account.

    The sentence is the one that users of gcloud quote.
    """

    def change(tx: Transaction, instance: Document) -> Document:
        if instance["status"] != "TERMINATED":
            raise refusals.unsupported(
                "The instance must be stopped before the service account can be changed."
            )
        rest = {key: value for key, value in instance.items() if key != "serviceAccounts"}
        body = [call.body] if call.body.get("email") else []
        accounts = service_accounts.checked(cloud, tx, "serviceAccount", body)
        return rest | ({"serviceAccounts": accounts} if accounts else {})

    return await _change(cloud, call, "setServiceAccount", change)


async def _set_machine_type(cloud: Cloud, call: Call) -> Document:
    """Only while stopped:
    https://cloud.google.com/compute/docs/instances/changing-machine-type-of-stopped-instance."""

    def change(_: Transaction, instance: Document) -> Document:
        _check_stopped(instance, "The instance must be stopped to change its machine type")
        asked = call.body.get("machineType")
        link = instance_plan.checked_machine_type(cloud, call.path["zone"], "machineType", asked)
        interface_rules.check_count("networkInterfaces", len(instance["networkInterfaces"]), link)
        return instance | {"machineType": link}

    return await _change(cloud, call, "setMachineType", change)


async def _set_min_cpu_platform(cloud: Cloud, call: Call) -> Document:
    """https://cloud.google.com/compute/docs/instances/specify-min-cpu-platform (stopped only)."""

    def change(_: Transaction, instance: Document) -> Document:
        _check_stopped(instance, "The instance must be stopped to change its CPU platform")
        rest = {key: value for key, value in instance.items() if key != "minCpuPlatform"}
        size = instance["machineType"]
        return rest | cpu_platforms.asked("minCpuPlatform", call.body, size)

    return await _change(cloud, call, "setMinCpuPlatform", change)


async def _update_shielded_config(cloud: Cloud, call: Call) -> Document:
    """https://cloud.google.com/compute/shielded-vm/docs/modifying-shielded-vm (stopped only)."""

    def change(_: Transaction, instance: Document) -> Document:
        _check_stopped(
            instance, "The instance must be stopped to change its shielded configuration"
        )
        given = documents.given(call.body, *instance["shieldedInstanceConfig"])
        return instance | {"shieldedInstanceConfig": instance["shieldedInstanceConfig"] | given}

    return await _change(cloud, call, "updateShieldedInstanceConfig", change)


async def _set_scheduling(cloud: Cloud, call: Call) -> Document:
    """https://cloud.google.com/compute/docs/instances/setting-vm-host-options (stopped only)."""

    def change(_: Transaction, instance: Document) -> Document:
        _check_stopped(instance, "The instance must be stopped to change its scheduling")
        current = instance["scheduling"]
        changed = scheduling.revised("scheduling", current, call.body, cloud.clock())
        scheduling.check_machine_type(changed, instance["machineType"])
        return instance | {"scheduling": changed}

    return await _change(cloud, call, "setScheduling", change)


async def _set_deletion_protection(cloud: Cloud, call: Call) -> Document:
    # Google's default of the parameter is true: the method's name is what it does.
    protected = call.query.get("deletionProtection", True)
    return await _change(
        cloud,
        call,
        "setDeletionProtection",
        lambda _, instance: instance | {"deletionProtection": bool(protected)},
        parameter="resource",
    )


async def _set_disk_auto_delete(cloud: Cloud, call: Call) -> Document:
    device, auto = call.query["deviceName"], bool(call.query["autoDelete"])

    def change(tx: Transaction, instance: Document) -> Document:
        changed = disks.attached(instance, device) | {"autoDelete": auto}
        disk = names.relative(changed["source"])
        if found(tx, disk)["status"] == "DELETING":  # it goes with the instance, too late for this
            raise refusals.not_ready(disk)
        entries = [
            changed if entry["deviceName"] == device else entry for entry in instance["disks"]
        ]
        return instance | {"disks": entries}

    return await _change(cloud, call, "setDiskAutoDelete", change)


def _check_stopped(instance: Document, sentence: str) -> None:
    if instance["status"] != "TERMINATED":
        raise refusals.invalid_usage(f"{sentence}; it is {instance['status']}")


METHODS: Methods = {
    "setDeletionProtection": _set_deletion_protection,
    "setDiskAutoDelete": _set_disk_auto_delete,
    "setLabels": _set_labels,
    "setMachineType": _set_machine_type,
    "setMetadata": _set_metadata,
    "setMinCpuPlatform": _set_min_cpu_platform,
    "setScheduling": _set_scheduling,
    "setServiceAccount": _set_service_account,
    "setTags": _set_tags,
    "updateShieldedInstanceConfig": _update_shielded_config,
}
