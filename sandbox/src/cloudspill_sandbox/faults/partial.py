# SPDX-License-Identifier: GPL-3.0-or-later
"""Aggregated lists of a cloud that has lost a zone: partial answers for those who take them.

https://cloud.google.com/compute/docs/reference/rest/v1/instances/aggregatedList: with
`returnPartialSuccess` the list has what there is, a warning UNREACHABLE in the zone's place, and
names it under `unreachables`; otherwise the whole call fails.
"""

from __future__ import annotations

from collections.abc import Sequence

from cloudspill_sandbox.engine.call import Call, Document, Handler, Reply
from cloudspill_sandbox.faults.refusals import resource_of, unavailable
from cloudspill_sandbox.faults.registry import Faults


async def answered(
    handler: Handler, call: Call, names: frozenset[str], faults: Faults
) -> Document | Reply:
    """Return the answer to an aggregated list without the zones that do not answer.

    What lies in no zone, such as addresses, is listed as ever.

    Args:
        names: what the call names; a fault that means some names does not mean a whole list.

    Raises:
        ApiError: 503, there are some and the caller does not want part of a list.
    """
    answer = await handler(call)
    if not isinstance(answer, dict):
        return answer
    lost = {
        scope: fault
        for scope in answer["items"]
        if scope.startswith("zones/")
        and (fault := faults.unreachable(call.method, names, scope.removeprefix("zones/")))
    }
    for fault in lost.values():
        faults.strike(fault, call.method, resource_of(call))
    if lost and not call.query.get("returnPartialSuccess"):
        raise unavailable()
    return without(answer, sorted(lost)) if lost else answer


def without(answer: Document, scopes: Sequence[str]) -> Document:
    """Return an aggregated list in which some scopes (`zones/us-west1-b`) could not be reached."""
    warnings = {scope: {"warning": _unreachable(scope)} for scope in scopes}
    project = "/".join(answer["id"].split("/")[:2])
    return answer | {
        "items": answer["items"] | warnings,
        "unreachables": [f"{project}/{scope}" for scope in scopes],
    }


def _unreachable(scope: str) -> Document:
    return {
        "code": "UNREACHABLE",
        "message": f"The scope '{scope}' cannot be reached.",
        "data": [{"key": "scope", "value": scope}],
    }
