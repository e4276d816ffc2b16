# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of calls: they stand around every handler of a service."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from types import MappingProxyType

from cloudspill_sandbox.engine.call import Call, Document, Handler, Reply, Service
from cloudspill_sandbox.engine.errors import ApiError, NoAnswerError
from cloudspill_sandbox.faults import partial
from cloudspill_sandbox.faults.kinds import Scope
from cloudspill_sandbox.faults.refusals import REFUSALS, resource_of
from cloudspill_sandbox.faults.registry import Faults

_AGGREGATED = ".aggregatedList"
_PLACES = frozenset({"project", "zone", "region"})


def exposed(
    services: Mapping[str, Service], faults: Faults, denial: Callable[[Call], ApiError]
) -> dict[str, Service]:
    """Return services whose calls the faults may strike.

    Args:
        services: by the names of their APIs.
        denial: words what a caller without permission hears, as that API has it.
    """
    for service in services.values():
        faults.methods.update(service)
    return {
        api: MappingProxyType(
            {method: _exposed(handler, faults, denial) for method, handler in service.items()}
        )
        for api, service in services.items()
    }


def _exposed(handler: Handler, faults: Faults, denial: Callable[[Call], ApiError]) -> Handler:
    async def answer(call: Call) -> Document | Reply:
        if not faults.calls_armed:
            return await handler(call)
        for fault in faults.striking(Scope.CALL, _names(call), call.path.get("zone"), call.method):
            faults.strike(fault, call.method, resource_of(call))
            kind, order = fault.order.kind, fault.order
            if kind == "slow":
                await faults.pause(fault.id, order.delay or 0.0)
            elif kind == "reset":
                if order.when == "after":
                    await _unheard(handler, call)
                raise NoAnswerError(f"{fault.id}: the connection is closed")
            elif kind == "forbidden":
                raise denial(call)
            else:
                raise REFUSALS[kind](call, order)
        if call.method.endswith(_AGGREGATED):
            return await partial.answered(handler, call, _names(call), faults)
        return await handler(call)

    return answer


async def _unheard(handler: Handler, call: Call) -> None:
    """Handle a call whose answer, be it a refusal, nobody hears."""
    with contextlib.suppress(ApiError):
        answer = await handler(call)
        if isinstance(answer, Reply) and not isinstance(answer.body, dict | bytes):
            await asyncio.to_thread(answer.body.close)


def _names(call: Call) -> frozenset[str]:
    """Return every name of a resource that a call carries; some APIs have them in one path."""
    named = {
        value.rpartition("/")[2] if value.startswith("projects/") else value
        for parameter, value in call.path.items()
        if parameter not in _PLACES
    }
    given = (call.body.get("name"), call.query.get("name"), call.body.get("namePattern"))
    named |= {name for name in given if isinstance(name, str)}
    if isinstance(each := call.body.get("perInstanceProperties"), dict):
        named |= each.keys()
    return frozenset(named)
