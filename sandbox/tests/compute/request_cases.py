# SPDX-License-Identifier: GPL-3.0-or-later
"""A valid request for each method of Compute Engine that takes a body, and where its fields show.

What a case shows has the shape of the request, whatever the documents are like in which it ends.
In everything that is sent, NAME is a name of that trial's own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from cloudspill_sandbox.engine.call import Document

from .conftest import UBUNTU, ZONE, Client

Read = Callable[[Client, str], Awaitable[Document]]
Made = tuple[str, Document | None, dict[str, Any]]
"""What is called first: method, body, parameters."""


@dataclass(frozen=True, slots=True)
class Case:
    """A method as it is tried.

    Attributes:
        method: `instances.insert`.
        body: a valid one.
        read: returns what there is afterwards, given the name.
        before: what is called first.
        fresh: fields of the body that have to be as they were read.
        parameters: of the call.
    """

    method: str
    body: Document
    read: Read
    before: tuple[Made, ...] = ()
    fresh: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)


def get(method: str, *path: str | int, **parameters: Any) -> Read:
    """Return what reads a resource, and in it what the request was about."""
    (parameter,) = parameters or {method.split(".", maxsplit=1)[0].removesuffix("s"): None}
    named = parameters.get(parameter)

    async def read(api: Client, name: str) -> Document:
        shown: Any = await api.call(f"{method}.get", **{parameter: named or name})
        for step in path:
            shown = shown.get(step, {}) if isinstance(step, str) else shown[step]
        return dict(shown)

    return read


async def _with_disks(api: Client, name: str, zone: str = ZONE) -> Document:
    """An instance as its insert has it: with what its disks were made with."""
    instance: Document = await api.call("instances.get", instance=name, zone=zone)
    for entry in instance["disks"]:
        disk = await api.call("disks.get", disk=entry["source"].rpartition("/")[2], zone=zone)
        names = {"sizeGb": "diskSizeGb", "type": "diskType", "name": "diskName"}
        shown = {names.get(key, key): value for key, value in disk.items()}
        entry["initializeParams"] = shown
    return instance


async def _in_bulk(api: Client, name: str) -> Document:
    return {"instanceProperties": await _with_disks(api, f"{name}-1")}


async def _in_bulk_of_region(api: Client, name: str) -> Document:
    return {"instanceProperties": await _with_disks(api, f"{name}-1", "us-west1-a")}


_PARAMS = {"sourceImage": UBUNTU}
_PROPERTIES = {
    "machineType": "g1-small",
    "disks": [{"boot": True, "autoDelete": True, "initializeParams": _PARAMS}],
    "networkInterfaces": [
        {"network": "global/networks/default", "accessConfigs": [{"name": "nat"}]}
    ],
    "metadata": {"items": [{"key": "k", "value": "v"}]},
    "serviceAccounts": [{"email": "default", "scopes": []}],
    "scheduling": {"onHostMaintenance": "TERMINATE"},
}
_MACHINE_TYPE = f"zones/{ZONE}/machineTypes/g1-small"
_INSTANCE = _PROPERTIES | {"name": "NAME", "machineType": _MACHINE_TYPE}
_BULK = {"count": "1", "namePattern": "NAME-#", "instanceProperties": _PROPERTIES}
_RULE = {"name": "NAME", "allowed": [{"IPProtocol": "tcp", "ports": ["80"]}]}
_IMAGE = {"name": "NAME", "sourceDisk": f"zones/{ZONE}/disks/NAME"}
_SUBNETWORK = {
    "name": "NAME",
    "network": "global/networks/NAME",
    "ipCidrRange": "10.0.0.0/24",
    "secondaryIpRanges": [{"rangeName": "r", "ipCidrRange": "10.1.0.0/24"}],
}
_LABELS = {"labels": {"k": "v"}}
_ITEMS = {"items": [{"key": "k", "value": "v"}]}

_ADDRESS_MADE: Made = ("addresses.insert", {"name": "NAME"}, {})
_DISK_MADE: Made = ("disks.insert", {"name": "NAME"}, {})
_IMAGE_MADE: Made = ("images.insert", _IMAGE, {})
_NETWORK_MADE: Made = ("networks.insert", {"name": "NAME", "autoCreateSubnetworks": False}, {})
_RULE_MADE: Made = ("firewalls.insert", _RULE, {})
_SNAPSHOT_MADE: Made = ("disks.createSnapshot", {"name": "NAME"}, {"disk": "NAME"})
_SUBNETWORK_MADE: Made = ("subnetworks.insert", _SUBNETWORK, {})
_STOPPED: tuple[Made, ...] = (
    ("instances.insert", _INSTANCE, {}),
    ("instances.stop", None, {"instance": "NAME"}),
)


def _of_instance(
    method: str,
    body: Document,
    *path: str | int,
    fresh: tuple[str, ...] = (),
    before: tuple[Made, ...] = _STOPPED,
    **parameters: str,
) -> Case:
    given = {"instance": "NAME"} | parameters
    return Case(f"instances.{method}", body, get("instances", *path), before, fresh, given)


def _labels(resource: str, *before: Made) -> Case:
    return Case(
        f"{resource}.setLabels",
        _LABELS,
        get(resource, address=None) if resource == "addresses" else get(resource),
        before,
        ("labelFingerprint",),
        {"resource": "NAME"},
    )


def _of_subnetwork(method: str, body: Document, *fresh: str) -> Case:
    made = (_NETWORK_MADE, _SUBNETWORK_MADE)
    parameters = {"subnetwork": "NAME"}
    return Case(f"subnetworks.{method}", body, get("subnetworks"), made, fresh, parameters)


CASES = (
    Case("addresses.insert", {"name": "NAME"}, get("addresses", address=None)),
    _labels("addresses", _ADDRESS_MADE),
    Case(
        "disks.createSnapshot",
        {"name": "NAME"},
        get("snapshots"),
        (_DISK_MADE,),
        parameters={"disk": "NAME"},
    ),
    Case("disks.insert", {"name": "NAME"}, get("disks")),
    Case(
        "disks.resize",
        {"sizeGb": "600"},
        get("disks"),
        (_DISK_MADE,),
        parameters={"disk": "NAME"},
    ),
    _labels("disks", _DISK_MADE),
    Case("firewalls.insert", _RULE, get("firewalls")),
    Case(
        "firewalls.patch", _RULE, get("firewalls"), (_RULE_MADE,), parameters={"firewall": "NAME"}
    ),
    Case(
        "firewalls.update", _RULE, get("firewalls"), (_RULE_MADE,), parameters={"firewall": "NAME"}
    ),
    Case(
        "images.deprecate",
        {"state": "DEPRECATED"},
        get("images", "deprecated"),
        (_DISK_MADE, _IMAGE_MADE),
        parameters={"image": "NAME"},
    ),
    Case("images.insert", _IMAGE, get("images"), (_DISK_MADE,)),
    Case(
        "images.patch",
        {},
        get("images"),
        (_DISK_MADE, _IMAGE_MADE),
        parameters={"image": "NAME"},
    ),
    _labels("images", _DISK_MADE, _IMAGE_MADE),
    Case(
        "instanceTemplates.insert",
        {"name": "NAME", "properties": _PROPERTIES},
        get("instanceTemplates"),
    ),
    Case("instances.insert", _INSTANCE, _with_disks),
    Case("instances.bulkInsert", _BULK, _in_bulk),
    Case("regionInstances.bulkInsert", _BULK, _in_bulk_of_region),
    _of_instance(
        "addAccessConfig",
        {},
        "networkInterfaces",
        0,
        "accessConfigs",
        0,
        before=(("instances.insert", _INSTANCE | {"networkInterfaces": [{}]}, {}),),
        networkInterface="nic0",
    ),
    _of_instance(
        "attachDisk",
        {"source": f"zones/{ZONE}/disks/other-NAME"},
        "disks",
        1,
        before=(*_STOPPED, ("disks.insert", {"name": "other-NAME"}, {})),
    ),
    _of_instance("setLabels", _LABELS, fresh=("labelFingerprint",)),
    _of_instance("setMachineType", {"machineType": _MACHINE_TYPE}),
    _of_instance("setMetadata", _ITEMS, "metadata", fresh=("fingerprint",)),
    _of_instance("setMinCpuPlatform", {"minCpuPlatform": "Intel Skylake"}),
    _of_instance("setScheduling", {}, "scheduling"),
    _of_instance("setServiceAccount", {"email": "default", "scopes": []}, "serviceAccounts", 0),
    _of_instance("setTags", {"items": ["t"]}, "tags", fresh=("fingerprint",)),
    _of_instance(
        "update",
        {},
        fresh=(
            "disks",
            "fingerprint",
            "machineType",
            "metadata",
            "name",
            "scheduling",
            "serviceAccounts",
        ),
    ),
    _of_instance(
        "updateAccessConfig",
        {},
        "networkInterfaces",
        0,
        "accessConfigs",
        0,
        networkInterface="nic0",
    ),
    _of_instance(
        "updateNetworkInterface",
        {},
        "networkInterfaces",
        0,
        fresh=("fingerprint",),
        networkInterface="nic0",
    ),
    _of_instance("updateShieldedInstanceConfig", {}, "shieldedInstanceConfig"),
    Case("networks.insert", {"name": "NAME"}, get("networks")),
    Case("networks.patch", {}, get("networks"), (_NETWORK_MADE,), parameters={"network": "NAME"}),
    Case(
        "projects.setCommonInstanceMetadata",
        _ITEMS,
        get("projects", "commonInstanceMetadata", project="cloudspill-sandbox"),
        fresh=("fingerprint",),
    ),
    Case(
        "snapshots.insert",
        {"name": "NAME", "sourceDisk": f"zones/{ZONE}/disks/NAME"},
        get("snapshots"),
        (_DISK_MADE,),
    ),
    _labels("snapshots", _DISK_MADE, _SNAPSHOT_MADE),
    _of_subnetwork("expandIpCidrRange", {"ipCidrRange": "10.0.0.0/20"}),
    Case("subnetworks.insert", _SUBNETWORK, get("subnetworks"), (_NETWORK_MADE,)),
    _of_subnetwork("patch", {}, "fingerprint", "secondaryIpRanges"),
    _of_subnetwork("setPrivateIpGoogleAccess", {"privateIpGoogleAccess": True}),
)
