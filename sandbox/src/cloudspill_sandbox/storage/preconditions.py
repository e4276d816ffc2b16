# SPDX-License-Identifier: GPL-3.0-or-later
"""Preconditions on the versions of an object.

https://cloud.google.com/storage/docs/request-preconditions
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.storage.buckets import NotModifiedError
from cloudspill_sandbox.storage.refusals import precondition_failed

_ABSENT = "0"
_FIELDS = ("Generation", "Metageneration")


def given_in(query: Mapping[str, Any], source: str = "") -> dict[str, str]:
    """Return the preconditions of a request by their names without `source`.

    Args:
        source: "Source" for those of the source of a copy (`ifSourceGenerationMatch`).
    """
    names = [f"if{{}}{field}{match}" for field in _FIELDS for match in ("Match", "NotMatch")]
    return {
        name.format(""): str(query[name.format(source)])
        for name in names
        if query.get(name.format(source)) is not None
    }


def check(conditions: Mapping[str, str], live: Document | None, *, reading: bool = False) -> None:
    """Refuse a request whose preconditions do not hold.

    Args:
        conditions: as `given_in` returns them.
        live: the version that the request is about, None when there is none.
        reading: whether the request changes nothing, so that "not modified" is an answer.

    Raises:
        ApiError: 412, or 304 when reading.
    """
    for field in _FIELDS:
        current = live[field.lower()] if live else _ABSENT
        if conditions.get(f"if{field}Match", current) != current:
            raise precondition_failed()
        if conditions.get(f"if{field}NotMatch") == current:
            raise NotModifiedError() if reading else precondition_failed()


def check_entity_tags(call: Call, etag: str) -> None:
    """Refuse to read by the If-Match and If-None-Match headers (RFC 9110, section 13.1).

    Google ignores them where something is changed, as
    https://github.com/googleapis/python-storage/pull/489 found.

    Raises:
        ApiError: 412 or 304.
    """
    wanted = _tags(call.wire.headers.get("If-Match"))
    if wanted is not None and etag not in wanted and "*" not in wanted:
        raise precondition_failed()
    unwanted = _tags(call.wire.headers.get("If-None-Match"))
    if unwanted is not None and (etag in unwanted or "*" in unwanted):
        raise NotModifiedError()


def _tags(header: str | None) -> set[str] | None:
    if header is None:
        return None
    return {tag.strip().removeprefix("W/").strip('"') for tag in header.split(",")}
