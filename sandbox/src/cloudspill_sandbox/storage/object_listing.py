# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists of objects: prefixes, delimiters, ranges, globs, versions, pages.

https://cloud.google.com/storage/docs/json_api/v1/objects/list
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.storage.buckets import found
from cloudspill_sandbox.storage.cloud import StorageCloud
from cloudspill_sandbox.storage.globs import literal_directory, matcher
from cloudspill_sandbox.storage.names import generations_of, objects_of
from cloudspill_sandbox.storage.objects import is_full, resource
from cloudspill_sandbox.storage.refusals import invalid, unsupported

LARGEST_PAGE = 1000

_Key = tuple[bytes, int]
"""Where an entry stands in a list: its name in UTF-8, its generation."""

_Entry = tuple[_Key, Document | str]
"""A version, or a prefix that stands for several."""


async def list_objects(cloud: StorageCloud, call: Call) -> Document:
    """Return one page of a bucket's objects, and of the prefixes that stand for several."""
    bucket = found(cloud.store, call.path["bucket"])
    if call.query.get("softDeleted"):
        raise unsupported("Soft delete")
    if call.query.get("filter"):
        raise unsupported("filter of a list of objects")
    size = min(call.query.get("maxResults") or LARGEST_PAGE, LARGEST_PAGE)
    after = _read_token(call.query.get("pageToken"))
    items: list[Document] = []
    prefixes: list[str] = []
    last, more = after, False
    for key, entry in _matching(call.query, _entries(call, _versions(cloud, call))):
        if after is not None and key <= after:
            continue
        if len(items) + len(prefixes) == size:
            more = True
            break
        last = key
        if isinstance(entry, str):
            prefixes.append(entry)
        else:
            items.append(resource(call, entry, bucket, full=is_full(call)))
    answer: Document = {"kind": "storage#objects"}
    if more and last is not None:
        answer["nextPageToken"] = _write_token(last)
    return (
        answer | ({"prefixes": prefixes} if prefixes else {}) | ({"items": items} if items else {})
    )


def _versions(cloud: StorageCloud, call: Call) -> list[tuple[_Key, Document]]:
    """Return the versions that the call is about, in the order of the list."""
    name = call.path["bucket"]
    documents = list(cloud.store.children(objects_of(name)).values())
    if call.query.get("versions"):
        documents += cloud.store.children(generations_of(name)).values()
    selects = _selection(call.query)
    keyed = [
        ((version["name"].encode(), int(version["generation"])), version)
        for version in documents
        if selects(version["name"])
    ]
    return sorted(keyed, key=lambda pair: pair[0])


def _selection(query: Mapping[str, Any]) -> Callable[[str], bool]:
    prefix = query.get("prefix") or ""
    start = (query.get("startOffset") or "").encode()
    end = (query.get("endOffset") or "").encode()

    def selects(name: str) -> bool:
        return (
            name.startswith(prefix)
            and (not start or name.encode() >= start)
            and (not end or name.encode() < end)
        )

    return selects


def _entries(call: Call, versions: list[tuple[_Key, Document]]) -> Iterator[_Entry]:
    """Yield versions, and once each the prefix that takes the place of those below it.

    Without a prefix, folders are counted from the one that a glob names: `path/*/` with the
    delimiter `/` gives the folders within `path/`
    (https://github.com/googleapis/python-storage/issues/1434).
    """
    delimiter = call.query.get("delimiter") or ""
    prefix = call.query.get("prefix") or literal_directory(call.query.get("matchGlob") or "")
    trailing = call.query.get("includeTrailingDelimiter", False)
    before: str | None = None
    for key, version in versions:
        name = version["name"]
        position = name.find(delimiter, len(prefix)) if delimiter else -1
        if position < 0:
            yield key, version
            continue
        folder = name[: position + len(delimiter)]
        if folder != before:
            before = folder
            yield (folder.encode(), 0), folder
        if trailing and name == folder:
            yield key, version


def _matching(query: Mapping[str, Any], entries: Iterable[_Entry]) -> Iterator[_Entry]:
    """Yield the versions and the prefixes whose names match the glob of a request, if it has one.

    https://cloud.google.com/storage/docs/json_api/v1/objects/list#list-objects-and-prefixes-using-glob

    Raises:
        ApiError: 400, the glob cannot be read, or goes with another delimiter than `/`.
    """
    if not query.get("matchGlob"):
        yield from entries
        return
    matches = matcher(query["matchGlob"])
    if query.get("delimiter") not in (None, "", "/"):
        raise invalid("Invalid argument. The delimiter must be '/' when matchGlob is given.")
    for key, entry in entries:
        if matches(entry if isinstance(entry, str) else entry["name"]):
            yield key, entry


def _write_token(key: _Key) -> str:
    return base64.urlsafe_b64encode(b"%d/%s" % (key[1], key[0])).decode()


def _read_token(text: str | None) -> _Key | None:
    if not text:
        return None
    try:
        content = base64.b64decode(text, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if (match := re.fullmatch(rb"(\d{1,19})/(.*)", content, re.DOTALL)) is None:
        raise invalid(f"Invalid argument. '{text[:80]}' is no page token of this list.")
    return match[2], int(match[1])
