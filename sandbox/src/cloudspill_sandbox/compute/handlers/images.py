# SPDX-License-Identifier: GPL-3.0-or-later
"""Images and their families. https://cloud.google.com/compute/docs/reference/rest/v1/images."""

from __future__ import annotations

from cloudspill_sandbox.compute import (
    copies,
    disk_features,
    disks,
    documents,
    names,
    operation_warnings,
    refusals,
    sources,
)
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.handlers import Methods, deleting, labels
from cloudspill_sandbox.compute.listing import page
from cloudspill_sandbox.compute.lookup import found, worldwide
from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.errors import already_exists
from cloudspill_sandbox.engine.store import Transaction

_SOURCES = ("sourceDisk", "sourceImage", "sourceSnapshot")
_UNSUPPORTED = (
    "imageEncryptionKey",
    "params",
    "rawDisk",
    "shieldedInstanceInitialState",
    "sourceDiskEncryptionKey",
    "sourceImageEncryptionKey",
    "sourceSnapshotEncryptionKey",
)
_CHANGEABLE = ("deprecated", "description", "family")
_OUTPUT = frozenset(
    {
        "archiveSizeBytes",
        "creationTimestamp",
        "id",
        "kind",
        "labelFingerprint",
        "selfLink",
        "status",
    }
)
"""What a client may send back as it once read it."""


async def _get(cloud: Cloud, call: Call) -> Document:
    name = worldwide(call, "images", "image")
    return sources.PUBLIC_DOCUMENTS.get(name) or found(cloud.store, name)


async def _get_from_family(cloud: Cloud, call: Call) -> Document:
    project = f"projects/{call.path['project']}"
    return sources.newest_of_family(cloud.store, project, call.path["family"])


async def _get_family_view(cloud: Cloud, call: Call) -> Document:
    return {"image": await _get_from_family(cloud, call)}


async def _list(cloud: Cloud, call: Call) -> Document:
    images = sources.images_of(cloud.store, f"projects/{call.path['project']}")
    return page(call, "image", worldwide(call, "images"), images)


async def _insert(cloud: Cloud, call: Call) -> Document:
    key = names.check_name("resource.name", call.body.get("name"))
    refusals.check_supported("resource", call.body, *_UNSUPPORTED)
    refusals.check_one_of("resource", call.body, "architecture", "X86_64")
    name = f"{worldwide(call, 'images')}/{key}"
    with cloud.transaction() as tx:
        if tx.get(name):
            raise already_exists(name)
        origin = _origin(cloud, tx, call)
        document = _document(cloud, name, call.body, origin)
        tx.put(name, document)
        warnings = list(operation_warnings.of_image(origin))
        operation = cloud.operations.open(tx, call, "insert", name, warnings=warnings)
    return await copies.perform(
        cloud,
        operation,
        name,
        origin,
        steps=("images.insert.freeze", "images.insert.copy"),
        uploading="PENDING",
    )


def _origin(cloud: Cloud, tx: Transaction, call: Call) -> Document:
    given = [key for key in _SOURCES if call.body.get(key)]
    if len(given) != 1:
        raise refusals.invalid_usage("Must specify exactly one source for an image")
    key, reference = given[0], call.body[given[0]]
    field = f"resource.{key}"
    if key == "sourceImage":
        return sources.image(cloud, tx, field, reference)
    if key == "sourceSnapshot":
        return sources.snapshot(cloud, tx, field, reference)
    disk = sources.disk(cloud, tx, field, reference, None)
    users = [] if call.query.get("forceCreate") else _running_users(cloud, disk)
    if users:
        raise refusals.in_use("disk", names.relative(disk["selfLink"]), users[0])
    return disk


def _running_users(cloud: Cloud, disk: Document) -> list[str]:
    users = map(names.relative, disk.get("users", ()))
    return [user for user in users if (cloud.store.get(user) or {}).get("status") != "TERMINATED"]


def _document(cloud: Cloud, name: str, body: Document, origin: Document) -> Document:
    kind = origin["kind"].removeprefix("compute#")
    source = f"source{kind.capitalize()}"
    size = disks.checked_size("resource.diskSizeGb", body.get("diskSizeGb"), origin)
    document = (
        documents.resource("image", name, cloud.clock())
        | {
            "sourceType": "RAW",
            "status": "PENDING",
            "diskSizeGb": str(size),
            "archiveSizeBytes": "0",
            "architecture": "X86_64",
            "storageLocations": copies.storage_locations("resource.storageLocations", body, origin),
            source: origin["selfLink"],
            f"{source}Id": origin["id"],
        }
        | documents.given(origin, "licenses", "architecture")
        | documents.given(body, "description", "family", "licenseCodes", "licenses")
        | disk_features.of_guest(body, origin)
    )
    if "family" in document:
        names.check_name("resource.family", document["family"])
    checked = names.check_labels("resource.labels", body.get("labels"))
    return documents.labelled(document, checked)


async def _deprecate(cloud: Cloud, call: Call) -> Document:
    """https://cloud.google.com/compute/docs/images/image-management-best-practices#deprecating."""
    return await _change(cloud, call, "deprecate", {"deprecated": dict(call.body)})


async def _patch(cloud: Cloud, call: Call) -> Document:
    """Change family, description and deprecation; the reference says that nothing else can be."""
    fields = {key: call.body[key] for key in _CHANGEABLE if key in call.body}
    if family := fields.get("family"):
        names.check_name("resource.family", family)
    held = found(cloud.store, worldwide(call, "images", "image"))
    fixed = sorted(call.body.keys() - _CHANGEABLE - _OUTPUT)
    documents.check_same("resource", call.body, held, *fixed)
    return await _change(cloud, call, "patch", fields)


async def _change(cloud: Cloud, call: Call, kind: str, fields: Document) -> Document:
    """Replace fields of an image; what is set to nothing goes, and so does the state ACTIVE."""
    name = worldwide(call, "images", "image")
    if "deprecated" in fields:
        fields = fields | {"deprecated": _deprecation(cloud, fields["deprecated"] or {})}
    with cloud.transaction() as tx:
        image = found(tx, name) | fields
        tx.put(name, {key: value for key, value in image.items() if value is not None})
        operation = cloud.operations.open(tx, call, kind, name)
        cloud.operations.close(tx, operation)
    return found(cloud.store, operation)


def _deprecation(cloud: Cloud, status: Document) -> Document | None:
    """Return a DeprecationStatus with a link to the replacement; None for an ACTIVE image."""
    if (status.get("state") or "ACTIVE") == "ACTIVE":
        return None
    if replacement := status.get("replacement"):
        images = f"{cloud.project}/global/images"
        name = names.resolve("resource.replacement", replacement, images)
        status = status | {"replacement": names.link(name)}
    return status


METHODS: Methods = {
    "delete": deleting.method(worldwide, "image", "images", "images.delete.volume"),
    "deprecate": _deprecate,
    "get": _get,
    "getFromFamily": _get_from_family,
    "insert": _insert,
    "list": _list,
    "patch": _patch,
    "setLabels": labels.set_labels(worldwide, "images"),
}
FAMILY_VIEW_METHODS: Methods = {"get": _get_family_view}
