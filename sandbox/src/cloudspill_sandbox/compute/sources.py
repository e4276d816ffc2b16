# SPDX-License-Identifier: GPL-3.0-or-later
"""What disks, snapshots and images are made of: finding an image, snapshot or disk by reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import documents, names, refusals
from cloudspill_sandbox.compute.catalogue.public_images import PUBLIC_IMAGES, PublicImage
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.errors import not_found
from cloudspill_sandbox.engine.store import Store, Transaction

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud

_PUBLIC_SINCE = "2025-06-10T00:00:00.000-07:00"
_UNUSABLE = {"OBSOLETE", "DELETED"}
_GUEST_FEATURES = ("VIRTIO_SCSI_MULTIQUEUE", "UEFI_COMPATIBLE", "GVNIC")


def _public(name: str, image: PublicImage) -> Document:
    return {
        "kind": "compute#image",
        "id": image.id,
        "creationTimestamp": _PUBLIC_SINCE,
        "name": image.name,
        "description": image.description,
        "family": image.family,
        "sourceType": "RAW",
        "status": "READY",
        "archiveSizeBytes": "1073741824",
        "diskSizeGb": str(image.disk_gb),
        "licenses": [names.link(f"projects/{image.project}/global/licenses/{image.license}")],
        "guestOsFeatures": [{"type": feature} for feature in _GUEST_FEATURES],
        "architecture": "X86_64",
        "storageLocations": ["us"],
        "labelFingerprint": documents.fingerprint({}),
        "selfLink": names.link(name),
    }


PUBLIC_DOCUMENTS: Mapping[str, Document] = MappingProxyType(
    {name: _public(name, image) for name, image in PUBLIC_IMAGES.items()}
)
"""Public images as resources, by relative name."""


def images_of(store: Store, project: str) -> Iterator[Document]:
    """Yield the images of a project (`projects/p`), public ones included."""
    prefix = f"{project}/global/images/"
    yield from (each for name, each in PUBLIC_DOCUMENTS.items() if name.startswith(prefix))
    yield from store.children(f"{project}/global/images").values()


def newest_of_family(store: Store, project: str, family: str) -> Document:
    """Return a family's newest image that is not deprecated.

    https://cloud.google.com/compute/docs/images/image-families-best-practices.

    Raises:
        ApiError: 404 when the family has none.
    """
    candidates = [
        image
        for image in images_of(store, project)
        if image.get("family") == family and image["status"] == "READY" and not deprecated(image)
    ]
    if not candidates:
        raise not_found(f"{project}/global/images/family/{family}")
    return max(candidates, key=lambda image: documents.seconds(image["creationTimestamp"]))


def deprecated(image: Document) -> bool:
    """Whether an image is DEPRECATED, OBSOLETE or DELETED."""
    return bool(image.get("deprecated", {}).get("state", "ACTIVE") != "ACTIVE")


def image(cloud: Cloud, tx: Store | Transaction, field: str, reference: str) -> Document:
    """Return the image that a reference means: by name, by family, or by a family's zonal view.

    https://cloud.google.com/compute/docs/images/image-families-best-practices.

    Raises:
        ApiError: 400 or 404 when there is none; 400 when it is not ready, or obsolete.
    """
    view = "/imageFamilyViews/" in reference
    collection = "zones/-/imageFamilyViews" if view else "global/images"
    name = names.resolve(field, reference, f"{cloud.project}/{collection}")
    if view or "/family/" in name:
        project = "/".join(name.split("/")[:2])
        return newest_of_family(cloud.store, project, names.last(name))
    found = PUBLIC_DOCUMENTS.get(name) or tx.get(name)
    ready = _ready(found, field, reference, "image", name)
    if ready.get("deprecated", {}).get("state") in _UNUSABLE:
        replacement = names.relative(ready["deprecated"].get("replacement") or "")
        raise refusals.obsolete(field, reference, name, replacement)
    return ready


def snapshot(cloud: Cloud, tx: Store | Transaction, field: str, reference: str) -> Document:
    """Return the snapshot that a reference means. Raises ApiError as `image`."""
    name = names.resolve(field, reference, f"{cloud.project}/global/snapshots")
    return _ready(tx.get(name), field, reference, "snapshot", name)


def disk(
    cloud: Cloud, tx: Store | Transaction, field: str, reference: str, zone: str | None = None
) -> Document:
    """Return the disk that a reference means; a bare name is looked for in `zone`.

    Raises:
        ApiError: as `image`.
    """
    where = f"{cloud.project}/zones/{zone}/disks" if zone else f"{cloud.project}/zones/-/disks"
    name = names.resolve(field, reference, where)
    return _ready(tx.get(name), field, reference, "disk", name)


def _ready(found: Document | None, field: str, reference: str, kind: str, name: str) -> Document:
    if found is None:
        raise refusals.dangling(field, reference, kind)
    if found["status"] != "READY":
        raise refusals.not_ready(name)
    return found
