# SPDX-License-Identifier: GPL-3.0-or-later
"""Network interfaces of instances.

https://cloud.google.com/compute/docs/networking/network-overview,
https://cloud.google.com/compute/docs/ip-addresses,
https://cloud.google.com/vpc/docs/multiple-interfaces-concepts.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import (
    access_configs,
    documents,
    interface_rules,
    leases,
    names,
    refusals,
)
from cloudspill_sandbox.compute.catalogue.regions import ZONES
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.store import Store, Transaction

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud

_FIELD = "resource.networkInterfaces"
_UNSUPPORTED = (
    "aliasIpRanges",
    "aliasIpv6Ranges",
    "enableVpcScopedDns",
    "igmpQuery",
    "internalIpv6PrefixLength",
    "ipv6AccessConfigs",
    "ipv6Address",
    "networkAttachment",
    "parentNicName",
    "serviceClassId",
    "vlan",
)


def plan(
    cloud: Cloud, tx: Transaction, instance: str, body: list[Document], size: str
) -> list[Document]:
    """Return the interfaces of a new instance, addresses leased in the transaction.

    Args:
        instance: its relative name.
        body: `networkInterfaces` of the request.
        size: link of a machine type that is in the catalogue.

    Raises:
        ApiError: 400 for what Google would refuse, 403 when no address is free.
    """
    if not body:
        raise refusals.invalid_value(_FIELD, "", "At least one network interface is required.")
    interface_rules.check_count(_FIELD, len(body), size)
    planned: list[Document] = []
    for at, asked in enumerate(body):
        interface = _plan_one(cloud, tx, instance, f"{_FIELD}[{at}]", f"nic{at}", asked)
        interface_rules.check_apart(tx, f"{_FIELD}[{at}]", asked, interface, planned)
        planned.append(interface)
    return planned


def _plan_one(
    cloud: Cloud, tx: Transaction, instance: str, field: str, nic: str, body: Document
) -> Document:
    check_features(field, body)
    region = ZONES[instance.split("/")[3]].name
    subnetwork = subnetwork_of(cloud, tx, field, region, body)
    planned: Document = documents.given(body, "nicType", "queueCount") | {
        "kind": "compute#networkInterface",
        "name": nic,
        "network": subnetwork["network"],
        "subnetwork": subnetwork["selfLink"],
        "networkIP": _internal(cloud, tx, instance, field, subnetwork, body.get("networkIP")),
        "stackType": "IPV4_ONLY",
    }
    if configs := body.get("accessConfigs"):
        if len(configs) > 1:
            raise refusals.invalid_value(
                f"{field}.accessConfigs", "", "At most one access config currently supported."
            )
        at = f"{field}.accessConfigs[0]"
        planned["accessConfigs"] = [access_configs.planned(cloud, tx, instance, at, configs[0])]
    return stamped(planned)


def check_features(field: str, body: Document) -> None:
    """Return when a NetworkInterface asks for nothing that no interface here has.

    Raises:
        ApiError: 400 that names the field.
    """
    refusals.check_supported(field, body, *_UNSUPPORTED)
    if body.get("stackType") not in (None, "IPV4_ONLY"):
        raise refusals.invalid_value(
            f"{field}.stackType", body["stackType"], "Its subnetwork has no IPv6 range."
        )


def moved(
    cloud: Cloud, tx: Transaction, instance: Document, interface: Document, body: Document
) -> Document:
    """Return an interface in the subnetwork that a request names, its address leased there.

    One that stays where it is keeps its address. External addresses are not touched.
    https://cloud.google.com/vpc/docs/migrate-vm-network

    Args:
        interface: one of the instance's.
        body: NetworkInterface of the request.

    Raises:
        ApiError: 400 for what Google would refuse, 403 when no address is free.
    """
    field, name = "resource", names.relative(instance["selfLink"])
    if not (body.get("network") or body.get("subnetwork")):
        body = {"subnetwork": interface["subnetwork"]} | body
    region = ZONES[name.split("/")[3]].name
    subnetwork = subnetwork_of(cloud, tx, field, region, body)
    address = body.get("networkIP")
    if subnetwork["selfLink"] == interface["subnetwork"]:
        if address not in (None, interface["networkIP"]):
            raise refusals.invalid_value(
                f"{field}.networkIP",
                address,
                "The address of an interface changes only with its network or subnetwork.",
            )
        return interface
    where = {"network": subnetwork["network"], "subnetwork": subnetwork["selfLink"]}
    others = [each for each in instance["networkInterfaces"] if each["name"] != interface["name"]]
    interface_rules.check_apart(tx, field, body, interface | where, others)
    leased = _internal(cloud, tx, name, field, subnetwork, address)
    return stamped(interface | where | {"networkIP": leased})


def stamped(interface: Document) -> Document:
    """Return an interface with the fingerprint of its content."""
    rest = {key: value for key, value in interface.items() if key != "fingerprint"}
    return rest | {"fingerprint": documents.fingerprint(rest)}


def subnetwork_of(
    cloud: Cloud, tx: Store | Transaction, field: str, region: str, body: Document
) -> Document:
    """Return the subnetwork that an interface asks for, by its own or its network's URL.

    Raises:
        ApiError: 400 when there is none.
    """
    regional = f"{cloud.project}/regions/{region}/subnetworks"
    network = _network_of(cloud, field, body)
    if reference := body.get("subnetwork"):
        found = _named_subnetwork(tx, f"{field}.subnetwork", reference, regional)
        if body.get("network") and names.link(network) != found["network"]:
            # https://github.com/hashicorp/terraform-provider-google/issues/7895
            raise refusals.invalid_value(
                f"{field}.subnetwork",
                reference,
                f'Subnetwork "{names.relative(found["selfLink"])}" is not valid for '
                f'Network "{names.last(network)}".',
            )
        return found
    document = tx.get(network)
    if document is None:
        raise refusals.dangling(f"{field}.network", body.get("network") or network, "network")
    own = f"projects/{names.project(network)}/regions/{region}/subnetworks"
    automatic = tx.get(f"{own}/{document['name']}")
    if automatic is None or not document["autoCreateSubnetworks"]:
        # https://github.com/GoogleCloudDataproc/bdutil/issues/108
        raise refusals.invalid_value(
            field, "", "Subnetwork should be specified for custom subnetmode network"
        )
    return automatic


def _network_of(cloud: Cloud, field: str, body: Document) -> str:
    """Return the relative name of the network that an interface asks for."""
    reference = body.get("network") or "global/networks/default"
    collection = f"{cloud.project}/global/networks"
    return names.resolve(f"{field}.network", reference, collection, bare=False)


def _named_subnetwork(
    tx: Store | Transaction, field: str, reference: str, regional: str
) -> Document:
    name = names.resolve(field, reference, regional, bare=False)
    scope = names.scope(regional)
    if names.scope(name) != scope:
        raise refusals.invalid_value(
            field,
            reference,
            f"The referenced subnetwork is not in region '{names.last(scope)}' of the instance.",
        )
    found = tx.get(name)
    if found is None:
        raise refusals.dangling(field, reference, "subnetwork")
    return found


def _internal(
    cloud: Cloud,
    tx: Transaction,
    instance: str,
    field: str,
    subnetwork: Document,
    asked: str | None,
) -> str:
    network = ipaddress.IPv4Network(subnetwork["ipCidrRange"])
    if not asked:
        return cloud.addresses.allocate(tx, network, instance)
    if not leases.usable(network, asked):
        raise refusals.invalid_value(
            f"{field}.networkIP", asked, f"The IP address must be a usable one of {network}."
        )
    holder = leases.holder(tx, asked)
    static = tx.get(holder) if holder else None
    if static and static["status"] == "RESERVED" and _is_in(static, subnetwork):
        leases.put_in_use(tx, static, instance)
    elif holder:
        raise refusals.invalid_value(
            f"{field}.networkIP", asked, f"IP '{asked}' is already being used by another resource."
        )
    else:
        leases.take(tx, asked, instance)
    return asked


def _is_in(address: Document, subnetwork: Document) -> bool:
    """Whether an Address is an internal one of this subnetwork."""
    return bool(address.get("subnetwork") == subnetwork["selfLink"])


def release(tx: Transaction, instance: str, address: str) -> bool:
    """Give an instance's address back; returns whether it was ephemeral.

    A static one stays with its reservation, no longer in use.
    """
    holder = leases.holder(tx, address)
    if holder == instance:
        leases.release(tx, address)
        return True
    if holder and (static := tx.get(holder)):
        rest = {key: value for key, value in static.items() if key != "users"}
        tx.put(holder, rest | {"status": "RESERVED"})
    return False


def release_strays(store: Store, tx: Transaction, name: str) -> None:
    """Give back what an instance holds and has no interface for: a change was cut short."""
    instance = tx.get(name) or {"networkInterfaces": []}
    own = {address for interface in instance["networkInterfaces"] for address in _of(interface)}
    for address, lease in store.children(leases.COLLECTION).items():
        holder = lease["holder"]
        users = (tx.get(holder) or {}).get("users", ())
        if address not in own and (holder == name or names.link(name) in users):
            release(tx, name, address)


def _of(interface: Document) -> Iterator[str]:
    yield interface["networkIP"]
    for config in interface.get("accessConfigs", ()):
        if "natIP" in config:
            yield config["natIP"]


def release_all(tx: Transaction, name: str, instance: Document) -> None:
    """Give back every address of an instance that goes away."""
    for interface in instance["networkInterfaces"]:
        for address in _of(interface):
            release(tx, name, address)


def without_ephemeral(tx: Transaction, name: str, instance: Document) -> Document:
    """Return a stopped instance: its ephemeral external addresses are given back."""

    def stopped(config: Document) -> Document:
        if leases.holder(tx, config.get("natIP", "")) != name:
            return config
        leases.release(tx, config["natIP"])
        return {key: value for key, value in config.items() if key != "natIP"}

    return _with_configs(instance, stopped)


def with_ephemeral(cloud: Cloud, tx: Transaction, name: str, instance: Document) -> Document:
    """Return an instance about to start: each access config without an address gets one.

    Raises:
        ApiError: 403 when none is free.
    """

    def started(config: Document) -> Document:
        if "natIP" in config:
            return config
        return config | {"natIP": cloud.addresses.allocate(tx, cloud.network.external_range, name)}

    return _with_configs(instance, started)


def _with_configs(instance: Document, change: Callable[[Document], Document]) -> Document:
    interfaces = [
        stamped(interface | {"accessConfigs": [*map(change, interface["accessConfigs"])]})
        if interface.get("accessConfigs")
        else interface
        for interface in instance["networkInterfaces"]
    ]
    return instance | {"networkInterfaces": interfaces}
