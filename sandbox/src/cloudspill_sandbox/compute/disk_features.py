# SPDX-License-Identifier: GPL-3.0-or-later
"""Features of disks that are kept and mean nothing here, and those that are refused.

https://cloud.google.com/compute/docs/reference/rest/v1/disks
"""

from __future__ import annotations

from cloudspill_sandbox.compute import documents, names, refusals
from cloudspill_sandbox.compute.catalogue.disk_types import DEFAULT, DEFAULTS, UNUSABLE
from cloudspill_sandbox.compute.catalogue.machine_types import machine_type
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.errors import ApiError

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


def default_type(size: str) -> str:
    """Return the name of the disk type that instances of a machine type, by its link, get."""
    known = machine_type(names.last(size))
    return DEFAULTS.get(known.series, DEFAULT) if known else DEFAULT


def check_machine_type(disk: Document, size: str) -> None:
    """Return when instances of a machine type, by its link, may have a disk.

    The sentence is quoted in https://github.com/rancher/harvester-cloud/issues/249.

    Raises:
        ApiError: 400.
    """
    known, kind = machine_type(names.last(size)), names.last(disk["type"])
    if known and kind in UNUSABLE.get(known.series, ()):
        sentence = f"{kind} disk type cannot be used by {known.name} machine type."
        raise ApiError(400, "badRequest", sentence)


def of_guest(body: Document, origin: Document) -> Document:
    """Return `guestOsFeatures` as asked for beside those of what a disk or image is made of.

    https://cloud.google.com/compute/docs/images/create-custom#guest-os-features
    """
    features = [*origin.get("guestOsFeatures", ())]
    features += [each for each in body.get("guestOsFeatures") or () if each not in features]
    return {"guestOsFeatures": features} if features else {}
