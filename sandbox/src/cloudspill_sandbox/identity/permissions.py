# SPDX-License-Identifier: GPL-3.0-or-later
"""The permissions that the sandbox knows.

Every permission of the collections below, whether or not a method of the sandbox asks for it; what
concerns tag bindings, policy bindings, folders and caches is left out.
https://cloud.google.com/iam/docs/permissions-reference
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase

_VERBS: Mapping[str, str] = {
    "compute.addresses": "create createInternal delete deleteInternal get list setLabels use "
    "useInternal",
    "compute.diskTypes": "get list",
    "compute.disks": "addResourcePolicies create createSnapshot delete get getIamPolicy list "
    "removeResourcePolicies resize setIamPolicy setLabels update use useReadOnly",
    "compute.firewalls": "create delete get list update",
    "compute.globalOperations": "delete get getIamPolicy list setIamPolicy",
    "compute.images": "create delete deprecate get getFromFamily getIamPolicy list setIamPolicy "
    "setLabels update useReadOnly",
    "compute.instanceTemplates": "create delete get getIamPolicy list setIamPolicy useReadOnly",
    "compute.instances": "addAccessConfig addNetworkInterface addResourcePolicies attachDisk "
    "create delete deleteAccessConfig deleteNetworkInterface detachDisk get "
    "getEffectiveFirewalls getGuestAttributes getIamPolicy getScreenshot getSerialPortOutput "
    "getShieldedInstanceIdentity list listReferrers osAdminLogin osLogin removeResourcePolicies "
    "reset resume sendDiagnosticInterrupt setDeletionProtection setDiskAutoDelete setIamPolicy "
    "setLabels setMachineResources setMachineType setMetadata setMinCpuPlatform setName "
    "setScheduling setServiceAccount setShieldedInstanceIntegrityPolicy setTags "
    "simulateMaintenanceEvent start startWithEncryptionKey stop suspend update updateAccessConfig "
    "updateDisplayDevice updateNetworkInterface updateShieldedInstanceConfig use useReadOnly",
    "compute.machineTypes": "get list",
    "compute.networks": "access addPeering create delete get getEffectiveFirewalls "
    "listPeeringRoutes removePeering switchToCustomMode update updatePeering updatePolicy use "
    "useExternalIp list",
    "compute.projects": "get setCommonInstanceMetadata setDefaultNetworkTier "
    "setDefaultServiceAccount setUsageExportBucket",
    "compute.regionOperations": "delete get getIamPolicy list setIamPolicy",
    "compute.regions": "get list",
    "compute.routes": "create delete get list",
    "compute.snapshots": "create delete get getIamPolicy list setIamPolicy setLabels useReadOnly",
    "compute.subnetworks": "create delete expandIpCidrRange get getIamPolicy list setIamPolicy "
    "setPrivateIpGoogleAccess update use useExternalIp",
    "compute.zoneOperations": "delete get getIamPolicy list setIamPolicy",
    "compute.zones": "get list",
    "iam.roles": "create delete get list undelete update",
    "iam.serviceAccountKeys": "create delete disable enable get list",
    "iam.serviceAccounts": "actAs create delete disable enable get getAccessToken getIamPolicy "
    "getOpenIdToken implicitDelegation list setIamPolicy signBlob signJwt undelete update",
    "resourcemanager.projects": "delete get getIamPolicy list move setIamPolicy undelete update",
    "serviceusage.operations": "get",
    "serviceusage.quotas": "get update",
    "serviceusage.services": "disable enable get list use",
    "storage.buckets": "create delete enableObjectRetention get getIamPolicy list restore "
    "setIamPolicy update",
    "storage.hmacKeys": "create delete get list update",
    "storage.managedFolders": "create delete get getIamPolicy list setIamPolicy",
    "storage.multipartUploads": "abort create list listParts",
    "storage.objects": "create delete get getIamPolicy list move overrideUnlockedRetention restore "
    "setIamPolicy setRetention update",
}

PERMISSIONS = frozenset(
    f"{collection}.{verb}" for collection, verbs in _VERBS.items() for verb in verbs.split()
)
"""All of them, `compute.instances.create`."""

NOT_IN_CUSTOM_ROLES = frozenset(
    {"iam.serviceAccounts.implicitDelegation"} | {"resourcemanager.projects.list"}
)
"""https://cloud.google.com/iam/docs/custom-roles-permissions-support (project level)."""

_FORM = re.compile(r"[a-z][a-zA-Z0-9]*(?:\.[a-zA-Z][a-zA-Z0-9]*){2,}")


def matching(*patterns: str) -> frozenset[str]:
    """Return the permissions that patterns select, in their order.

    Args:
        patterns: `compute.*` adds, `-compute.instances.osLogin` takes away.
    """
    chosen: set[str] = set()
    for pattern in patterns:
        if pattern.startswith("-"):
            chosen -= {each for each in chosen if fnmatchcase(each, pattern[1:])}
        else:
            chosen |= {each for each in PERMISSIONS if fnmatchcase(each, pattern)}
    return frozenset(chosen)


def plausible(permission: str) -> bool:
    """Whether Google may have a permission of this name.

    Of the collections above every permission is known; of others only the form can be judged.
    """
    if _FORM.fullmatch(permission) is None:
        return False
    return permission in PERMISSIONS or permission.rpartition(".")[0] not in _VERBS
