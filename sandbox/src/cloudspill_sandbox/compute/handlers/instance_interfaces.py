# SPDX-License-Identifier: GPL-3.0-or-later
"""External addresses that come to and go from an instance, and interfaces that move.

https://cloud.google.com/compute/docs/reference/rest/v1/instances/addAccessConfig and
…/updateNetworkInterface.
"""

from __future__ import annotations

from cloudspill_sandbox.compute import (
    access_configs,
    documents,
    interfaces,
    quotas,
    refusals,
    topology,
    under_way,
)
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.handlers import Methods
from cloudspill_sandbox.compute.lookup import found, zonal
from cloudspill_sandbox.compute.operations import Step, Work, Writes
from cloudspill_sandbox.compute.rollback import rollback
from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.store import Transaction

_MOVED = frozenset({"fingerprint", "kind", "name", "network", "networkIP", "subnetwork"})
"""What of an interface an update may change, or a client send back as it once read it."""


async def _add_access_config(cloud: Cloud, call: Call) -> Document:
    name = zonal(call, "instances", "instance")
    with cloud.transaction() as tx:
        instance = found(tx, name)
        under_way.check_none(tx, instance, under_way.INTERFACES)
        interface = _interface(call, instance)
        if interface.get("accessConfigs"):
            raise refusals.invalid_value(
                "accessConfig", "", "At most one access config currently supported."
            )
        config = access_configs.planned(cloud, tx, name, "accessConfig", call.body)
        changed = _replaced(instance, interface | {"accessConfigs": [config]})
        if instance["status"] in {"SUSPENDED", "TERMINATED"}:  # it gets one when it starts
            changed = interfaces.without_ephemeral(tx, name, changed)
        tx.put(name, changed)
        quotas.check(cloud, tx, call.path["zone"])
        failed = rollback(cloud.store, tx)
        operation = cloud.operations.open(tx, call, "addAccessConfig", name)
    return await _settle(cloud, operation, "addAccessConfig", failed)


async def _delete_access_config(cloud: Cloud, call: Call) -> Document:
    name = zonal(call, "instances", "instance")
    asked = call.query["accessConfig"]
    with cloud.transaction() as tx:
        instance = found(tx, name)
        under_way.check_none(tx, instance, under_way.INTERFACES)
        interface = _interface(call, instance)
        config = _config(interface)
        if config is None or config["name"] != asked:
            raise refusals.invalid_value(
                "accessConfig", asked, f"Access config '{asked}' does not exist."
            )
        if "natIP" in config:
            interfaces.release(tx, name, config["natIP"])
        rest = {key: value for key, value in interface.items() if key != "accessConfigs"}
        tx.put(name, _replaced(instance, rest))
        failed = rollback(cloud.store, tx)
        operation = cloud.operations.open(tx, call, "deleteAccessConfig", name)
    return await _settle(cloud, operation, "deleteAccessConfig", failed)


async def _update_access_config(cloud: Cloud, call: Call) -> Document:
    """https://cloud.google.com/compute/docs/reference/rest/v1/instances/updateAccessConfig"""
    name = zonal(call, "instances", "instance")
    with cloud.transaction() as tx:
        instance = found(tx, name)
        under_way.check_none(tx, instance, under_way.INTERFACES)
        interface = _interface(call, instance)
        config = _config(interface)
        if config is None:
            raise refusals.invalid_value(
                "networkInterface",
                interface["name"],
                f"Interface '{interface['name']}' has no access config.",
            )
        changed = access_configs.patched("accessConfig", config, call.body)
        tx.put(name, _replaced(instance, interface | {"accessConfigs": [changed]}))
        operation = cloud.operations.open(tx, call, "updateAccessConfig", name)
        cloud.operations.close(tx, operation)
    return found(cloud.store, operation)


def _config(interface: Document) -> Document | None:
    """Return the access config of an interface, or None: there is at most one."""
    return next(iter(interface.get("accessConfigs", ())), None)


def _interface(call: Call, instance: Document) -> Document:
    asked = call.query["networkInterface"]
    for interface in instance["networkInterfaces"]:
        if interface["name"] == asked:
            return dict(interface)
    raise refusals.invalid_value("networkInterface", asked, f"Interface '{asked}' does not exist.")


def _replaced(instance: Document, interface: Document) -> Document:
    others = [
        interfaces.stamped(interface) if other["name"] == interface["name"] else other
        for other in instance["networkInterfaces"]
    ]
    return instance | {"networkInterfaces": others}


async def _settle(cloud: Cloud, operation: str, method: str, failed: Writes) -> Document:
    step = Step(f"instances.{method}.apply", cloud.topology.settle)
    return await cloud.operations.perform(operation, Work((step,), failed=failed))


async def _update(cloud: Cloud, call: Call) -> Document:
    """Only while stopped: https://cloud.google.com/vpc/docs/migrate-vm-network#limitations.

    Nobody starts, deletes or changes it in this meanwhile.
    """
    name = zonal(call, "instances", "instance")
    with cloud.transaction() as tx:
        instance = found(tx, name)
        before = _interface(call, instance)
        documents.check_same("resource", call.body, before, *sorted(call.body.keys() - _MOVED))
        documents.check_fingerprint(
            call.body.get("fingerprint"), before["fingerprint"], "network interface"
        )
        after = interfaces.moved(cloud, tx, instance, before, call.body)
        if after != before and instance["status"] != "TERMINATED":
            raise refusals.invalid_usage(
                f"The instance must be stopped to move its interfaces; it is {instance['status']}"
            )
        under_way.check_none(tx, instance, under_way.INTERFACES)
        parts = (under_way.INTERFACES, under_way.leaving(before["subnetwork"]))
        moved = _replaced(instance, after)
        tx.put(name, moved)
        take_back = rollback(cloud.store, tx)
        operation = cloud.operations.open(tx, call, "updateNetworkInterface", name)
        for part in parts:
            under_way.begin(tx, name, part, operation)
    left, taken = topology.nics(cloud.store, instance), topology.nics(cloud.store, moved)

    async def leave() -> None:
        """Remove the namespace with the link that was; a start makes the next."""
        if left != taken:
            await cloud.network.detach(left)
        await cloud.topology.settle()

    def done(tx: Transaction) -> None:
        for part in parts:
            under_way.end(tx, name, part, operation)
        # Not before: whoever gets the address next makes a namespace of the same name.
        interfaces.release_strays(cloud.store, tx, name)

    def failed(tx: Transaction) -> None:
        take_back(tx)
        done(tx)

    step = Step("instances.updateNetworkInterface.apply", leave)
    return await cloud.operations.perform(operation, Work((step,), done, failed))


METHODS: Methods = {
    "addAccessConfig": _add_access_config,
    "deleteAccessConfig": _delete_access_config,
    "updateAccessConfig": _update_access_config,
    "updateNetworkInterface": _update,
}
