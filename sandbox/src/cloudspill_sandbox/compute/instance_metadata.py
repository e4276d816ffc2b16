# SPDX-License-Identifier: GPL-3.0-or-later
"""Metadata items of instances and projects.

https://cloud.google.com/compute/docs/metadata/setting-custom-metadata#limitations.
"""

from __future__ import annotations

from cloudspill_sandbox.compute import documents, refusals
from cloudspill_sandbox.engine.call import Document

_LONGEST_VALUE = 256 * 1024
_LONGEST_SUM = 512 * 1024
_KEY = r"[a-zA-Z0-9-_]{1,128}"


def checked(field: str, body: Document | None) -> Document:
    """Return a Metadata document of what a request gives; None means no items.

    Raises:
        ApiError: 400 for a key twice, a bad key, or too much; 413 for a value that is too long.
    """
    items = [
        {"key": item.get("key", ""), "value": item.get("value") or ""}
        for item in (body or {}).get("items") or ()
    ]
    seen: set[str] = set()
    for at, item in enumerate(items):
        key = item["key"]
        if not documents.full_match(_KEY, key):
            raise refusals.no_match(f"{field}.items[{at}].key", key, _KEY)
        if key in seen:
            raise refusals.invalid_value(field, "", f"Metadata has duplicate keys: {key}")
        seen.add(key)
        if (size := len(item["value"].encode())) > _LONGEST_VALUE:
            raise refusals.too_large(f"{field}.items[{at}].value", _LONGEST_VALUE, size)
    if sum(len(item["key"]) + len(item["value"]) for item in items) > _LONGEST_SUM:
        raise refusals.invalid_value(field, "", f"Metadata exceeds {_LONGEST_SUM} bytes in all.")
    found = {"items": items} if items else {}
    return {"kind": "compute#metadata", "fingerprint": documents.fingerprint(items)} | found


def replaced(field: str, current: Document, body: Document) -> Document:
    """Return the Metadata that replaces `current`.

    Raises:
        ApiError: 412 for a stale fingerprint, 400 as `checked`.
    """
    documents.check_fingerprint(body.get("fingerprint"), current["fingerprint"], "metadata")
    return checked(field, body)


def values(metadata: Document) -> dict[str, str]:
    """Return the items of a Metadata document by key."""
    return {item["key"]: item["value"] for item in metadata.get("items", ())}


def is_true(value: str | None) -> bool:
    """Whether a metadata value switches something on: TRUE, Y, YES, 1 in any case.

    https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys.
    """
    return (value or "").strip().upper() in {"TRUE", "Y", "YES", "1"}
