# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects: get, list, change, delete. https://cloud.google.com/storage/docs/json_api/v1/objects."""

from __future__ import annotations

from cloudspill_sandbox.engine.call import Call, Document, Reply
from cloudspill_sandbox.storage import (
    composing,
    copying,
    downloads,
    object_changes,
    object_listing,
    preconditions,
    receiving,
    resumable,
    versions,
)
from cloudspill_sandbox.storage.buckets import found
from cloudspill_sandbox.storage.cloud import Methods, StorageCloud
from cloudspill_sandbox.storage.objects import (
    CONTENT,
    check_encryption,
    etag,
    found_object,
    is_full,
    is_live,
    place_of,
    resource,
)
from cloudspill_sandbox.storage.refusals import unsupported


async def _insert(cloud: StorageCloud, call: Call) -> Document | Reply:
    if resumable.UPLOAD_ID in call.query:
        return await resumable.go_on(cloud, call)
    if call.query.get("uploadType") == "resumable":
        return await resumable.begin(cloud, call)
    return await receiving.insert(cloud, call)


async def _get(cloud: StorageCloud, call: Call) -> Document | Reply:
    check_encryption(call)
    if call.query.get("softDeleted"):
        raise unsupported("Soft delete")
    downloading = call.query.get("alt") == "media"
    version = found_object(
        cloud.store,
        call.path["bucket"],
        call.path["object"],
        call.query.get("generation"),
        downloading=downloading,
    )
    preconditions.check(preconditions.given_in(call.query), version, reading=True)
    preconditions.check_entity_tags(call, etag(version))
    if downloading:
        return downloads.media(cloud, call, version)
    bucket = found(cloud.store, call.path["bucket"])
    return resource(call, version, bucket, full=is_full(call))


async def _delete(cloud: StorageCloud, call: Call) -> Reply:
    with cloud.store.transaction() as tx:
        generation = call.query.get("generation")
        version = found_object(tx, call.path["bucket"], call.path["object"], generation)
        preconditions.check(preconditions.given_in(call.query), version)
        bucket = found(tx, call.path["bucket"])
        if generation is None:
            removed = versions.retire(cloud, tx, bucket, version)
        else:
            versions.check_not_kept(cloud, bucket, version)
            tx.delete(place_of(version, live=is_live(tx, version)))
            removed = [version[CONTENT]]
    cloud.blobs.remove(*removed)
    return Reply(204, b"")


METHODS: Methods = {
    "compose": composing.compose,
    "copy": copying.copy,
    "delete": _delete,
    "get": _get,
    "insert": _insert,
    "list": object_listing.list_objects,
    "patch": object_changes.patch,
    "rewrite": copying.rewrite,
    "update": object_changes.update,
}
