# SPDX-License-Identifier: GPL-3.0-or-later
"""Object documents: finding a version, what may be set of it, how an answer shows it.

https://cloud.google.com/storage/docs/json_api/v1/objects#resource
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.errors import required_parameter
from cloudspill_sandbox.storage.buckets import Reader, found, retention_expires
from cloudspill_sandbox.storage.entity_tags import entity_tag
from cloudspill_sandbox.storage.links import link
from cloudspill_sandbox.storage.locations import checked_class
from cloudspill_sandbox.storage.names import generation_name, object_name
from cloudspill_sandbox.storage.object_access import shown_lists
from cloudspill_sandbox.storage.refusals import invalid, no_such_object, unsupported
from cloudspill_sandbox.storage.timestamps import seconds_of

CONTENT = "_content"
"""Key of the id of an object's bytes; see `blobs`."""

RETAINED_FROM = "_retainedFrom"
"""Key of the time from which a retention period counts, once an event-based hold was released."""

_HEADERS = (
    "cacheControl",
    "contentDisposition",
    "contentEncoding",
    "contentLanguage",
    "contentType",
)
"""What comes back as headers."""

SETTABLE = (
    *_HEADERS,
    *("contexts", "customTime", "eventBasedHold", "metadata", "storageClass", "temporaryHold"),
)
"""What a client decides of an object."""

DEFAULT_TYPE = "application/octet-stream"
"""Of bytes of which nobody said what they are."""

_MAX_NAME = 1024
_MAX_METADATA = 8 * 1024


def media_type(version: Document) -> str:
    """Return the type as which an object is served: an update may have removed `contentType`.

    https://cloud.google.com/storage/docs/metadata#content-type
    """
    given: str | None = version.get("contentType")
    return given or DEFAULT_TYPE


def found_object(
    reader: Reader,
    bucket: str,
    name: str,
    generation: str | None = None,
    *,
    downloading: bool = False,
) -> Document:
    """Return a version of an object, the live one unless a generation is given.

    Args:
        downloading: whether its bytes are asked for.

    Raises:
        ApiError: 404, there is no such bucket or version.
    """
    found(reader, bucket)
    if (version := version_of(reader, bucket, name, generation)) is None:
        full = name if generation is None else f"{name}#{generation}"
        raise no_such_object(bucket, full, downloading=downloading)
    return version


def version_of(reader: Reader, bucket: str, name: str, generation: str | None) -> Document | None:
    """Return a version of an object, the live one unless a generation is given; None for none."""
    live = reader.get(object_name(bucket, name))
    if generation is None or (live is not None and live["generation"] == generation):
        return live
    return reader.get(generation_name(bucket, name, generation))


def place_of(version: Document, *, live: bool) -> str:
    """Return the name of the document in which a version is kept."""
    bucket, name = version["bucket"], version["name"]
    if live:
        return object_name(bucket, name)
    return generation_name(bucket, name, version["generation"])


def is_live(reader: Reader, version: Document) -> bool:
    """Whether a version is the live one of its object."""
    live = reader.get(object_name(version["bucket"], version["name"]))
    return live is not None and live["generation"] == version["generation"]


def checked_name(name: str | None) -> str:
    """Return an object's name.

    https://cloud.google.com/storage/docs/objects#naming

    Raises:
        ApiError: 400, there is none or Google does not allow it.
    """
    if not name:
        raise required_parameter("name")
    forbidden = name in (".", "..") or name.startswith(".well-known/acme-challenge/")
    if forbidden or re.search(r"[\r\n]", name):
        raise invalid(f"Invalid argument. '{name[:80]}' is no valid name of an object.")
    if len(name.encode()) > _MAX_NAME:
        raise invalid(f"The maximum object name length is {_MAX_NAME} bytes in UTF-8 encoding.")
    return name


def checked_settings(body: Mapping[str, Any], bucket: Document) -> Document:
    """Return what a body sets of an object, and the bucket's defaults.

    Raises:
        ApiError: 400 for what cannot be, 501 for what the sandbox does not have.
    """
    for key in ("customerEncryption", "retention"):
        if body.get(key):
            raise unsupported(f"{key} of an object")
    settings = {key: body[key] for key in SETTABLE if body.get(key) is not None}
    settings["storageClass"] = checked_class(settings.get("storageClass") or bucket["storageClass"])
    if bucket.get("defaultEventBasedHold"):
        settings.setdefault("eventBasedHold", True)
    for key in _HEADERS:
        if not is_header_value(settings.get(key, "")):
            raise invalid(f"Invalid argument. {key} cannot have control characters.")
    if "customTime" in settings:
        _check_time(settings["customTime"])
    metadata = settings.get("metadata", {})
    if sum(len(key.encode()) + len(value.encode()) for key, value in metadata.items()) > (
        _MAX_METADATA
    ):
        raise invalid(f"The metadata for your object exceed {_MAX_METADATA} bytes.")
    return settings


def is_header_value(text: str) -> bool:
    """Whether a text can be the value of a header."""
    return re.search(r"[\x00-\x1f\x7f]", text) is None


def check_encryption(call: Call) -> None:
    """Refuse keys, which the sandbox does not have.

    Raises:
        ApiError: 501.
    """
    if call.query.get("kmsKeyName") or call.query.get("destinationKmsKeyName"):
        raise unsupported("Encryption with a Cloud KMS key")
    if any(name.lower().startswith("x-goog-encryption-") for name in call.wire.headers):
        raise unsupported("Encryption with a customer-supplied key")
    if call.body.get("kmsKeyName"):
        raise unsupported("Encryption with a Cloud KMS key")


def etag(version: Document) -> str:
    """Return the entity tag of a version and its metadata."""
    return entity_tag(int(version["generation"]), int(version["metageneration"]))


def resource(call: Call, version: Document, bucket: Document, *, full: bool = False) -> Document:
    """Return a version of an object as an answer shows it.

    Args:
        full: whether with owner and access control list (`projection`), where those count.
    """
    path = f"b/{version['bucket']}/o/{quote(version['name'], safe='')}"
    media = link(call, path).replace("/storage/v1/", "/download/storage/v1/", 1)
    generation = version["generation"]
    shown = {key: value for key, value in version.items() if not key.startswith("_")} | {
        "kind": "storage#object",
        "id": f"{version['bucket']}/{version['name']}/{generation}",
        "selfLink": link(call, path),
        "mediaLink": f"{media}?generation={generation}&alt=media",
        "etag": etag(version),
    }
    if (until := retained_until(version, bucket)) is not None:
        shown["retentionExpirationTime"] = until
    return shown | (shown_lists(call, bucket, version) if full else {})


def retained_until(version: Document, bucket: Document) -> str | None:
    """Return until when the bucket's retention policy keeps a version; None for no certain time."""
    if version.get("eventBasedHold"):
        return None
    since: str = version.get(RETAINED_FROM) or version["timeCreated"]
    return retention_expires(bucket, since)


def is_full(call: Call, body: Mapping[str, Any] | None = None) -> bool:
    """Whether a call asks for the projection with access control lists.

    Args:
        body: of a request that sets an object; one that gives a list gets it back.
    """
    asked = call.query.get("projection")
    if asked is None:
        return bool(body and body.get("acl"))
    return bool(asked == "full")


def _check_time(text: str) -> None:
    try:
        seconds_of(text)
    except ValueError:
        raise invalid(f"Invalid argument. customTime '{text}' is no RFC 3339 time.") from None
