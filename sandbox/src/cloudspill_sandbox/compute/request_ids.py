# SPDX-License-Identifier: GPL-3.0-or-later
"""`requestId`: the same request sent again gets the operation that it opened the first time.

https://cloud.google.com/compute/docs/reference/rest/v1/instances/insert (query parameters). The
body is not looked at: Google's own samples insert a second disk with the id of the first and find
one (GoogleCloudPlatform/python-docs-samples, compute/client_library, test_request_id). The id says
nothing about requests of other methods or for other targets: one document for each id has the
operations by what was asked of what, and goes with the last of them.
"""

from __future__ import annotations

import uuid

from cloudspill_sandbox.compute import documents, refusals
from cloudspill_sandbox.engine.call import Call
from cloudspill_sandbox.engine.store import Store, Transaction


def earlier(store: Store, call: Call) -> str | None:
    """Return the operation that this call opened when it came with the same requestId before.

    Raises:
        ApiError: 400, the requestId is no UUID, or the zero one.
    """
    request = call.query.get("requestId")
    if not request:
        return None
    if not _is_request_id(request):
        raise refusals.invalid_value("requestId", request, "Must be a valid, non-zero UUID.")
    place = next((f"{k}s/{call.path[k]}" for k in ("zone", "region") if k in call.path), "global")
    known = store.get(f"projects/{call.path['project']}/{place}/requests/{request}")
    return (known or {}).get(_asked(call))


def remember(tx: Transaction, call: Call, request: str, operation: str) -> None:
    """Write which operation (relative name) a call with this requestId opened."""
    name = _document_name(request, operation)
    tx.put(name, {**(tx.get(name) or {}), _asked(call): operation})


def forget(tx: Transaction, request: str, operation: str) -> None:
    """Remove what `remember` wrote."""
    name = _document_name(request, operation)
    others = {asked: other for asked, other in (tx.get(name) or {}).items() if other != operation}
    if others:
        tx.put(name, others)
    else:
        tx.delete(name)


def _document_name(request: str, operation: str) -> str:
    return f"{operation.rpartition('/operations/')[0]}/requests/{request}"


def _asked(call: Call) -> str:
    """Return a mark of what a call asks of what."""
    return documents.fingerprint([call.method, dict(call.path)])


def _is_request_id(text: str) -> bool:
    try:
        return uuid.UUID(text).int != 0 and len(text) == len(str(uuid.UUID(text)))
    except ValueError:
        return False
