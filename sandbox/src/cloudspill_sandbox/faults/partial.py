# SPDX-License-Identifier: GPL-3.0-or-later
"""Aggregated lists of a cloud that has lost a zone: partial answers for those who take them.

https://cloud.google.com/compute/docs/reference/rest/v1/instances/aggregatedList: with
`returnPartialSuccess` the list has what there is, a warning UNREACHABLE in the zone's place, and
names it under `unreachables`; otherwise the whole call fails.
"""

from __future__ import annotations

from collections.abc import Iterable

from cloudspill_sandbox.engine.call import Call, Document, Handler, Reply
from cloudspill_sandbox.faults.refusals import resource_of, unavailable
from cloudspill_sandbox.faults.registry import Faults


async def answered(handler: Handler, call: Call, faults: Faults) -> Document | Reply:
    """Return the answer to an aggregated list without the zones that do not answer.

    Raises:
        ApiError: 503, there are some and the caller does not want part of a list.
    """
    lost = list(faults.unreachable(call.method))
    if not lost:
        return await handler(call)
    for fault in lost:
        faults.strike(fault, call.method, resource_of(call))
    if not call.query.get("returnPartialSuccess"):
        raise unavailable(call, lost[0].order)
    answer = await handler(call)
    zones = {fault.order.zone for fault in lost if fault.order.zone}
    return without(answer, sorted(zones)) if isinstance(answer, dict) else answer


def without(answer: Document, zones: Iterable[str]) -> Document:
    """Return an aggregated list in which some zones could not be reached.

    Lists of what lies in no zone stay as they are.
    """
    scopes = [scope for zone in zones if (scope := f"zones/{zone}") in answer["items"]]
    if not scopes:
        return answer
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
