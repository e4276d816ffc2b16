# SPDX-License-Identifier: GPL-3.0-or-later
"""Compose: an object out of up to 32 others of its bucket, one after the other.

https://cloud.google.com/storage/docs/json_api/v1/objects/compose
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import BinaryIO

from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.store import Transaction
from cloudspill_sandbox.storage import preconditions, versions
from cloudspill_sandbox.storage.buckets import found
from cloudspill_sandbox.storage.checksums import BLOCK, Digest
from cloudspill_sandbox.storage.cloud import StorageCloud
from cloudspill_sandbox.storage.object_access import OBJECT_ACL, first_list
from cloudspill_sandbox.storage.objects import (
    CONTENT,
    check_encryption,
    checked_name,
    checked_settings,
    is_full,
    is_live,
    media_type,
    place_of,
    resource,
    version_of,
)
from cloudspill_sandbox.storage.refusals import invalid, no_such_component

_MOST = 32


async def compose(cloud: StorageCloud, call: Call) -> Document:
    """Write an object whose bytes are those of others."""
    call, request = replace(call, body=call.body.get("destination") or {}), call.body
    check_encryption(call)
    place = call.path["destinationBucket"], call.path["destinationObject"]
    target = versions.destination(cloud, call, *place)
    bucket = found(cloud.store, target.bucket)
    sources = _sources(cloud, target.bucket, request.get("sourceObjects") or [])
    settings = {
        **checked_settings(call.body, bucket),
        OBJECT_ACL: first_list(call, bucket, cloud.project, "destinationPredefinedAcl"),
    }
    settings.setdefault("contentType", media_type(sources[0]))
    content = cloud.blobs.create()
    try:
        with ExitStack() as stack:
            # All of them are open before another request has its turn: none can be removed.
            files = [stack.enter_context(cloud.blobs.open(part[CONTENT])) for part in sources]
            fields = await asyncio.to_thread(_joined, cloud, content, files)
        del fields["md5Hash"]  # a composite object has none
        fields["componentCount"] = sum(part.get("componentCount", 1) for part in sources)
        version = versions.new_version(cloud, target, settings, fields)
        with cloud.store.transaction() as tx:
            removed = versions.write(cloud, tx, target, version)
            bucket = found(tx, target.bucket)
            if request.get("deleteSourceObjects"):
                removed += _deleted(cloud, tx, bucket, sources)
    except BaseException:
        cloud.blobs.remove(content)
        raise
    cloud.blobs.remove(*removed)
    return resource(call, version, bucket, full=is_full(call, call.body))


def _sources(cloud: StorageCloud, bucket: str, asked: Sequence[Document]) -> list[Document]:
    if not asked:
        raise invalid("You must provide at least one source component.")
    if len(asked) > _MOST:
        raise invalid(
            f"The number of source components provided ({len(asked)}) exceeds the maximum ({_MOST})"
        )
    sources = []
    for one in asked:
        name, generation = checked_name(one.get("name")), one.get("generation")
        if (version := version_of(cloud.store, bucket, name, generation)) is None:
            raise no_such_component(name, generation)
        preconditions.check(preconditions.given_in(one.get("objectPreconditions") or {}), version)
        sources.append(version)
    return sources


def _joined(cloud: StorageCloud, content: str, files: Sequence[BinaryIO]) -> Document:
    """Write the bytes of all files; return size, checksums and id. Blocks for the disk."""
    digest = Digest()
    with cloud.blobs.append(content) as target:
        for file in files:
            while block := file.read(BLOCK):
                target.write(block)
                digest.update(block)
    cloud.blobs.keep(content)
    return digest.fields() | {CONTENT: content}


def _deleted(
    cloud: StorageCloud, tx: Transaction, bucket: Document, sources: Sequence[Document]
) -> list[str]:
    """Delete the versions that were read for good; return the contents that are to be removed.

    Object Versioning does not keep them ("Cost considerations" in
    https://docs.cloud.google.com/storage/docs/composing-objects). What was written under their
    names since they were read stays.

    Raises:
        ApiError: 403, a hold or the retention policy keeps one.
    """
    removed = []
    for source in sources:
        version = version_of(tx, bucket["name"], source["name"], source["generation"])
        if version is not None:
            versions.check_not_kept(cloud, bucket, version)
            tx.delete(place_of(version, live=is_live(tx, version)))
            removed.append(version[CONTENT])
    return removed
