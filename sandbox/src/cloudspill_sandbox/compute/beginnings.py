# SPDX-License-Identifier: GPL-3.0-or-later
"""What a new project has: default network, its firewall rules, default service account.

https://cloud.google.com/vpc/docs/vpc#default-network,
https://cloud.google.com/firewall/docs/firewalls#more_rules_default_vpc,
https://cloud.google.com/compute/docs/access/service-accounts#default_service_account.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import documents, names
from cloudspill_sandbox.compute.catalogue.regions import REGIONS
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.store import Transaction

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud

_ANYWHERE = "0.0.0.0/0"
_INTERNAL = "10.128.0.0/9"
_DEFAULT_RULES = (
    ("default-allow-icmp", _ANYWHERE, "Allow ICMP from anywhere", [{"IPProtocol": "icmp"}]),
    (
        "default-allow-internal",
        _INTERNAL,
        "Allow internal traffic on the default network",
        [
            {"IPProtocol": "tcp", "ports": ["0-65535"]},
            {"IPProtocol": "udp", "ports": ["0-65535"]},
            {"IPProtocol": "icmp"},
        ],
    ),
    (
        "default-allow-rdp",
        _ANYWHERE,
        "Allow RDP from anywhere",
        [{"IPProtocol": "tcp", "ports": ["3389"]}],
    ),
    (
        "default-allow-ssh",
        _ANYWHERE,
        "Allow SSH from anywhere",
        [{"IPProtocol": "tcp", "ports": ["22"]}],
    ),
)
_LOWEST_PRIORITY = 65534


def default_account(cloud: Cloud) -> str:
    """Return the email of the project's default service account."""
    return f"{cloud.settings.project_number}-compute@developer.gserviceaccount.com"


def lay(cloud: Cloud) -> None:
    """Write what a new project has; a project that is there stays as it is."""
    if cloud.store.get(cloud.project):
        return
    with cloud.transaction() as tx:
        tx.put(cloud.project, _project(cloud))
        account = f"{cloud.project}/serviceAccounts/{default_account(cloud)}"
        if tx.get(account) is None:
            tx.put(account, _account(cloud, account))
        network = f"{cloud.project}/global/networks/default"
        put_auto_network(
            cloud,
            tx,
            documents.resource("network", network, cloud.clock())
            | {"description": "Default network for the project", "autoCreateSubnetworks": True},
        )
        for name, source, description, allowed in _DEFAULT_RULES:
            rule = f"{cloud.project}/global/firewalls/{name}"
            tx.put(
                rule,
                documents.resource("firewall", rule, cloud.clock())
                | {
                    "description": description,
                    "network": names.link(network),
                    "priority": _LOWEST_PRIORITY,
                    "sourceRanges": [source],
                    "allowed": allowed,
                    "direction": "INGRESS",
                    "logConfig": {"enable": False},
                    "disabled": False,
                },
            )


def put_auto_network(cloud: Cloud, tx: Transaction, network: Document) -> None:
    """Write an auto-mode network with its subnetwork in every region."""
    project, key = cloud.project, network["name"]
    links = []
    for region in REGIONS.values():
        name = f"{project}/regions/{region.name}/subnetworks/{key}"
        links.append(names.link(name))
        tx.put(name, subnetwork(cloud, name, network["selfLink"], region.auto_range))
    tx.put(names.relative(network["selfLink"]), complete_network(network) | {"subnetworks": links})


def is_automatic(network: Document, subnetwork: str) -> bool:
    """Whether a network's subnetwork came with it, and so has its name; others may be added.

    https://cloud.google.com/vpc/docs/subnets#subnet-types
    """
    return bool(network["autoCreateSubnetworks"] and subnetwork == network["name"])


def complete_network(network: Document) -> Document:
    """Return a network document with what Google fills in."""
    return {
        "routingConfig": {"routingMode": "REGIONAL"},
        "mtu": 1460,
        "networkFirewallPolicyEnforcementOrder": "AFTER_CLASSIC_FIREWALL",
        "selfLinkWithId": names.link(
            f"{names.relative(network['selfLink']).rpartition('/')[0]}/{network['id']}"
        ),
    } | network


def subnetwork(cloud: Cloud, name: str, network: str, ip_range: str) -> Document:
    """Return a subnetwork document; `network` is a link, `ip_range` a CIDR range."""
    first = ip_range.partition("/")[0].rpartition(".")
    document = documents.resource("subnetwork", name, cloud.clock()) | {
        "network": network,
        "ipCidrRange": ip_range,
        "gatewayAddress": f"{first[0]}.{int(first[2]) + 1}",
        "privateIpGoogleAccess": False,
        "privateIpv6GoogleAccess": "DISABLE_GOOGLE_ACCESS",
        "purpose": "PRIVATE",
        "stackType": "IPV4_ONLY",
    }
    return document | {"fingerprint": documents.fingerprint([document["id"], ip_range])}


def _project(cloud: Cloud) -> Document:
    return {
        "kind": "compute#project",
        "id": str(cloud.settings.project_number),
        "creationTimestamp": documents.timestamp(cloud.clock()),
        "name": cloud.settings.project,
        "selfLink": names.link(cloud.project),
        "commonInstanceMetadata": {
            "kind": "compute#metadata",
            "fingerprint": documents.fingerprint([]),
        },
        "quotas": [],
        "defaultServiceAccount": default_account(cloud),
        "xpnProjectStatus": "UNSPECIFIED_XPN_PROJECT_STATUS",
        "defaultNetworkTier": "PREMIUM",
        "vmDnsSetting": "ZONAL_ONLY",
    }


def _account(cloud: Cloud, name: str) -> Document:
    return {
        "name": name,
        "projectId": cloud.settings.project,
        "uniqueId": documents.new_id(),
        "email": names.last(name),
        "displayName": "Compute Engine default service account",
        "etag": documents.fingerprint(name),
    }
