# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of objects: copy and rewrite. No byte passes through the client.

https://cloud.google.com/storage/docs/json_api/v1/objects/rewrite
"""

from __future__ import annotations

import asyncio

from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.storage import preconditions, rewrites, versions
from cloudspill_sandbox.storage.buckets import found
from cloudspill_sandbox.storage.cloud import StorageCloud
from cloudspill_sandbox.storage.object_access import OBJECT_ACL, first_list
from cloudspill_sandbox.storage.objects import (
    CONTENT,
    SETTABLE,
    check_encryption,
    checked_settings,
    found_object,
    is_full,
    media_type,
    resource,
)
from cloudspill_sandbox.storage.versions import Destination

_PREDEFINED = "destinationPredefinedAcl"
_NOT_COPIED = frozenset({"storageClass", "temporaryHold", "eventBasedHold"})
_BYTES = ("size", "md5Hash", "crc32c", "componentCount")


async def copy(cloud: StorageCloud, call: Call) -> Document:
    """Copy an object, with other metadata if any are given."""
    source, target = _source(cloud, call), _target(cloud, call)
    version = await _copied(cloud, call, source, target)
    bucket = found(cloud.store, version["bucket"])
    return resource(call, version, bucket, full=is_full(call, call.body))


async def rewrite(cloud: StorageCloud, call: Call) -> Document:
    """Copy an object in one call, or in several where its bytes have to move."""
    source, target = _source(cloud, call), _target(cloud, call)
    settings = _settings(cloud, call, source)
    size = int(source["size"])
    progress = rewrites.advance(cloud, call, source, target, settings["storageClass"])
    answer: Document = {"kind": "storage#rewriteResponse", "objectSize": str(size)}
    if progress.token is not None:
        rewritten = {"totalBytesRewritten": str(progress.done), "rewriteToken": progress.token}
        return answer | {"done": False} | rewritten
    version = await _copied(cloud, call, source, target)
    bucket = found(cloud.store, version["bucket"])
    return answer | {
        "done": True,
        "totalBytesRewritten": str(size),
        "resource": resource(call, version, bucket, full=is_full(call, call.body)),
    }


async def _copied(
    cloud: StorageCloud, call: Call, source: Document, target: Destination
) -> Document:
    """Write a new version with the bytes of another; return it. Raises as `versions.write`."""
    settings = _settings(cloud, call, source)
    content = cloud.blobs.copy(source[CONTENT])
    fields = {key: source[key] for key in _BYTES if key in source} | {CONTENT: content}
    try:
        await asyncio.to_thread(cloud.blobs.sync, content)
        version = versions.new_version(cloud, target, settings, fields)
        with cloud.store.transaction() as tx:
            removed = versions.write(cloud, tx, target, version)
            if token := call.query.get("rewriteToken"):
                rewrites.finish(tx, token)
    except BaseException:
        cloud.blobs.remove(content)
        raise
    cloud.blobs.remove(*removed)
    return version


def _source(cloud: StorageCloud, call: Call) -> Document:
    """Return the version that is copied. Raises ApiError 404, 412 or 501."""
    check_encryption(call)
    bucket, name = call.path["sourceBucket"], call.path["sourceObject"]
    source = found_object(cloud.store, bucket, name, call.query.get("sourceGeneration"))
    preconditions.check(preconditions.given_in(call.query, "Source"), source)
    return source


def _target(cloud: StorageCloud, call: Call) -> Destination:
    """Return where the copy is to be. Raises as `versions.destination`."""
    place = call.path["destinationBucket"], call.path["destinationObject"]
    return versions.destination(cloud, call, *place)


def _settings(cloud: StorageCloud, call: Call, source: Document) -> Document:
    """Return the settings of a copy: those of the body if it gives any, else the source's."""
    bucket = found(cloud.store, call.path["destinationBucket"])
    given = {key: value for key, value in call.body.items() if key in SETTABLE}
    kept = {key: source[key] for key in SETTABLE if key in source and key not in _NOT_COPIED}
    if given.keys() <= {"storageClass"}:
        given = kept | given
    settings = {"contentType": media_type(source)} | checked_settings(given, bucket)
    return settings | {OBJECT_ACL: first_list(call, bucket, cloud.project, _PREDEFINED)}
