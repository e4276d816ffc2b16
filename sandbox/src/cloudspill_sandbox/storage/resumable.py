# SPDX-License-Identifier: GPL-3.0-or-later
"""Resumable uploads: begun by one request, sent in parts, for a week, over restarts.

https://cloud.google.com/storage/docs/performing-resumable-uploads. The document of an upload holds
what the first request asked for; how far it is says the size of its content.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable
from urllib.parse import quote

from cloudspill_sandbox.engine.call import Call, Document, Media, Principal, Reply
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.store import Transaction
from cloudspill_sandbox.storage import checksums, versions
from cloudspill_sandbox.storage.buckets import Reader, found
from cloudspill_sandbox.storage.cloud import StorageCloud
from cloudspill_sandbox.storage.content_ranges import ContentRange, beyond, content_range, refused
from cloudspill_sandbox.storage.names import UPLOADS
from cloudspill_sandbox.storage.objects import CONTENT, is_full, resource
from cloudspill_sandbox.storage.receiving import asked_object, blocks, finished
from cloudspill_sandbox.storage.size_ranges import SizeRange, size_range
from cloudspill_sandbox.storage.versions import Destination

UPLOAD_ID = "upload_id"
GRANULARITY = 256 * 1024
"""Bytes: every part but the last is a multiple of it."""

LIFETIME = 7 * 86400
"""Seconds until an upload that was begun cannot go on.

https://cloud.google.com/storage/docs/resumable-uploads#session-uris
"""

_OPEN, _DONE, _CANCELLED = "open", "done", "cancelled"
_FORM = 2
"""Of an upload's document. One of another form was begun by another release, and ends with it."""


async def begin(cloud: StorageCloud, call: Call) -> Reply:
    """Open an upload; the answer's Location is where its parts are sent."""
    target, settings = asked_object(cloud, call)
    announced = re.fullmatch(
        r"\d{1,19}", call.wire.headers.get("X-Upload-Content-Length", ""), re.A
    )
    sizes = size_range(call.wire.headers)
    upload_id = secrets.token_urlsafe(48)
    upload: Document = {
        "form": _FORM,
        "state": _OPEN,
        "created": cloud.clock(),
        "writer": target.writer.email,
        "bucket": target.bucket,
        "bucketGeneration": target.bucket_generation,
        "name": target.name,
        "conditions": dict(target.conditions),
        "settings": settings,
        "checksums": checksums.expected(call.wire.headers, call.body),
        "sizes": [sizes.smallest, sizes.largest],
        "total": int(announced[0]) if announced else None,
        "full": is_full(call, call.body),
        CONTENT: cloud.blobs.create(),
    }
    cloud.store.put(f"{UPLOADS}/{upload_id}", upload)
    location = (
        f"{call.wire.origin}/upload/storage/v1/b/{upload['bucket']}/o"
        f"?uploadType=resumable&name={quote(target.name, safe='')}&{UPLOAD_ID}={upload_id}"
    )
    return Reply(200, b"", {"Location": location, "X-GUploader-UploadID": upload_id})


async def go_on(cloud: StorageCloud, call: Call) -> Document | Reply:
    """Take a part of an upload, say how far it is, or cancel it.

    Once it is done, it says what it said then, whatever became of the object: the last answer may
    not have arrived.
    """
    async with cloud.uploads.of(call.query[UPLOAD_ID]):
        upload = _found(cloud, call, cloud.store)
        if upload["state"] == _CANCELLED:
            return Reply(499, b"")
        if call.wire.http_method == "DELETE":
            return _cancel(cloud, call, upload)
        if upload["state"] == _DONE:
            return _shown(cloud, call, upload, upload["version"])
        try:
            return await _take(cloud, call, upload)
        finally:
            if cloud.store.get(_place(call)) is None:  # it failed, or was ended meanwhile
                cloud.blobs.remove(upload[CONTENT])


