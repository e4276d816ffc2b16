# SPDX-License-Identifier: GPL-3.0-or-later
"""Features of disks that are kept and mean nothing here, and those that are refused.

https://cloud.google.com/compute/docs/reference/rest/v1/disks
"""

from __future__ import annotations

from cloudspill_sandbox.compute import documents, refusals
from cloudspill_sandbox.engine.call import Document

_UNSUPPORTED = (
    "asyncPrimaryDisk",
    "diskEncryptionKey",
    "enableConfidentialCompute",
    "options",
    "params",
    "replicaZones",
    "resourceManagerTags",
    "resourcePolicies",
    "sourceImageEncryptionKey",
    "sourceInstantSnapshot",
    "sourceMachineImage",
    "sourceMachineImageDiskDeviceName",
    "sourceMachineImageEncryptionKey",
    "sourceSnapshotEncryptionKey",
    "sourceStorageObject",
    "storagePool",
)
_ONLY = {
    "accessMode": "READ_WRITE_SINGLE",
    "architecture": "X86_64",
    "onUpdateAction": "USE_EXISTING_DISK",
}
"""What a disk here is, whatever it may be on Google Cloud."""

_KEPT = (
    "accessMode",
    "architecture",
    "description",
    "licenseCodes",
    "licenses",
    "locationHint",
    "provisionedIops",
    "provisionedThroughput",
)


def checked(field: str, body: Document) -> Document:
    """Return what is only kept of a Disk or of an instance's AttachedDiskInitializeParams.

    Args:
        field: its name in the request, for the refusal.

    Raises:
        ApiError: 400 that names what the sandbox does not have.
    """
    refusals.check_supported(field, body, *_UNSUPPORTED)
    for key, only in _ONLY.items():
        refusals.check_one_of(field, body, key, only)
    return documents.given(body, *_KEPT)


def of_guest(body: Document, origin: Document) -> Document:
    """Return `guestOsFeatures` as asked for beside those of what a disk or image is made of.

    https://cloud.google.com/compute/docs/images/create-custom#guest-os-features
    """
    features = [*origin.get("guestOsFeatures", ())]
    features += [each for each in body.get("guestOsFeatures") or () if each not in features]
    return {"guestOsFeatures": features} if features else {}
