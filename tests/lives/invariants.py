# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds of every sandbox that is up and has nothing to do: no part without its whole."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator

from cloudspill_sandbox.compute.names import relative
from cloudspill_sandbox.compute.volumes import volume_of
from tests.lives.api import Json
from tests.lives.inventory import Host, Inventory

SETTLED = {
    "instances": {"RUNNING", "SUSPENDED", "TERMINATED"},
    "disks": {"READY"},
    "snapshots": {"READY"},
    "images": {"READY"},
    "addresses": {"RESERVED", "IN_USE"},
    "operations": {"DONE"},
}


def violations(inventory: Inventory) -> list[str]:
    """Return a sentence for everything that does not hold."""
    found = [
        *_unsettled(inventory),
        *_disks_and_users(inventory),
        *_volumes(inventory),
        *_leases(inventory),
        *_index(inventory),
        *(f"an object has no content {lost}" for lost in inventory.named - inventory.contents),
        *(f"content {lost} has no object" for lost in inventory.contents - inventory.named),
    ]
    if inventory.host is not None:
        found += _host(inventory, inventory.host)
    return found


def _unsettled(inventory: Inventory) -> Iterator[str]:
    for kind, statuses in SETTLED.items():
        for document in inventory.listed[kind]:
            if document["status"] not in statuses:
                yield f"{relative(document['selfLink'])} is {document['status']}"


def _disks_and_users(inventory: Inventory) -> Iterator[str]:
    used = {
        (disk["source"], instance["selfLink"])
        for instance in inventory.listed["instances"]
        for disk in instance["disks"]
    }
    claimed = {
        (disk["selfLink"], user)
        for disk in inventory.listed["disks"]
        for user in disk.get("users", ())
    }
    for source, instance in used - claimed:
        yield f"{relative(instance)} has {relative(source)}, which does not know it"
    for source, instance in claimed - used:
        yield f"{relative(source)} is used by {relative(instance)}, which does not have it"


def _volumes(inventory: Inventory) -> Iterator[str]:
    wanted = {
        volume_of(document): relative(document["selfLink"])
        for kind in ("disks", "snapshots", "images")
        for document in inventory.listed[kind]
    }
    for volume in wanted.keys() - inventory.volumes:
        yield f"{wanted[volume]} has no volume"
    for volume in inventory.volumes - wanted.keys():
        yield f"volume {volume} has no disk, snapshot or image"


def _leases(inventory: Inventory) -> Iterator[str]:
    wanted: dict[str, str] = {}
    for document in inventory.listed["addresses"]:
        wanted[document["address"]] = relative(document["selfLink"])
    for instance in inventory.listed["instances"]:
        for interface in instance["networkInterfaces"]:
            external = [config.get("natIP") for config in interface.get("accessConfigs", ())]
            for address in filter(None, [interface["networkIP"], *external]):
                name = relative(instance["selfLink"])
                if wanted.setdefault(address, name) != name and address in external:
                    continue  # a reserved address that the instance uses
                if wanted[address] != name:
                    yield f"{address} belongs to {wanted[address]} and {name}"
    for address in wanted.keys() - inventory.leases.keys():
        yield f"{wanted[address]} has {address} without a lease"
    for address in inventory.leases.keys() - wanted.keys():
        yield f"{address} is leased to {inventory.leases[address]}, which does not have it"


def _index(inventory: Inventory) -> Iterator[str]:
    names = {i["id"]: relative(i["selfLink"]) for i in inventory.listed["instances"]}
    if inventory.machines != names:
        yield f"machines are found as {inventory.machines}, and are {names}"
    for identity in inventory.guest_attributes - names.keys():
        yield f"guest attributes of {identity} outlive their instance"


def _host(inventory: Inventory, host: Host) -> Iterator[str]:
    instances = inventory.listed["instances"]
    running = [instance for instance in instances if instance["status"] == "RUNNING"]
    on = Counter(host.machines)
    for identity in {instance["id"] for instance in running} - on.keys():
        yield f"instance {identity} is RUNNING and has no machine"
    for identity, number in on.items():
        if number > 1:
            yield f"instance {identity} has {number} machines"
        if identity not in {instance["id"] for instance in running}:
            yield f"a machine of instance {identity} runs, which is not RUNNING"
    volumes = {relative(disk["selfLink"]): volume_of(disk) for disk in inventory.listed["disks"]}
    boots = {
        volumes[relative(disk["source"])]
        for instance in running
        for disk in instance["disks"]
        if disk["boot"]
    }
    for volume in boots - host.mounted:
        yield f"the boot volume {volume} of a running machine is not mounted"
    everybody = {_hex(instance) for instance in instances}
    needed = {_hex(instance) for instance in running}
    for kind, there in (("namespace", host.namespaces), ("link", host.links)):
        for address in needed - there:
            yield f"a running machine has no {kind} {address}"
        for address in there - everybody:
            yield f"the {kind} {address} belongs to no instance"


def _hex(instance: Json) -> str:
    address = instance["networkInterfaces"][0]["networkIP"]
    return f"{int(ipaddress.IPv4Address(address)):08x}"
