# SPDX-License-Identifier: GPL-3.0-or-later
"""What an instance sees of itself: the metadata server's source.

https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys. An instance is known by
its internal address alone, and so sees nothing but itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Coroutine
from datetime import datetime
from typing import Any

from cloudspill_sandbox.compute import (
    guest_attributes,
    leases,
    maintenance,
    names,
    preemption,
    topology,
)
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.instance_metadata import values
from cloudspill_sandbox.engine.call import Document, Principal
from cloudspill_sandbox.metadata.interface import AccessToken
from cloudspill_sandbox.network.interface import METADATA_ADDRESS

_CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"


class MetadataView:
    """Implements metadata.interface.MetadataSource over a cloud's documents."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def tree(self, address: str) -> dict[str, Any] | None:
        """Return the caller's metadata as the recursive JSON, None for an unknown address."""
        instance = self._instance(address)
        if instance is None:
            return None
        own = self._seen_by(instance)
        return {"instance": _instance_tree(own, instance), "project": _project_tree(own)}

    def changed(self, address: str) -> Coroutine[Any, Any, None]:
        """Return what to await until the caller's tree may have changed since this call."""
        instance = self._instance(address)
        if instance is None:
            nobody = (self._holder(address) or f"leases/{address}", self._cloud.project)
            return self._cloud.watchers.changed(nobody)
        subnetworks = (each["subnetwork"] for each in instance["networkInterfaces"])
        return self._cloud.watchers.changed(
            (
                names.relative(instance["selfLink"]),
                self._seen_by(instance).project,
                *map(names.relative, subnetworks),
            )
        )

    def access_token(self, address: str, account: str, scopes: frozenset[str]) -> AccessToken:
        """Return a token of the attached account: of the scopes asked for, those it was given.

        A client that asks for none of them gets all: Google's guest agent asks for full control of
        storage to read a startup script, and instances are given read access unless told otherwise.

        Raises:
            KeyError: no such account is attached.
            PermissionError: the instance was given no scopes.
        """
        principal = self._principal(address, account)
        if not principal.scopes:
            raise PermissionError("the instance was given no scopes")
        given = principal.scopes
        within = scopes if _CLOUD_PLATFORM in given else scopes & given
        granted = within or given
        return self._cloud.tokens.access_token(
            Principal(principal.email, granted, principal.instance)
        )

    def identity_token(self, address: str, account: str, audience: str, *, full: bool) -> str:
        """Return a signed JWT of the attached account, of Compute Engine's two forms.

        https://cloud.google.com/compute/docs/instances/verifying-instance-identity. The standard
        one does not tell the account's address (google-auth-library-python, pull request 462).

        Raises:
            KeyError: no such account is attached.
        """
        principal = self._principal(address, account)
        instance = self._instance(address)
        claims = _claims(self._seen_by(instance), instance) if full and instance else None
        return self._cloud.tokens.identity_token(principal, audience, claims, with_email=full)

    def guest_attributes(self, address: str) -> dict[str, dict[str, str]] | None:
        """Return what the caller published, None where metadata does not enable it."""
        instance = self._instance(address)
        if instance is None or not self._enabled(instance):
            return None
        stored = guest_attributes.read(self._cloud.store, instance["id"])
        return {namespace: dict(pairs) for namespace, pairs in stored.items()}

    def put_guest_attribute(self, address: str, namespace: str, key: str, value: str) -> None:
        """Publish one value. Raises PermissionError where metadata does not enable it."""
        attributes = self.guest_attributes(address)
        instance = self._instance(address)
        if attributes is None or instance is None:
            raise PermissionError("guest attributes are not enabled")
        attributes.setdefault(namespace, {})[key] = value
        self._write(instance, attributes)

    def delete_guest_attribute(self, address: str, namespace: str, key: str) -> None:
        """Withdraw one value. Raises KeyError when it is absent."""
        attributes = self.guest_attributes(address) or {}
        instance = self._instance(address)
        if instance is None or key not in attributes.get(namespace, {}):
            raise KeyError(f"{namespace}/{key}")
        del attributes[namespace][key]
        self._write(instance, {name: pairs for name, pairs in attributes.items() if pairs})

    def _write(self, instance: Document, attributes: dict[str, dict[str, str]]) -> None:
        with self._cloud.transaction() as tx:
            tx.put(guest_attributes.document_name(instance["id"]), attributes)

    def _holder(self, address: str) -> str | None:
        """Return the name of what has the address; of a reserved one, of its user."""
        holder = leases.holder(self._cloud.store, address)
        reserved = self._cloud.store.get(holder) if holder else None
        users = (reserved or {}).get("users")
        return names.relative(users[0]) if users else holder

    def _instance(self, address: str) -> Document | None:
        holder = self._holder(address)
        document = self._cloud.store.get(holder) if holder else None
        interfaces = (document or {}).get("networkInterfaces", ())
        # An external address is leased too, and must not speak for the instance.
        return document if any(each["networkIP"] == address for each in interfaces) else None

    def _seen_by(self, instance: Document) -> Cloud:
        """Return the cloud as the instance's project sees it."""
        return self._cloud.of(names.project(names.relative(instance["selfLink"]))) or self._cloud

    def _enabled(self, instance: Document) -> bool:
        return guest_attributes.enabled(
            _project_values(self._seen_by(instance)), values(instance["metadata"])
        )

    def _principal(self, address: str, account: str) -> Principal:
        instance = self._instance(address) or {}
        for attached in instance.get("serviceAccounts", ()):
            if account in {"default", attached["email"]}:
                return Principal(attached["email"], frozenset(attached["scopes"]), instance["id"])
        raise KeyError(account)


