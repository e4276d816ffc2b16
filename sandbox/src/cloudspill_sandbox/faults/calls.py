# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of calls: they stand around every handler of a service."""

from __future__ import annotations

from types import MappingProxyType

from cloudspill_sandbox.engine.call import Call, Document, Handler, Reply, Service
from cloudspill_sandbox.engine.errors import NoAnswerError
from cloudspill_sandbox.faults.fault import Fault
from cloudspill_sandbox.faults.kinds import Scope
from cloudspill_sandbox.faults.refusals import OF_CALLS, resource_of
from cloudspill_sandbox.faults.registry import Faults

_PLACES = frozenset({"project", "zone", "region"})


def exposed(service: Service, faults: Faults) -> Service:
    """Return a service whose calls the faults may strike."""
    faults.methods.update(service)
    return MappingProxyType({name: _exposed(handler, faults) for name, handler in service.items()})


def _exposed(handler: Handler, faults: Faults) -> Handler:
    async def answer(call: Call) -> Document | Reply:
        if not faults.calls_armed:
            return await handler(call)
        for fault in faults.striking(Scope.CALL, _names(call), call.path.get("zone"), call.method):
            faults.strike(fault, call.method, resource_of(call))
            await _suffer(fault, call, handler, faults)
        return await handler(call)

    return answer


async def _suffer(fault: Fault, call: Call, handler: Handler, faults: Faults) -> None:
    """Let a fault have its way; returns when the call goes on."""
    kind, order = fault.order.kind, fault.order
    if kind == "slow":
        await faults.pause(fault.id, order.delay or 0.0)
    elif kind == "reset":
        if order.when == "after":
            await handler(call)
        raise NoAnswerError(f"{fault.id}: the connection is closed")
    else:
        raise OF_CALLS[kind](call, order)


def _names(call: Call) -> frozenset[str]:
    """Return every name of a resource that a call carries."""
    named = {value for parameter, value in call.path.items() if parameter not in _PLACES}
    named |= {n for n in (call.body.get("name"), call.query.get("name")) if isinstance(n, str)}
    return frozenset(named)
