# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists in pages, as newer APIs give them: https://google.aip.dev/158."""

from __future__ import annotations

import base64
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.identity import refusals


def page(
    items: Mapping[str, Document], query: Mapping[str, Any], *, default: int, maximum: int
) -> tuple[list[Document], Document]:
    """Return one page, in the order of the keys, and `nextPageToken` when there is another.

    Args:
        items: all of them by key.
        query: `pageSize` and `pageToken`, if given.
        default: size of a page that nobody asked for.
        maximum: what a larger size becomes.

    Raises:
        ApiError: 400 for a negative size or a token that came from elsewhere.
    """
    size = query.get("pageSize", 0)
    if size < 0:
        raise refusals.refused("INVALID_ARGUMENT", f"The page size must not be negative: {size}.")
    keys = sorted(items)
    start = bisect_right(keys, _last(query["pageToken"])) if query.get("pageToken") else 0
    chosen = keys[start : start + min(size or default, maximum)]
    found = [items[key] for key in chosen]
    if not chosen or start + len(chosen) == len(keys):
        return found, {}
    return found, {"nextPageToken": base64.urlsafe_b64encode(chosen[-1].encode()).decode()}


def _last(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except ValueError:
        raise refusals.refused("INVALID_ARGUMENT", "The page token is invalid.") from None