def _claims(own: Cloud, instance: Document) -> dict[str, Any]:
    """Return what a full identity token says of the instance."""
    created = datetime.fromisoformat(instance["creationTimestamp"])
    own_claims = {
        "instance_creation_timestamp": int(created.timestamp()),
        "instance_id": instance["id"],
        "instance_name": instance["name"],
        "project_id": own.settings.project,
        "project_number": own.settings.project_number,
        "zone": names.last(instance["zone"]),
    }
    return {"google": {"compute_engine": own_claims}}


def _project_values(own: Cloud) -> dict[str, str]:
    document = own.store.get(own.project) or {}
    return values(document["commonInstanceMetadata"])


def _project_tree(own: Cloud) -> dict[str, Any]:
    return {
        "attributes": _project_values(own),
        "numericProjectId": own.settings.project_number,
        "projectId": own.settings.project,
    }


def _instance_tree(own: Cloud, instance: Document) -> dict[str, Any]:
    number = own.settings.project_number
    scheduling = instance["scheduling"]
    return {
        "attributes": values(instance["metadata"]),
        "cpuPlatform": instance["cpuPlatform"],
        "description": instance.get("description", ""),
        "disks": [_disk(disk) for disk in instance["disks"]],
        "hostname": topology.hostname(instance),
        "id": int(instance["id"]),
        "image": _image(own, instance),
        "licenses": [],
        "machineType": f"projects/{number}/machineTypes/{names.last(instance['machineType'])}",
        "maintenanceEvent": maintenance.event(own, instance),
        "name": instance["name"],
        "networkInterfaces": [
            _interface(own, instance, at) for at in range(len(instance["networkInterfaces"]))
        ],
        "preempted": _upper(preemption.power_button(own.store, instance) is not None),
        "remainingCpuTime": -1,
        "scheduling": {
            "automaticRestart": _upper(scheduling["automaticRestart"]),
            "onHostMaintenance": scheduling["onHostMaintenance"],
            "preemptible": _upper(scheduling["preemptible"]),
        },
        "serviceAccounts": _accounts(instance),
        "tags": list(instance["tags"].get("items", ())),
        "virtualClock": {"driftToken": "0"},
        "zone": f"projects/{number}/zones/{names.last(instance['zone'])}",
    }


def _interface(own: Cloud, instance: Document, at: int) -> dict[str, Any]:
    nic = topology.nics(own.store, instance)[at]
    subnet = ipaddress.IPv4Network(nic.subnet)
    configs = instance["networkInterfaces"][at].get("accessConfigs", ())
    number = own.settings.project_number
    return {
        "accessConfigs": [
            {"externalIp": config.get("natIP", ""), "type": config["type"]} for config in configs
        ],
        "dnsServers": [METADATA_ADDRESS],
        "forwardedIps": [],
        "gateway": str(subnet[1]),
        "ip": nic.internal_ip,
        "ipAliases": [],
        "mac": nic.mac,
        "mtu": 1460,
        "network": f"projects/{number}/networks/{names.last(nic.network)}",
        "subnetmask": str(subnet.netmask),
        "targetInstanceIps": [],
    }


def _image(own: Cloud, instance: Document) -> str:
    disk = own.store.get(names.relative(instance["disks"][0]["source"])) or {}
    return names.relative(disk.get("sourceImage", ""))


def _disk(disk: Document) -> dict[str, Any]:
    return {
        "deviceName": disk["deviceName"],
        "index": disk["index"],
        "interface": disk["interface"],
        "mode": disk["mode"],
        "type": disk["type"],
    }


def _accounts(instance: Document) -> dict[str, Any]:
    """Both spellings of the attached account: `default` and its email."""
    return {
        spelling: {
            "aliases": ["default"],
            "email": account["email"],
            "scopes": list(account["scopes"]),
        }
        for account in instance.get("serviceAccounts", ())
        for spelling in ("default", account["email"])
    }


def _upper(truth: bool) -> str:
    return "TRUE" if truth else "FALSE"
