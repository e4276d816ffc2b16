# SPDX-License-Identifier: GPL-3.0-or-later
"""The clients that no one here wrote: how each names itself in a request, and what it offers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

ENDPOINT = "http://127.0.0.1:"
"""What a client asks whose endpoint was overridden; through the proxy it asks Google's hosts."""


@dataclass(frozen=True, slots=True)
class Client:
    """One client.

    Attributes:
        agent: matches what it says of itself, `X-Goog-Api-Client` and `User-Agent`.
        offers: patterns (fnmatch) of the ids of methods that it can call.
        lacks: patterns of those among them that it cannot, or only for what the sandbox refuses.
    """

    name: str
    agent: re.Pattern[str]
    offers: tuple[str, ...]
    lacks: tuple[str, ...] = ()


def _methods(api: str, **verbs: str) -> tuple[str, ...]:
    """Return the ids of methods of an API, verbs by resource; `_` in a resource's name is a dot."""
    return tuple(
        f"{api}.{resource.replace('_', '.')}.{verb}"
        for resource, words in verbs.items()
        for verb in words.split()
    )


_OPERATIONS = tuple(f"compute.{scope}Operations.get" for scope in ("global", "region", "zone"))

CLIENTS: Sequence[Client] = (
    Client(
        "google.cloud",
        re.compile("Google-Ansible-MM"),
        (
            *_methods(
                "compute",
                addresses="delete get insert list",
                disks="createSnapshot delete get insert list resize setLabels",
                firewalls="delete get insert list patch",
                images="delete get insert list setLabels",
                instanceTemplates="delete get insert list",
                instances="aggregatedList attachDisk delete get insert list setDeletionProtection "
                # updateShieldedInstanceConfig, a PATCH, it asks for by POST
                "setLabels setMachineType start stop",
                networks="delete get insert list patch",
                routes="delete get insert list",
                snapshots="delete get list setLabels",
                subnetworks="delete expandIpCidrRange get insert list setPrivateIpGoogleAccess",
            ),
            *_OPERATIONS,
            *_methods("cloudresourcemanager", projects="delete get list update"),
            *_methods(
                "iam",
                projects_roles="create delete get list patch",
                # gcp_iam_service_account holds what is wanted against nothing: it never updates
                projects_serviceAccounts="create delete get list",
                projects_serviceAccounts_keys="create delete get",
            ),
            *_methods("serviceusage", operations="get", services="disable enable get list"),
            *_methods(
                "storage",
                bucketAccessControls="delete get insert update",
                buckets="delete get insert update",
                defaultObjectAccessControls="delete get insert update",
                objects="delete get insert",
            ),
        ),
    ),
    Client(
        "gcloud",
        re.compile("google-cloud-sdk"),
        (
            "compute.*",
            "iam.*",
            "iamcredentials.projects.serviceAccounts.generate*",
            "cloudresourcemanager.*",
            "serviceusage.*",
            "storage.*",
        ),
        (
            "compute.firewalls.update",  # it patches
            "compute.*Operations.delete",
            "compute.subnetworks.patch",  # flow logs, secondary ranges, IPv6
            "cloudresourcemanager.projects.testIamPermissions",  # of version 3
            "iam.projects.serviceAccounts.testIamPermissions",  # only once it has asked IAP
            "iam.projects.serviceAccounts.update",  # it patches
            "iamcredentials.projects.serviceAccounts.generateIdToken",  # by google-auth
            "serviceusage.services.batchGet",  # after a list by version 2
            "serviceusage.services.get",  # before calls of APIs that the sandbox has not
            "storage.*AccessControls.*",  # lists are changed with their bucket or object
            "storage.buckets.testIamPermissions",
            "storage.buckets.update",  # it patches
            "storage.objects.copy",  # it rewrites
            "storage.objects.update",
        ),
    ),
    Client(
        "apache-libcloud",
        re.compile("libcloud"),
        (
            *_methods(
                "compute",
                addresses="aggregatedList delete get insert list",
                diskTypes="aggregatedList get list",
                # a disk is looked up in the aggregated list, a zone in what was listed at the start
                disks="aggregatedList createSnapshot delete insert list resize setLabels",
                firewalls="delete get insert list update",
                images="delete deprecate get insert list setLabels",
                instanceTemplates="delete get insert list",
                instances="addAccessConfig aggregatedList attachDisk delete deleteAccessConfig "
                "detachDisk get getSerialPortOutput insert list reset setDiskAutoDelete setLabels "
                "setMachineType setMetadata setScheduling setTags start stop",
                machineTypes="aggregatedList get list",
                networks="delete get insert list",
                projects="get setCommonInstanceMetadata",
                regions="get list",
                routes="delete get insert list",
                snapshots="delete get list",
                subnetworks="aggregatedList delete get insert list",
                zones="list",
            ),
            *_OPERATIONS,
        ),
    ),
    Client(
        "google-cloud-storage",
        re.compile("gcloud-python"),
        (
            "storage.buckets.*",
            "storage.objects.*",
            "storage.*AccessControls.list",
            "storage.projects.serviceAccount.get",
        ),
        ("storage.buckets.getStorageLayout",),
    ),
    Client(
        "google-cloud-compute",
        re.compile(r"\bgccl/|\bgapic/"),
        ("compute.*",),
        (
            "compute.*Operations.delete",  # answered by nothing, it says, and wants JSON
            "compute.snapshots.aggregatedList",  # of beta
        ),
    ),
    Client("google-api-python-client", re.compile(r"\bgdcl/"), ("*",)),
)
"""In the order in which an agent is held against them."""


def client_of(agent: str) -> str | None:
    """Return the name of the client that says this of itself, None for none of them."""
    return next((client.name for client in CLIENTS if client.agent.search(agent)), None)
