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
    """

    name: str
    agent: re.Pattern[str]
    offers: tuple[str, ...]


def _compute(methods: str) -> tuple[str, ...]:
    return tuple(f"compute.{method}" for method in methods.split())


CLIENTS: Sequence[Client] = (
    Client(
        "google.cloud",
        re.compile("Google-Ansible-MM"),
        (
            *_compute(
                "addresses.[dgil]* disks.[dgi]* disks.list disks.resize disks.setLabels "
                "firewalls.* globalAddresses.[dgil]* globalAddresses.setLabels images.[dgil]* "
                "images.setLabels instanceTemplates.[dgil]* instances.aggregatedList "
                "instances.[dgil]* instances.set[DLMS]* instances.st* networks.[dgilp]* "
                "routes.[dgil]* snapshots.[dgil]* snapshots.setLabels subnetworks.[dgil]* "
                "subnetworks.patch subnetworks.setPrivateIpGoogleAccess *Operations.get"
            ),
            "cloudresourcemanager.projects.[dgi]*",
            "iam.projects.roles.*",
            "iam.projects.serviceAccounts.[cdglp]*",
            "iam.projects.serviceAccounts.keys.*",
            "serviceusage.services.[del]*",
            "serviceusage.operations.get",
            "serviceusage.services.get",
            "storage.bucketAccessControls.*",
            "storage.buckets.[dgiu]*",
            "storage.defaultObjectAccessControls.*",
            "storage.objects.[dgil]*",
        ),
    ),
    Client(
        "gcloud",
        re.compile("google-cloud-sdk"),
        ("compute.*", "iam.*", "cloudresourcemanager.*", "serviceusage.*", "storage.*"),
    ),
    Client("apache-libcloud", re.compile("libcloud"), _compute("*")),
    Client("google-cloud-storage", re.compile("gcloud-python"), ("storage.*",)),
    Client("google-cloud-compute", re.compile(r"\bgccl/|\bgapic/"), ("compute.*",)),
    Client("google-api-python-client", re.compile(r"\bgdcl/"), ("*",)),
)
"""In the order in which an agent is held against them, and of the table's columns."""


def client_of(agent: str) -> str | None:
    """Return the name of the client that says this of itself, None for none of them."""
    return next((client.name for client in CLIENTS if client.agent.search(agent)), None)
