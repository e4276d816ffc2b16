# SPDX-License-Identifier: GPL-3.0-or-later
"""Images and their families. https://cloud.google.com/compute/docs/reference/rest/v1/images."""

from __future__ import annotations

from cloudspill_sandbox.compute import disks, documents, labels, names, refusals, sources
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.handlers import Methods, deleting
from cloudspill_sandbox.compute.listing import page
from cloudspill_sandbox.compute.lookup import found, worldwide
from cloudspill_sandbox.compute.operations import Step, Work
from cloudspill_sandbox.compute.volumes import volume_of
from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.errors import already_exists
from cloudspill_sandbox.engine.store import Transaction

_SOURCES = ("sourceDisk", "sourceImage", "sourceSnapshot")


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
    name = f"{worldwide(call, 'images')}/{key}"
    with cloud.transaction() as tx:
        if tx.get(name):
            raise already_exists(name)
        origin = _origin(cloud, tx, call)
        document = _document(cloud, name, call.body, origin)
        tx.put(name, document)
        operation = cloud.operations.open(tx, call, "insert", name)
    volume = volume_of(document)

    async def copy() -> None:
        await cloud.runtime.freeze_volume(volume, volume_of(origin))

    async def discard() -> None:
        await cloud.runtime.delete_volume(volume)

    return await cloud.operations.perform(
        operation,
        Work(
            (Step("images.insert.copy", copy, discard),),
            done=lambda tx: disks.write_status(tx, name, "READY"),
            failed=lambda tx: tx.delete(name),
        ),
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
    size = origin.get("diskSizeGb") or origin["sizeGb"]
    document = (
        documents.resource("image", name, cloud.clock())
        | {
            "sourceType": "RAW",
            "status": "PENDING",
            "diskSizeGb": size,
            "archiveSizeBytes": "0",
            "architecture": "X86_64",
            "storageLocations": ["us"],
            source: origin["selfLink"],
            f"{source}Id": origin["id"],
        }
        | documents.given(origin, "licenses", "guestOsFeatures", "architecture")
        | documents.given(
            body, "description", "family", "guestOsFeatures", "storageLocations", "licenses"
        )
    )
    if "family" in document:
        names.check_name("resource.family", document["family"])
    checked = names.check_labels("resource.labels", body.get("labels"))
    return documents.labelled(document, checked)


async def _delete(cloud: Cloud, call: Call) -> Document:
    name = worldwide(call, "images", "image")
    return await deleting.delete(cloud, call, name, "images.delete.volume")


async def _deprecate(cloud: Cloud, call: Call) -> Document:
    name = worldwide(call, "images", "image")
    with cloud.transaction() as tx:
        image = {key: value for key, value in found(tx, name).items() if key != "deprecated"}
        state = call.body.get("state") or "ACTIVE"
        tx.put(name, image if state == "ACTIVE" else image | {"deprecated": dict(call.body)})
        operation = cloud.operations.open(tx, call, "deprecate", name)
        cloud.operations.close(tx, operation)
    return found(cloud.store, operation)


async def _set_labels(cloud: Cloud, call: Call) -> Document:
    return await labels.replace(cloud, call, worldwide(call, "images", "resource"))


METHODS: Methods = {
    "delete": _delete,
    "deprecate": _deprecate,
    "get": _get,
    "getFromFamily": _get_from_family,
    "insert": _insert,
    "list": _list,
    "setLabels": _set_labels,
}
FAMILY_VIEW_METHODS: Methods = {"get": _get_family_view}