def sweep(cloud: StorageCloud) -> None:
    """Forget uploads whose time is over, and their bytes."""
    with cloud.store.transaction() as tx:
        removed = _ended(cloud, tx, lambda upload: _is_over(cloud, upload))
    cloud.blobs.remove(*removed)


def ended_with(cloud: StorageCloud, tx: Transaction, bucket: str) -> list[str]:
    """Forget uploads into a bucket that goes; return the contents to remove after the commit."""
    return _ended(cloud, tx, lambda upload: upload["bucket"] == bucket)


def reopen(cloud: StorageCloud) -> None:
    """Let uploads go on that were killed when their bytes were complete and not yet an object's."""
    for upload in cloud.store.children(UPLOADS).values():
        if upload["state"] == _OPEN:
            cloud.blobs.reopen(upload[CONTENT])


def _ended(cloud: StorageCloud, tx: Transaction, ends: Callable[[Document], bool]) -> list[str]:
    """Forget uploads; return the contents to remove, but those that a request is writing to.

    That finds its upload gone, is refused, and removes them itself.
    """
    removed = []
    for upload_id, upload in cloud.store.children(UPLOADS).items():
        if ends(upload):
            tx.delete(f"{UPLOADS}/{upload_id}")
            if upload["state"] == _OPEN and not cloud.uploads.is_held(upload_id):
                removed.append(upload[CONTENT])
    return removed


async def _take(cloud: StorageCloud, call: Call, upload: Document) -> Document | Reply:
    part = content_range(call.wire.headers.get("Content-Range"))
    upload = _with_total(cloud, call, upload, part)
    if call.media is not None and not part.is_status_query:
        await _append(cloud, call.media, upload[CONTENT], part)
        _found(cloud, call, cloud.store)
    received = cloud.blobs.partial_size(upload[CONTENT])
    total = received if upload["total"] is None and part.is_whole else upload["total"]
    if total is None or received < total:
        return _unfinished(cloud, call, upload, part)
    if received > total:
        cloud.blobs.truncate(upload[CONTENT], 0)
        raise refused(f"There were {received} byte(s), where {total} byte(s) were announced.")
    return await _finish(cloud, call, upload)


async def _append(cloud: StorageCloud, media: Media, content: str, part: ContentRange) -> None:
    """Write what of a part is not there yet.

    Raises:
        ApiError: 503, bytes before it are missing; 400, it is not what its header says.
        ConnectionError: the client left; what came is kept.
    """
    received = cloud.blobs.partial_size(content)
    start = part.start or 0
    if start > received:
        raise beyond(start, received)
    sent = 0
    try:
        with cloud.blobs.append(content) as file:
            async for block in blocks(media):
                fresh = block[max(0, received - start - sent) :]
                sent += len(block)
                await asyncio.to_thread(file.write, fresh)
    except (ConnectionError, ApiError):
        _settle(cloud, content)
        raise
    if part.length is not None and sent != part.length:
        cloud.blobs.truncate(content, received)
        raise refused(
            f"There were {sent} byte(s) in the request body.  There should have been {part.length} "
            f"byte(s) (starting at offset {start} and ending at offset {start + part.length - 1}) "
            "according to the Content-Range header."
        )


def _unfinished(cloud: StorageCloud, call: Call, upload: Document, part: ContentRange) -> Reply:
    """Say how far an upload is; only whole multiples of GRANULARITY are kept.

    Go's clients ask for a 200 that says 308 in a header, and take nothing else:
    https://github.com/googleapis/google-api-go-client, internal/gensupport/resumable.go.
    """
    if part.length is not None and part.length < GRANULARITY:
        _settle(cloud, upload[CONTENT])
        raise refused(
            "The number of bytes uploaded is required to be equal or greater than "
            f"{GRANULARITY}, except for the final request (it's recommended to be the exact "
            f"multiple of {GRANULARITY}).  The received request contained {part.length} bytes, "
            "which does not meet this requirement."
        )
    received = _settle(cloud, upload[CONTENT])
    headers = {"Range": f"bytes=0-{received - 1}"} if received else {}
    if call.wire.headers.get("X-GUploader-No-308") == "yes":
        return Reply(200, b"", headers | {"X-HTTP-Status-Code-Override": "308"})
    return Reply(308, b"", headers)


