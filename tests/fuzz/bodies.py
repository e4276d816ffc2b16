# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies that are carried out, if what they refer to is there.

What is read before it is written (`update`, `setTags`, `setIamPolicy` …) needs none: its body is
what was read.
"""

from __future__ import annotations

import base64
import datetime
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tests.fuzz.words import IMAGE, OWNER, PROJECT, REGION, SERVICE, WIDER, WORKER, ZONE

BULK: Mapping[str, Any] = {
    "count": "2",
    "namePattern": "vm-###",
    "instanceProperties": {
        "machineType": "f1-micro",
        "disks": [{"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": IMAGE}}],
        "networkInterfaces": [{}],
    },
}

LABELS: Mapping[str, Any] = {"labels": {"a": "b"}}
RESOURCE = f"//cloudresourcemanager.googleapis.com/projects/{PROJECT}"

SANE: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "compute.instances.insert": {
            "name": "vm",
            "machineType": f"zones/{ZONE}/machineTypes/f1-micro",
            "disks": [
                {"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": IMAGE}}
            ],
            "networkInterfaces": [{"accessConfigs": [{}]}],
        },
        "compute.instances.bulkInsert": BULK,
        "compute.regionInstances.bulkInsert": BULK,
        "compute.instances.updateNetworkInterface": {
            "subnetwork": f"regions/{REGION}/subnetworks/vm"
        },
        "compute.disks.insert": {"name": "vm"},
        "compute.disks.createSnapshot": {"name": "vm"},
        "compute.snapshots.insert": {"name": "vm", "sourceDisk": f"zones/{ZONE}/disks/vm"},
        "compute.images.insert": {
            "name": "vm",
            "family": "vm",
            "sourceSnapshot": "global/snapshots/vm",
        },
        "compute.images.deprecate": {"state": "ACTIVE"},
        "compute.images.patch": {"description": "patched"},
        "compute.images.setLabels": LABELS,
        "compute.snapshots.setLabels": LABELS,
        "compute.disks.setLabels": LABELS,
        "compute.addresses.setLabels": LABELS,
        "compute.instanceTemplates.insert": {
            "name": "vm",
            "properties": BULK["instanceProperties"],
        },
        "compute.networks.insert": {"name": "vm"},
        "compute.networks.patch": {"routingConfig": {"routingMode": "GLOBAL"}},
        "compute.subnetworks.insert": {
            "name": "vm",
            "network": "global/networks/vm",
            "ipCidrRange": "10.1.0.0/24",
        },
        "compute.subnetworks.expandIpCidrRange": {"ipCidrRange": WIDER},
        "compute.subnetworks.patch": {"privateIpGoogleAccess": True},
        "compute.subnetworks.setPrivateIpGoogleAccess": {"privateIpGoogleAccess": True},
        "compute.firewalls.insert": {"name": "vm", "allowed": [{"IPProtocol": "tcp"}]},
        "compute.addresses.insert": {"name": "vm"},
        "compute.instances.attachDisk": {"source": f"zones/{ZONE}/disks/vm"},
        "compute.instances.setMachineType": {"machineType": f"zones/{ZONE}/machineTypes/e2-micro"},
        "compute.instances.setLabels": {**LABELS, "labelFingerprint": "42WmSpB8rSM="},
        "compute.instances.setMinCpuPlatform": {"minCpuPlatform": "Automatic"},
        "compute.instances.updateShieldedInstanceConfig": {"enableVtpm": True},
        "compute.instances.setMetadata": {"items": [{"key": "a", "value": "b"}]},
        "compute.instances.setServiceAccount": {"email": WORKER, "scopes": []},
        "compute.instances.addAccessConfig": {"name": "External NAT", "type": "ONE_TO_ONE_NAT"},
        "compute.instances.updateAccessConfig": {"name": "External NAT", "type": "ONE_TO_ONE_NAT"},
        "compute.disks.resize": {"sizeGb": "20"},
        "compute.firewalls.patch": {"disabled": True},
        "iam.projects.serviceAccounts.create": {"accountId": "worker"},
        "iam.projects.roles.create": {"roleId": "mine", "role": {"title": "mine"}},
        "iam.projects.serviceAccounts.patch": {
            "serviceAccount": {"displayName": "patched"},
            "updateMask": "displayName",
        },
        "iam.projects.serviceAccounts.setIamPolicy": {
            "policy": {
                "bindings": [
                    {
                        "role": "roles/iam.serviceAccountTokenCreator",
                        "members": [f"serviceAccount:{OWNER}"],
                    }
                ]
            }
        },
        "iam.projects.serviceAccounts.testIamPermissions": {
            "permissions": ["iam.serviceAccounts.get"]
        },
        "iam.projects.roles.patch": {"title": "patched"},
        "iam.permissions.queryTestablePermissions": {"fullResourceName": RESOURCE},
        "iam.roles.queryGrantableRoles": {"fullResourceName": RESOURCE},
        "iamcredentials.projects.serviceAccounts.generateAccessToken": {
            "scope": ["https://www.googleapis.com/auth/cloud-platform"]
        },
        "iamcredentials.projects.serviceAccounts.generateIdToken": {"audience": "https://a.test"},
        "cloudresourcemanager.projects.testIamPermissions": {
            "permissions": ["compute.instances.get"]
        },
        "serviceusage.services.batchEnable": {"serviceIds": [SERVICE]},
        "storage.buckets.insert": {"name": "bucket"},
        "storage.buckets.update": {"retentionPolicy": {"retentionPeriod": "1"}},
        "storage.bucketAccessControls.insert": {"entity": "allUsers", "role": "READER"},
        "storage.defaultObjectAccessControls.insert": {"entity": "allUsers", "role": "READER"},
        "storage.buckets.patch": {"versioning": {"enabled": True}},
        "storage.objects.patch": {"metadata": {"a": "b"}},
        "storage.objectAccessControls.insert": {"entity": "allUsers", "role": "READER"},
        "storage.objects.compose": {"sourceObjects": [{"name": "object"}]},
    }
)


def sane_bodies() -> Mapping[str, Mapping[str, Any]]:
    """Return all of them, with such as have to be made anew."""
    return {
        **SANE,
        "iam.projects.serviceAccounts.keys.upload": {"publicKeyData": _certificate()},
    }


def _certificate() -> str:
    """Return a certificate of a key of its own: PEM in base64."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fuzz")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=365))
        .sign(key, hashes.SHA256())
    )
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()
