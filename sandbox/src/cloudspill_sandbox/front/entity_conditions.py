# SPDX-License-Identifier: GPL-3.0-or-later
"""Conditions on what is read, by its entity tag and its time (RFC 9110, section 13).

https://cloud.google.com/storage/docs/xml-api/reference-headers#ifmatch and what follows there.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime

NAMES = ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")


def refusal(asked: Mapping[str, str], shown: Mapping[str, str]) -> int | None:
    """Return the status that a condition calls for in place of the answer, None when all hold.

    Args:
        asked: headers of the request; a time that is none is as good as not given.
        shown: headers of the answer, with `ETag` and `Last-Modified`.
    """
    etag, changed = shown.get("ETag", ""), _seconds(shown.get("Last-Modified"))
    if "If-Match" in asked:
        fails = not _names(asked["If-Match"], etag)
    else:
        since = _seconds(asked.get("If-Unmodified-Since"))
        fails = since is not None and changed is not None and changed > since
    if fails:
        return 412
    if "If-None-Match" in asked:
        known = _names(asked["If-None-Match"], etag)
    else:
        since = _seconds(asked.get("If-Modified-Since"))
        known = since is not None and changed is not None and changed <= since
    return 304 if known else None


def _names(header: str, etag: str) -> bool:
    tags = {tag.strip().removeprefix("W/").strip('"') for tag in header.split(",")}
    return "*" in tags or etag.strip('"') in tags


def _seconds(date: str | None) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except ValueError:
        return None
