# SPDX-License-Identifier: GPL-3.0-or-later
"""A zone that does not answer.

https://cloud.google.com/compute/docs/reference/rest/v1/instances/aggregatedList
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from cloudspill_sandbox.engine import validation
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.discovery import load_api
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.faults.order import FaultError
from cloudspill_sandbox.faults.registry import Faults

from .test_calls import Backend, call, handler

LIST = "compute.instances.aggregatedList"
PARTIAL = {"returnPartialSuccess": True}


def answer() -> Document:
    items = {scope: {"instances": [{"name": scope[-1]}]} for scope in ("zones/a", "zones/b")}
    return {"id": "projects/p/aggregated/instances", "items": items, "nextPageToken": "n"}


async def listed(faults: Faults, query: dict[str, Any], method: str = LIST) -> Document:
    asked = dataclasses.replace(call(method, project="p"), query=query)
    given = await handler(faults, Backend(answer()), method)(asked)
    assert isinstance(given, dict)
    return given


async def test_who_takes_a_part_of_the_list_hears_what_is_missing(faults: Faults) -> None:
    fault = faults.add({"kind": "unreachable", "zone": "a", "count": "forever"})
    given = await listed(faults, PARTIAL)
    assert given["items"]["zones/b"] == answer()["items"]["zones/b"]
    assert given["items"]["zones/a"] == {
        "warning": {
            "code": "UNREACHABLE",
            "message": "The scope 'zones/a' cannot be reached.",
            "data": [{"key": "scope", "value": "zones/a"}],
        }
    }
    assert given["unreachables"] == ["projects/p/zones/a"]
    assert given["nextPageToken"] == "n"
    api = load_api("compute", "v1")
    assert validation.validate_response(api, api.methods[LIST], given) == []
    struck = faults.get(fault.id)
    assert struck is not None
    assert struck.fired == 1


@pytest.mark.parametrize("query", [{}, {"returnPartialSuccess": False}])
async def test_who_does_not_gets_no_list(faults: Faults, query: dict[str, Any]) -> None:
    faults.add({"kind": "unreachable", "zone": "a"})
    with pytest.raises(ApiError) as caught:
        await listed(faults, query)
    assert (caught.value.status, caught.value.reason) == (503, "backendError")
    assert await listed(faults, query) == answer()  # it was to strike once


async def test_calls_of_the_zone_are_refused_and_of_others_not(faults: Faults) -> None:
    faults.add({"kind": "unreachable", "zone": "a", "count": "forever"})
    struck = handler(faults, Backend())
    with pytest.raises(ApiError) as caught:
        await struck(call(zone="a", instance="vm"))
    assert caught.value.status == 503
    assert await struck(call(zone="b", instance="vm")) == {}


@pytest.mark.parametrize("query", [{}, PARTIAL])
@pytest.mark.parametrize(
    "order",
    [
        pytest.param({"zone": "c"}, id="a zone that the list does not go through"),
        pytest.param({"zone": "a", "match": "vm-*"}, id="only some names"),
    ],
)
async def test_what_a_fault_does_not_mean_is_listed_whole(
    faults: Faults, order: dict[str, Any], query: dict[str, Any]
) -> None:
    fault = faults.add({"kind": "unreachable", **order})
    assert await listed(faults, query) == answer()
    assert faults.get(fault.id) == fault


async def test_a_refused_list_is_no_strike(faults: Faults) -> None:
    fault = faults.add({"kind": "unreachable", "zone": "a"})
    refused = handler(faults, Backend(refusal=ApiError(400, "invalid", "filter")), LIST)
    with pytest.raises(ApiError, match="filter"):
        await refused(call(LIST, project="p"))
    assert faults.get(fault.id) == fault


async def test_only_the_methods_that_are_named_are_struck(faults: Faults) -> None:
    order = {"kind": "unreachable", "zone": "a", "method": "compute.disks.*"}
    faults.methods.add("compute.disks.aggregatedList")
    faults.add(order)
    assert await listed(faults, {}) == answer()
    with pytest.raises(ApiError):
        await listed(faults, {}, "compute.disks.aggregatedList")


def test_it_needs_a_zone(faults: Faults) -> None:
    with pytest.raises(FaultError, match="unreachable needs `zone`"):
        faults.add({"kind": "unreachable"})
