# SPDX-License-Identifier: GPL-3.0-or-later
"""VPC networks. https://cloud.google.com/compute/docs/reference/rest/v1/networks."""

from __future__ import annotations

from collections.abc import Iterator

from cloudspill_sandbox.compute import (
    beginnings,
    documents,
    names,
    refusals,
    reservations,
    under_way,
)
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.handlers import Methods, reading
from cloudspill_sandbox.compute.lookup import found, worldwide
from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.errors import already_exists

_PATCHABLE = ("routingConfig", "mtu", "description", "networkFirewallPolicyEnforcementOrder")
_UNSUPPORTED = ("enableUlaInternalIpv6", "internalIpv6Range", "networkProfile", "params")
_FIXED = ("autoCreateSubnetworks", "IPv4Range", "name", *_UNSUPPORTED)
_MTU = range(1300, 8897)


async def _insert(cloud: Cloud, call: Call) -> Document:
    key = names.check_name("resource.name", call.body.get("name"))
    name = f"{worldwide(call, 'networks')}/{key}"
    if call.body.get("IPv4Range"):
        raise refusals.invalid_value(
            "resource.IPv4Range", call.body["IPv4Range"], "Legacy networks can no longer be made."
        )
    refusals.check_supported("resource", call.body, *_UNSUPPORTED)
    _check_mtu(call.body)
    network = documents.resource("network", name, cloud.clock()) | documents.given(
        call.body, *_PATCHABLE
    )
    # The API's default is auto mode: only an explicit false makes a custom network.
    automatic = call.body.get("autoCreateSubnetworks") is not False
    with cloud.transaction() as tx:
        if tx.get(name):
            raise already_exists(name)
        network |= {"autoCreateSubnetworks": automatic}
        if automatic:
            beginnings.put_auto_network(cloud, tx, network)
        else:
            tx.put(name, beginnings.complete_network(network))
        operation = cloud.operations.open(tx, call, "insert", name)
        cloud.operations.close(tx, operation)
    return found(cloud.store, operation)


async def _patch(cloud: Cloud, call: Call) -> Document:
    name = worldwide(call, "networks", "network")
    _check_mtu(call.body)
    with cloud.transaction() as tx:
        network = found(tx, name)
        documents.check_same("resource", call.body, network, *_FIXED)
        tx.put(name, network | documents.given(call.body, *_PATCHABLE))
        operation = cloud.operations.open(tx, call, "patch", name)
        cloud.operations.close(tx, operation)
    return found(cloud.store, operation)


async def _switch_to_custom_mode(cloud: Cloud, call: Call) -> Document:
    name = worldwide(call, "networks", "network")
    with cloud.transaction() as tx:
        tx.put(name, found(tx, name) | {"autoCreateSubnetworks": False})
        operation = cloud.operations.open(tx, call, "switchToCustomMode", name)
        cloud.operations.close(tx, operation)
    return found(cloud.store, operation)


async def _delete(cloud: Cloud, call: Call) -> Document:
    name = worldwide(call, "networks", "network")
    with cloud.transaction() as tx:
        network = found(tx, name)
        if user := next(_users(cloud, network), None):
            raise refusals.in_use("network", name, user)
        operation = cloud.operations.open(tx, call, "delete", name)
        if network["autoCreateSubnetworks"]:
            for link in network["subnetworks"]:
                tx.delete(names.relative(link))
        tx.delete(name)
        cloud.operations.close(tx, operation)
    return found(cloud.store, operation)


def _users(cloud: Cloud, network: Document) -> Iterator[str]:
    """Yield what stands in the way of deleting a network, in whatever project."""
    link = network["selfLink"]
    for _, instances in cloud.store.collections(names.EVERY_PROJECT, "instances"):
        for instance in instances.values():
            if any(interface["network"] == link for interface in instance["networkInterfaces"]):
                yield names.relative(instance["selfLink"])
    yield from under_way.leavers(cloud.store, network.get("subnetworks", ()))
    # Another project's too: earlier releases took such rules.
    for _, firewalls in cloud.store.collections(names.EVERY_PROJECT, "firewalls"):
        for firewall in firewalls.values():
            if firewall["network"] == link:
                yield names.relative(firewall["selfLink"])
    yield from reservations.in_subnetworks(cloud.store, network.get("subnetworks", ()))
    for subnetwork in map(names.relative, network.get("subnetworks", ())):
        if not beginnings.is_automatic(network, names.last(subnetwork)):
            yield subnetwork


def _check_mtu(body: Document) -> None:
    mtu = body.get("mtu")
    if mtu is not None and mtu not in _MTU:
        raise refusals.invalid_value(
            "resource.mtu", mtu, f"Must be between {_MTU[0]} and {_MTU[-1]}, inclusive."
        )


METHODS: Methods = {
    **reading.methods(worldwide, "network", "networks"),
    "delete": _delete,
    "insert": _insert,
    "patch": _patch,
    "switchToCustomMode": _switch_to_custom_mode,
}
