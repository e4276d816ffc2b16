# SPDX-License-Identifier: GPL-3.0-or-later
"""Uploads within one request: media as it comes, or metadata and media together.

https://cloud.google.com/storage/docs/json_api/v1/objects/insert
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from cloudspill_sandbox.engine.call import Call, Document, Media, Reply
from cloudspill_sandbox.engine.errors import invalid_parameter, required_parameter
from cloudspill_sandbox.storage import checksums, versions
from cloudspill_sandbox.storage.buckets import found
from cloudspill_sandbox.storage.checksums import BLOCK, Digest
from cloudspill_sandbox.storage.cloud import StorageCloud
from cloudspill_sandbox.storage.object_access import OBJECT_ACL, first_list
from cloudspill_sandbox.storage.objects import (
    CONTENT,
    DEFAULT_TYPE,
    check_encryption,
    checked_settings,
    is_full,
    resource,
)
from cloudspill_sandbox.storage.size_ranges import SizeRange, size_range
from cloudspill_sandbox.storage.versions import Destination


async def insert(cloud: StorageCloud, call: Call) -> Document | Reply:
    """Write an object whose bytes come with the call."""
    if call.media is None:
        raise required_parameter("uploadType")  # an object has bytes: they come by an upload path
    target, settings = asked_object(cloud, call)
    content = cloud.blobs.create()
    try:
        sizes = size_range(call.wire.headers)
        digest = await receive(cloud, call.media, content, sizes)
        sizes.check(digest.size)
        given = checksums.expected(call.wire.headers, call.body)
        version = await finished(cloud, target, settings, content, digest, given)
        with cloud.store.transaction() as tx:
            removed = versions.write(cloud, tx, target, version)
    except BaseException:
        cloud.blobs.remove(content)
        raise
    cloud.blobs.remove(*removed)
    bucket = found(cloud.store, call.path["bucket"])
    return resource(call, version, bucket, full=is_full(call, call.body))


def asked_object(cloud: StorageCloud, call: Call) -> tuple[Destination, Document]:
    """Return place and settings of the object that an upload asks for.

    Preconditions are looked at before the bytes come, and again when they are there.

    Raises:
        ApiError: 400, 404, 412 or 501: nothing is made.
    """
    check_encryption(call)
    bucket = found(cloud.store, call.path["bucket"])
    target = versions.destination(cloud, call, bucket["name"], _agreed_name(call))
    asked = {"contentType": _media_type(call) or DEFAULT_TYPE, **call.body}
    if encoding := call.query.get("contentEncoding"):
        asked["contentEncoding"] = encoding
    settings = checked_settings(asked, bucket)
    return target, settings | {OBJECT_ACL: first_list(call, bucket, cloud.project)}


async def receive(cloud: StorageCloud, media: Media, content: str, sizes: SizeRange) -> Digest:
    """Write media to the end of a content; return the checksums of what came.

    Raises:
        ApiError: 400, it is more than may come.
    """
    digest = Digest()
    with cloud.blobs.append(content) as file:

        def take(block: bytes) -> None:
            file.write(block)
            digest.update(block)

        async for block in blocks(media):
            sizes.check_so_far(digest.size + len(block))
            await asyncio.to_thread(take, block)
    return digest


async def blocks(media: Media) -> AsyncIterator[bytes]:
    """Yield media in blocks: few enough to be worth a thread, small enough for many clients."""
    held = bytearray()
    async for chunk in media.chunks:
        held += chunk
        if len(held) >= BLOCK:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


async def finished(
    cloud: StorageCloud,
    target: Destination,
    settings: Document,
    content: str,
    digest: Digest,
    given: dict[str, str],
) -> Document:
    """Return the version of bytes that are complete, and make those durable.

    Args:
        given: the checksums that the client gave.

    Raises:
        ApiError: 400, the checksums differ.
    """
    fields = digest.fields()
    checksums.check(given, fields)
    await asyncio.to_thread(cloud.blobs.keep, content)
    return versions.new_version(cloud, target, settings, fields | {CONTENT: content})


def _agreed_name(call: Call) -> str | None:
    in_query, in_body = call.query.get("name"), call.body.get("name")
    if in_query and in_body and in_query != in_body:
        raise invalid_parameter(
            "name",
            f"Value '{in_body}' in content does not agree with value '{in_query}'. This can happen "
            "when a value set through a parameter is inconsistent with a value set in the request.",
            logged="The name in content does not agree with the parameter.",
        )
    return in_query or in_body


def _media_type(call: Call) -> str | None:
    if call.media is not None:
        return call.media.content_type
    return call.wire.headers.get("X-Upload-Content-Type")
