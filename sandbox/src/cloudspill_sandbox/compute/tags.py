# SPDX-License-Identifier: GPL-3.0-or-later
"""Network tags. https://cloud.google.com/vpc/docs/add-remove-network-tags."""

from __future__ import annotations

from cloudspill_sandbox.compute import documents, names, refusals
from cloudspill_sandbox.engine.call import Document

_MOST = 64


def checked(field: str, body: Document | None) -> Document:
    """Return a Tags document of what a request gives: each tag once, sorted.

    Raises:
        ApiError: 400 for a tag that is no RFC 1035 label, or too many.
    """
    items = (body or {}).get("items") or []
    if len(items) > _MOST:
        raise refusals.invalid_value(field, "", f"The number of tags exceeds the limit of {_MOST}.")
    for at, tag in enumerate(items):
        if not documents.full_match(names.NAME, tag):
            raise refusals.no_match(f"{field}.items[{at}]", tag, names.NAME)
    unique = sorted(set(items))
    found = {"items": unique} if unique else {}
    return found | {"fingerprint": documents.fingerprint(unique)}


def replaced(current: Document, body: Document) -> Document:
    """Return the Tags that replace `current`.

    Raises:
        ApiError: 412 for a stale fingerprint, 400 as `checked`.
    """
    documents.check_fingerprint(body.get("fingerprint"), current["fingerprint"], "tags")
    return checked("tags", body)
