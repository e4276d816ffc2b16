# SPDX-License-Identifier: GPL-3.0-or-later
"""Google's predefined roles, as patterns over the permissions that the sandbox knows.

https://cloud.google.com/iam/docs/roles-permissions,
https://cloud.google.com/storage/docs/access-control/iam-roles; checked against the lists of
permissions by role in https://github.com/iann0036/iam-dataset (2026-08-22).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

PROJECT = "cloudresourcemanager.googleapis.com/Project"
ACCOUNT = "iam.googleapis.com/ServiceAccount"
BUCKET = "storage.googleapis.com/Bucket"


@dataclass(frozen=True, slots=True)
class PredefinedRole:
    """One role of Google's.

    Attributes:
        patterns: see `permissions.matching`.
        resources: types of the resources whose policies may hold it.
    """

    title: str
    patterns: tuple[str, ...]
    resources: frozenset[str]


def _role(title: str, *patterns: str, on: tuple[str, ...] = ()) -> PredefinedRole:
    """Return a role that policies of projects may hold, or of `on` instead."""
    words = " ".join(patterns).split()
    return PredefinedRole(title, tuple(words), frozenset(on or (PROJECT,)))


_SEEN = "resourcemanager.projects.get resourcemanager.projects.list "
_QUOTAS = "serviceusage.quotas.get serviceusage.services.get serviceusage.services.list "
_PLACES = (
    "compute.projects.get compute.regions.* compute.zones.* compute.*Operations.get "
    "compute.*Operations.list "
)
_UPLOADS = "storage.multipartUploads.* "
_ACCOUNTS_SEEN = _SEEN + "iam.serviceAccounts.get iam.serviceAccounts.list "
_KEEPERS = (
    "-*.setIamPolicy -iam.roles.* iam.roles.get iam.roles.list -iam.serviceAccounts.undelete "
    "-resourcemanager.projects.delete -resourcemanager.projects.undelete "
    "-storage.buckets.enableObjectRetention -storage.buckets.restore"
)
_IMPERSONATION = (
    "-iam.serviceAccounts.get*Token -iam.serviceAccounts.implicitDelegation "
    "-iam.serviceAccounts.sign* "
)
_FOLDERS = (
    "storage.managedFolders.create storage.managedFolders.delete storage.managedFolders.get "
    "storage.managedFolders.list "
)
_IN_BUCKETS = (
    "-storage.managedFolders.* -storage.objects.* -storage.multipartUploads.* "
    "-storage.buckets.get* -storage.buckets.setIamPolicy -storage.buckets.update "
)
"""Basic roles reach into buckets only by the buckets' own policies:
https://cloud.google.com/storage/docs/access-control/iam-roles#basic-roles"""
_STORED = (PROJECT, BUCKET)
_ON_ACCOUNTS = (PROJECT, ACCOUNT)

