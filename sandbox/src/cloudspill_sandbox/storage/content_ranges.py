# SPDX-License-Identifier: GPL-3.0-or-later
"""The Content-Range header of one part of a resumable upload.

https://cloud.google.com/storage/docs/performing-resumable-uploads
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cloudspill_sandbox.engine.errors import ApiError

_HEADER = re.compile(r"bytes (?:(\d{1,19})-(\d{1,19})|\*)/(\d{1,19}|\*)", re.ASCII | re.IGNORECASE)
_INVALID = "Invalid request.  "
"""How the upload server begins, with both spaces."""


@dataclass(frozen=True, slots=True)
class ContentRange:
    """Which bytes of the whole a request carries.

    Attributes:
        start: offset of its first byte; None when it carries none (`bytes */…`).
        length: how many it says it has; None when it does not say.
        total: size of the whole, None when the client does not know it yet.
        is_whole: whether there is no such header: the body is all there is.
    """

    start: int | None
    length: int | None
    total: int | None
    is_whole: bool = False

    @property
    def is_status_query(self) -> bool:
        """Whether the request only asks how far the upload is."""
        return self.start is None


def content_range(header: str | None) -> ContentRange:
    """Return what a Content-Range header says, or that there is none.

    Raises:
        ApiError: 400, it cannot be read.
    """
    if header is None:
        return ContentRange(0, None, None, is_whole=True)
    match = _HEADER.fullmatch(header.strip())
    if match is None:
        raise refused("Failed to parse Content-Range header.")
    first, last, whole = match.groups()
    total = None if whole == "*" else int(whole)
    if first is None:
        return ContentRange(None, None, total)
    start, end = int(first), int(last)
    if end < start or (total is not None and end >= total):
        raise refused("Failed to parse Content-Range header.")
    return ContentRange(start, end - start + 1, total)


def beyond(start: int, received: int) -> ApiError:
    """503 of the upload server: the bytes before a part have not come.

    As plain text, by which Java's client tells it from a service that is unavailable; a real answer
    is quoted in docs/services/gcs.md of https://github.com/floci-io/floci-gcp.
    """
    sentence = (
        f"According to the Content-Range header, the upload offset is {start} byte(s), which "
        f"exceeds already uploaded size of {received} byte(s)."
    )
    kind = {"Content-Type": "text/plain; charset=utf-8"}
    error = ApiError(503, "backendError", f"{_INVALID}{sentence}", headers=kind)
    error.bare = True
    return error


def refused(sentence: str) -> ApiError:
    """400 of the upload server."""
    return ApiError(400, "badRequest", f"{_INVALID}{sentence}")
