# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists: filter, order, pages, aggregated lists.

https://cloud.google.com/compute/docs/reference/rest/v1/instances/aggregatedList.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cloudspill_sandbox.compute import names, refusals
from cloudspill_sandbox.compute.catalogue.regions import REGIONS, ZONES
from cloudspill_sandbox.compute.filters import Predicate, compile_filter
from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.shapes import ANYTHING, Shape

LARGEST_PAGE = 500
"""Without `maxResults`; Google's discovery document bounds what may be asked for."""

_NEWEST_FIRST = "creationTimestamp desc"
_FILTER_AND_ORDER = "Specifying both a list filter and sort order is not currently supported."
EVERY_SCOPE = (
    "global",
    *(f"regions/{region}" for region in REGIONS),
    *(f"zones/{zone}" for zone in ZONES),
)
"""What `includeAllScopes` asks for."""

_NUMBER_ORDER = str.maketrans("0123456789", "9876543210")


def page(call: Call, kind: str, collection: str, documents: Iterable[Document]) -> Document:
    """Return one page of a list as `compute#<kind>List`.

    `items` is there even when empty: google.cloud's modules and inventory index it.

    Raises:
        ApiError: 400 for a filter, order or page token that Google would refuse.
    """
    rows = [("", document) for document in filter(_predicate(call), documents)]
    chosen, token = _cut(call, collection, rows)
    return _with_token(
        {
            "kind": f"compute#{kind}List",
            "id": collection,
            "items": [document for _, document in chosen],
            "selfLink": names.link(collection),
        },
        token,
    )


def aggregated(
    call: Call,
    kind: str,
    plural: str,
    scopes: Sequence[str],
    documents: Mapping[str, Iterable[Document]],
) -> Document:
    """Return one page of an aggregated list, a warning for each scope without results.

    Args:
        scopes: where there can be any, `zones/us-west1-b`; all are named if the caller asks.
        documents: resources by scope.

    Raises:
        ApiError: as `page`.
    """
    if call.query.get("includeAllScopes"):
        scopes = EVERY_SCOPE
    holds = _predicate(call, "*", plural)
    rows = [
        (scope, document)
        for scope in scopes
        for document in filter(holds, documents.get(scope, ()))
    ]
    collection = f"projects/{call.path['project']}/aggregated/{plural}"
    chosen, token = _cut(call, collection, rows)
    items: dict[str, Document] = {}
    for scope, document in chosen:
        items.setdefault(scope, {plural: []})[plural].append(document)
    return _with_token(
        {
            "kind": f"compute#{kind}AggregatedList",
            "id": collection,
            "items": {scope: items.get(scope) or _no_results(scope) for scope in scopes},
            "selfLink": names.link(collection),
        },
        token,
    )


def _predicate(call: Call, *below: str) -> Predicate | None:
    """Return what the filter asks for, None without one.

    Args:
        below: where in `items` of the answer the resources are.
    """
    expression = (call.query.get("filter") or "").strip()
    if not expression:
        return None
    place = Shape.of_answer(call.api, call.method)
    for name in ("items", *below):
        place = place.field(name) or ANYTHING
    return compile_filter(expression, place.element())


def _cut(
    call: Call, collection: str, rows: list[tuple[str, Document]]
) -> tuple[list[tuple[str, Document]], str | None]:
    """Return the rows of the asked page and the token of the next one.

    A token is good for the list that it came from, in the same order (https://google.aip.dev/158).
    """
    order = call.query.get("orderBy") or "name"
    if call.query.get("orderBy") and (call.query.get("filter") or "").strip():
        raise refusals.invalid_value("orderBy", order, _FILTER_AND_ORDER)
    if order not in {"name", _NEWEST_FIRST}:
        raise refusals.invalid_value(
            "orderBy", order, f"Only 'name' and '{_NEWEST_FIRST}' are supported."
        )
    keyed = sorted(((_key(order, *row), row) for row in rows), key=lambda pair: pair[0])
    if text := call.query.get("pageToken"):
        parts = _read_token(text)
        if parts[:2] != [collection, order]:
            raise _bad_token(text)
        after = tuple(parts[2:])
        keyed = [pair for pair in keyed if pair[0] > after]
    size = call.query.get("maxResults") or LARGEST_PAGE
    more = len(keyed) > size
    token = _write_token(collection, order, keyed[size - 1][0]) if more else None
    return [row for _, row in keyed[:size]], token


def _key(order: str, scope: str, document: Document) -> tuple[str, ...]:
    if order == "name":
        return (scope, document["name"])
    made = document.get("creationTimestamp") or document["insertTime"]  # operations have the latter
    # Digits reversed sort newest first, and keep the key a plain string that fits a page token.
    return (made.translate(_NUMBER_ORDER), scope, document["name"])


def _write_token(collection: str, order: str, key: tuple[str, ...]) -> str:
    return base64.urlsafe_b64encode(json.dumps((collection, order, *key)).encode()).decode()


def _read_token(text: str) -> list[str]:
    """Return the collection, the order, and the key of the last row that was shown."""
    try:
        parts = json.loads(base64.urlsafe_b64decode(text))
    except (binascii.Error, ValueError):
        parts = None
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise _bad_token(text)
    return parts


def _bad_token(text: str) -> ApiError:
    return refusals.invalid_value("pageToken", text, "The page token is not valid.")


def _with_token(document: Document, token: str | None) -> Document:
    return document | {"nextPageToken": token} if token else document


def _no_results(scope: str) -> dict[str, Any]:
    return {
        "warning": {
            "code": "NO_RESULTS_ON_PAGE",
            "message": f"There are no results for scope '{scope}' on this page.",
            "data": [{"key": "scope", "value": scope}],
        }
    }