PREDEFINED: Mapping[str, PredefinedRole] = MappingProxyType(
    {
        # Basic roles
        "roles/owner": _role("Owner", "*", _IMPERSONATION, _IN_BUCKETS),
        "roles/editor": _role("Editor", "*", _IMPERSONATION, _IN_BUCKETS, _KEEPERS),
        "roles/viewer": _role(
            "Viewer",
            "*.get* *.list* compute.disks.useReadOnly compute.images.useReadOnly "
            "compute.instanceTemplates.useReadOnly",
            _IMPERSONATION,
            _IN_BUCKETS,
        ),
        "roles/browser": _role("Browser", _SEEN, "resourcemanager.*.getIamPolicy"),
        # Compute Engine
        "roles/compute.admin": _role("Compute Admin", "compute.*", _SEEN + _QUOTAS),
        "roles/compute.viewer": _role(
            "Compute Viewer", "compute.*.get* compute.*.list*", _SEEN + _QUOTAS
        ),
        "roles/compute.instanceAdmin": _role(
            "Compute Instance Admin (beta)",
            "compute.instances.* compute.instanceTemplates.* compute.disks.* "
            "-compute.disks.*Policies -compute.disks.*IamPolicy",
            "compute.images.get compute.images.getFromFamily compute.images.list "
            "compute.images.useReadOnly compute.addresses.* -compute.addresses.create "
            "-compute.addresses.delete -compute.addresses.setLabels compute.networks.get "
            "compute.networks.list compute.networks.use* compute.subnetworks.get "
            "compute.subnetworks.list compute.subnetworks.use* compute.*Types.*",
            _PLACES + _SEEN + _QUOTAS,
        ),
        "roles/compute.instanceAdmin.v1": _role(
            "Compute Instance Admin (v1)",
            "compute.instances.* compute.instanceTemplates.* compute.disks.* compute.images.* "
            "compute.snapshots.* compute.routes.get compute.routes.list",
            "compute.addresses.* -compute.addresses.create -compute.addresses.delete "
            "-compute.addresses.setLabels compute.firewalls.get compute.firewalls.list "
            "compute.networks.get compute.networks.list compute.networks.use* "
            "compute.subnetworks.get compute.subnetworks.list compute.subnetworks.use* "
            "compute.*Types.* compute.projects.setCommonInstanceMetadata",
            _PLACES + _SEEN + _QUOTAS,
        ),
        "roles/compute.networkAdmin": _role(
            "Compute Network Admin",
            "compute.addresses.* compute.networks.* compute.subnetworks.* compute.routes.* "
            "compute.firewalls.get "
            "compute.firewalls.list compute.instances.get compute.instances.getGuestAttributes "
            "compute.instances.getScreenshot compute.instances.getSerialPortOutput "
            "compute.instances.list* compute.instances.use* compute.machineTypes.*",
            _PLACES + _SEEN + _QUOTAS,
        ),
        "roles/compute.securityAdmin": _role(
            "Compute Security Admin",
            "compute.firewalls.* compute.instances.getEffectiveFirewalls compute.instances.list "
            "compute.instances.setShieldedInstanceIntegrityPolicy "
            "compute.instances.updateShieldedInstanceConfig compute.networks.get* "
            "compute.networks.list compute.networks.updatePolicy compute.routes.get "
            "compute.routes.list compute.subnetworks.get compute.subnetworks.list",
            _PLACES + _SEEN + _QUOTAS,
        ),
        "roles/compute.storageAdmin": _role(
            "Compute Storage Admin",
            "compute.diskTypes.* compute.disks.* compute.images.* compute.snapshots.*",
            _PLACES + _SEEN + _QUOTAS,
        ),
        "roles/compute.imageUser": _role(
            "Compute Image User",
            "compute.images.get compute.images.getFromFamily compute.images.list "
            "compute.images.useReadOnly",
            _SEEN + _QUOTAS,
        ),
        "roles/compute.networkUser": _role(
            "Compute Network User",
            "compute.addresses.*Internal compute.addresses.get compute.addresses.list "
            "compute.firewalls.get compute.firewalls.list compute.networks.access "
            "compute.networks.get* compute.networks.list* compute.networks.use* "
            "compute.projects.get compute.regions.* compute.routes.get compute.routes.list "
            "compute.subnetworks.get "
            "compute.subnetworks.list compute.subnetworks.use* compute.zones.*",
            _SEEN + _QUOTAS,
        ),
        "roles/compute.osLogin": _role(
            "Compute OS Login",
            "compute.instances.get compute.instances.list compute.instances.osLogin",
            "compute.projects.get",
            _SEEN + _QUOTAS,
        ),
        "roles/compute.osAdminLogin": _role(
            "Compute OS Admin Login",
            "compute.instances.get compute.instances.list compute.instances.os*Login",
            "compute.projects.get",
            _SEEN + _QUOTAS,
        ),
        # Identity
        "roles/iam.securityAdmin": _role(
            "Security Admin",
            "*.list *.getIamPolicy *.setIamPolicy iam.roles.get iam.serviceAccounts.get",
        ),
        "roles/iam.securityReviewer": _role(
            "Security Reviewer", "*.list *.getIamPolicy iam.roles.get iam.serviceAccounts.get"
        ),
        "roles/iam.roleAdmin": _role(
            "Role Administrator",
            "iam.roles.* resourcemanager.projects.get resourcemanager.projects.getIamPolicy",
        ),
        "roles/iam.roleViewer": _role(
            "Role Viewer",
            "iam.roles.get iam.roles.list resourcemanager.projects.get "
            "resourcemanager.projects.getIamPolicy",
        ),
        "roles/iam.serviceAccountUser": _role(
            "Service Account User", "iam.serviceAccounts.actAs", _ACCOUNTS_SEEN, on=_ON_ACCOUNTS
        ),
        "roles/iam.serviceAccountAdmin": _role(
            "Service Account Admin",
            "iam.serviceAccounts.*",
            _IMPERSONATION,
            "-iam.serviceAccounts.actAs",
            _SEEN,
            on=_ON_ACCOUNTS,
        ),
        "roles/iam.serviceAccountCreator": _role(
            "Create Service Accounts", "iam.serviceAccounts.create", _ACCOUNTS_SEEN
        ),
        "roles/iam.serviceAccountDeleter": _role(
            "Delete Service Accounts", "iam.serviceAccounts.delete", _ACCOUNTS_SEEN
        ),
        "roles/iam.serviceAccountViewer": _role(
            "View Service Accounts",
            "iam.serviceAccountKeys.get iam.serviceAccountKeys.list "
            "iam.serviceAccounts.getIamPolicy",
            _ACCOUNTS_SEEN,
            on=_ON_ACCOUNTS,
        ),
        "roles/iam.serviceAccountKeyAdmin": _role(
            "Service Account Key Admin", "iam.serviceAccountKeys.*", _ACCOUNTS_SEEN, on=_ON_ACCOUNTS
        ),
        "roles/iam.serviceAccountTokenCreator": _role(
            "Service Account Token Creator",
            "iam.serviceAccounts.get*Token iam.serviceAccounts.implicitDelegation "
            "iam.serviceAccounts.sign*",
            _ACCOUNTS_SEEN,
            on=_ON_ACCOUNTS,
        ),
        # Cloud Storage
        "roles/storage.admin": _role(
            "Storage Admin", "storage.* -storage.hmacKeys.*", _SEEN, on=_STORED
        ),
        "roles/storage.bucketViewer": _role(
            "Storage Bucket Viewer", "storage.buckets.get storage.buckets.list", on=_STORED
        ),
        "roles/storage.objectViewer": _role(
            "Storage Object Viewer",
            "storage.objects.get storage.objects.list storage.managedFolders.get "
            "storage.managedFolders.list",
            _SEEN,
            on=_STORED,
        ),
        "roles/storage.objectUser": _role(
            "Storage Object User",
            "storage.objects.* -storage.objects.*IamPolicy -storage.objects.*etention",
            _FOLDERS + _UPLOADS + _SEEN,
            on=_STORED,
        ),
        "roles/storage.objectAdmin": _role(
            "Storage Object Admin", "storage.objects.*", _FOLDERS + _UPLOADS + _SEEN, on=_STORED
        ),
        "roles/storage.objectCreator": _role(
            "Storage Object Creator",
            "storage.objects.create storage.managedFolders.create",
            _UPLOADS + "-storage.multipartUploads.list",
            _SEEN,
            on=_STORED,
        ),
        "roles/storage.legacyBucketOwner": _role(
            "Storage Legacy Bucket Owner",
            "storage.buckets.* -storage.buckets.create -storage.buckets.delete "
            "-storage.buckets.list storage.objects.create storage.objects.delete "
            "storage.objects.list storage.objects.restore storage.objects.setRetention "
            "storage.managedFolders.*",
            _UPLOADS,
            on=(BUCKET,),
        ),
        "roles/storage.legacyBucketReader": _role(
            "Storage Legacy Bucket Reader",
            "storage.buckets.get storage.multipartUploads.list storage.objects.list "
            "storage.managedFolders.get storage.managedFolders.list",
            on=(BUCKET,),
        ),
        "roles/storage.legacyBucketWriter": _role(
            "Storage Legacy Bucket Writer",
            "storage.buckets.get storage.objects.create storage.objects.delete "
            "storage.objects.list storage.objects.restore storage.objects.setRetention",
            _FOLDERS + _UPLOADS,
            on=(BUCKET,),
        ),
        "roles/storage.legacyObjectOwner": _role(
            "Storage Legacy Object Owner",
            "storage.objects.get* storage.objects.setIamPolicy storage.objects.*etention "
            "storage.objects.update",
            on=(BUCKET,),
        ),
        "roles/storage.legacyObjectReader": _role(
            "Storage Legacy Object Reader", "storage.objects.get", on=(BUCKET,)
        ),
        # Bound by everybody; none of their permissions is one that the sandbox knows
        "roles/logging.logWriter": _role("Logs Writer"),
        "roles/monitoring.metricWriter": _role("Monitoring Metric Writer"),
        # Projects and their services
        "roles/serviceusage.serviceUsageAdmin": _role("Service Usage Admin", "serviceusage.*"),
        "roles/serviceusage.serviceUsageConsumer": _role(
            "Service Usage Consumer",
            _QUOTAS,
            "serviceusage.operations.get serviceusage.services.use",
        ),
        "roles/serviceusage.serviceUsageViewer": _role(
            "Service Usage Viewer", _QUOTAS, "serviceusage.operations.get"
        ),
        "roles/resourcemanager.projectIamAdmin": _role(
            "Project IAM Admin", "resourcemanager.projects.get resourcemanager.projects.*IamPolicy"
        ),
    }
)