def _settle(cloud: StorageCloud, content: str) -> int:
    """Cut a content down to what is kept of it; return its size."""
    kept = cloud.blobs.partial_size(content) // GRANULARITY * GRANULARITY
    cloud.blobs.truncate(content, kept)
    return kept


async def _finish(cloud: StorageCloud, call: Call, upload: Document) -> Document:
    target = _target(upload)
    given = upload["checksums"] | checksums.expected(call.wire.headers, {})

    def digest() -> checksums.Digest:
        with cloud.blobs.partial_path(upload[CONTENT]).open("rb") as file:
            return checksums.digest_of(file)

    try:
        SizeRange(*upload["sizes"]).check(cloud.blobs.partial_size(upload[CONTENT]))
        version = await finished(
            cloud,
            target,
            upload["settings"],
            upload[CONTENT],
            await asyncio.to_thread(digest),
            given,
        )
        with cloud.store.transaction() as tx:
            _found(cloud, call, tx)
            removed = versions.write(cloud, tx, target, version)
            done = {key: upload[key] for key in upload if key not in {"settings", "conditions"}}
            tx.put(_place(call), done | {"state": _DONE, "version": version})
    except ApiError:
        # It cannot succeed any more: the client has to begin another one.
        cloud.store.delete(_place(call))
        raise
    except Exception:  # no word of the object: the disk is full, say. The bytes are still good.
        cloud.blobs.reopen(upload[CONTENT])
        raise
    cloud.blobs.remove(*removed)
    return _shown(cloud, call, upload, version)


def _target(upload: Document) -> Destination:
    place = upload["bucket"], upload["bucketGeneration"], upload["name"]
    return Destination(*place, upload["conditions"], Principal(upload["writer"]))


def _shown(cloud: StorageCloud, call: Call, upload: Document, version: Document) -> Document:
    return resource(call, version, found(cloud.store, upload["bucket"]), full=upload["full"])


def _cancel(cloud: StorageCloud, call: Call, upload: Document) -> Reply:
    if upload["state"] == _OPEN:
        cloud.store.put(_place(call), upload | {"state": _CANCELLED})
        cloud.blobs.remove(upload[CONTENT])
    return Reply(499, b"")


def _place(call: Call) -> str:
    return f"{UPLOADS}/{call.query[UPLOAD_ID]}"


def _found(cloud: StorageCloud, call: Call, reader: Reader) -> Document:
    """Return the upload that a call is about. Raises ApiError 404 or 410: it is no more."""
    upload = reader.get(_place(call))
    if upload is None or upload["bucket"] != call.path["bucket"]:
        raise ApiError(404, "notFound", "The upload session does not exist: begin another one.")
    if _is_over(cloud, upload):
        raise ApiError(410, "gone", "The upload session has expired: begin another one.")
    return upload


def _is_over(cloud: StorageCloud, upload: Document) -> bool:
    return upload.get("form") != _FORM or bool(upload["created"] + LIFETIME <= cloud.clock())


def _with_total(cloud: StorageCloud, call: Call, upload: Document, part: ContentRange) -> Document:
    """Return the upload with the size of the whole, which must not change once it is known."""
    total = part.total
    if total is None or total == upload["total"]:
        return upload
    if upload["total"] is not None:
        raise refused(
            f"According to the Content-Range header, the final size of the upload is {total} "
            "byte(s), which does not match the expected final size of "
            f"{upload['total']} byte(s) that was specified in an earlier request."
        )
    upload = upload | {"total": total}
    cloud.store.put(_place(call), upload)
    return upload
