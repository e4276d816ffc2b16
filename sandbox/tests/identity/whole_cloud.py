# SPDX-License-Identifier: GPL-3.0-or-later
"""All services over one store in memory, with one resource of each kind, for who may do what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudspill_sandbox.assembly import access_control, implemented_services, storage_cloud
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.latency import Instant
from cloudspill_sandbox.engine.call import Call, Document, Media, Principal, Service, Wire
from cloudspill_sandbox.engine.clock import Clock
from cloudspill_sandbox.engine.discovery import Method
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.identity.accounts import ServiceAccounts
from cloudspill_sandbox.identity.iam import Iam
from cloudspill_sandbox.identity.keys import KeyPair
from cloudspill_sandbox.identity.service_catalogue import ServiceCatalogue
from cloudspill_sandbox.identity.service_usage import ServiceUsage
from cloudspill_sandbox.identity.tokens import Signers, Tokens
from cloudspill_sandbox.network.memory import MemoryNetwork
from cloudspill_sandbox.runtime.memory import MemoryRuntime
from cloudspill_sandbox.settings import Settings

PROJECT = "projects/cloudspill-sandbox"
OWN_ROLE = f"{PROJECT}/roles/exact"
ZONE = "us-west1-b"
NOW = 1_800_000_000.0

_NAMES = {
    "project": "cloudspill-sandbox",
    "projectId": "cloudspill-sandbox",
    "zone": ZONE,
    "region": "us-west1",
    "instance": "vm",
    "disk": "vm",
    "firewall": "default-allow-ssh",
    "network": "default",
    "subnetwork": "default",
    "bucket": "bucket",
    "sourceBucket": "bucket",
    "destinationBucket": "bucket",
    "object": "object",
    "sourceObject": "object",
}
"""Path parameters of resources that are there; any other one is called `new`."""

_NO_ACL = {"projection": "noAcl"}
_MINIMAL: Mapping[str, tuple[Document, Document]] = {
    "compute.instances.addAccessConfig": ({"networkInterface": "nic0"}, {}),
    "compute.instances.setDiskAutoDelete": ({"deviceName": "persistent-disk-0"}, {}),
    "compute.snapshots.insert": ({}, {"sourceDisk": f"zones/{ZONE}/disks/vm"}),
    "storage.buckets.patch": (_NO_ACL, {}),
    "storage.buckets.update": (_NO_ACL, {}),
    "storage.objects.compose": ({}, {"sourceObjects": [{"name": "object"}]}),
    "storage.objects.insert": ({"name": "new"}, {}),
    "storage.objects.patch": (_NO_ACL, {}),
    "storage.objects.update": (_NO_ACL, {}),
}
"""Query and body of methods that ask for nothing in particular without."""


@dataclass(frozen=True, slots=True)
class WholeCloud:
    """Access control, and what is controlled."""

    store: Store
    iam: Iam
    services: Mapping[str, Service]
    account: str

    @property
    def methods(self) -> set[str]:
        """Ids of the implemented methods."""
        return {method for service in self.services.values() for method in service}

    def define(self, permissions: Iterable[str]) -> None:
        """Let OWN_ROLE hold these."""
        self.store.put(OWN_ROLE, {"name": OWN_ROLE, "includedPermissions": sorted(permissions)})

    def call(self, method: Method, principal: Principal) -> Call:
        """Return a call that asks for as little as the method can."""
        query, body = _MINIMAL.get(method.id, ({}, {}))
        path = {name: self._name(method.id, name) for name in method.path_parameters}
        return Call(method.id, path, query, body, principal)

    def _name(self, method: str, parameter: str) -> str:
        """Return a path parameter: newer APIs have relative names in them."""
        if method.startswith("serviceusage."):
            service = "" if parameter == "parent" else "/services/dns.googleapis.com"
            return "operations/none" if ".operations." in method else f"{PROJECT}{service}"
        if parameter == "parent":
            return PROJECT
        if method.startswith(("iam.", "iamcredentials.")) and parameter in ("name", "resource"):
            return self._iam_name(method)
        if method.startswith("cloudresourcemanager."):
            return _NAMES["project"]
        if method.startswith("compute.instances.") and parameter == "resource":
            return "vm"
        return _NAMES.get(parameter, "new")

    def _iam_name(self, method: str) -> str:
        if method.startswith("iam.projects.roles."):
            return f"{PROJECT}/roles/mine"
        if method.startswith("iam.") and not method.startswith("iam.projects."):
            return "roles/viewer"
        if method.endswith(("serviceAccounts.create", "serviceAccounts.list")):
            return PROJECT
        if method.startswith("iamcredentials."):
            return f"projects/-/serviceAccounts/{self.account}"
        account = f"{PROJECT}/serviceAccounts/{self.account}"
        return f"{account}/keys/none" if ".keys." in method else account


@contextmanager
def whole_cloud(directory: Path, members: Mapping[str, str]) -> Iterator[WholeCloud]:
    """Make a cloud with an instance `vm`, a uniform bucket with an object, a service account.

    Args:
        members: who has a role, by role, in the project and in the bucket.
    """
    store = Store()
    accounts = ServiceAccounts(store, lambda: NOW)
    tokens = Tokens(Signers(b"", KeyPair.generate("nobody", 0.0)), accounts, lambda: NOW)
    cloud = Cloud(
        store=store,
        runtime=MemoryRuntime(),
        network=MemoryNetwork(),
        settings=Settings(in_memory=True, state_root=directory),
        clock=Clock(store, lambda: NOW),
        latency=Instant(),
        tokens=tokens,
    )
    usage = ServiceUsage(store, ServiceCatalogue(), cloud.clock)
    iam = access_control(cloud, accounts, usage)
    storage = storage_cloud(cloud, iam)
    storage.blobs.prepare()
    services = implemented_services(cloud, iam, tokens, usage, storage)
    account = accounts.create("cloudspill-sandbox", "worker")["email"]
    asyncio.run(_furnish(cloud, services))
    bindings = [{"role": role, "members": [f"user:{who}"]} for role, who in members.items()]
    with store.transaction() as transaction:
        iam.policies.put(transaction, PROJECT, bindings)
        iam.policies.forget(transaction, "projects/_/buckets/bucket")
    yield WholeCloud(store, iam, services, account)
    store.close()


async def _furnish(cloud: Cloud, services: Mapping[str, Service]) -> None:
    await cloud.start()
    instance = {
        "name": "vm",
        "machineType": f"zones/{ZONE}/machineTypes/e2-micro",
        "disks": [
            {
                "boot": True,
                "initializeParams": {
                    "sourceImage": "projects/debian-cloud/global/images/family/debian-12"
                },
            }
        ],
        "networkInterfaces": [{}],
        "serviceAccounts": [{"email": "default", "scopes": []}],
    }
    project = {"project": "cloudspill-sandbox"}
    await _do(services, "compute.instances.insert", project | {"zone": ZONE}, {}, instance)
    uniform = {"uniformBucketLevelAccess": {"enabled": True}}
    bucket = {"name": "bucket", "iamConfiguration": uniform}
    await _do(services, "storage.buckets.insert", {}, project, bucket)
    query = {"name": "object"}
    await _do(services, "storage.objects.insert", {"bucket": "bucket"}, query, {}, b"x")
    await cloud.stop()


async def _do(
    services: Mapping[str, Service],
    method: str,
    path: Document,
    query: Document,
    body: Document,
    media: bytes | None = None,
) -> Any:
    wire = Wire("POST", "https://storage.googleapis.com", {})
    content = None if media is None else Media("text/plain", _chunks(media))
    owner = Principal("owner@example.org")
    service = services[method.partition(".")[0]]
    return await service[method](Call(method, path, query, body, owner, wire, content))


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    yield content
