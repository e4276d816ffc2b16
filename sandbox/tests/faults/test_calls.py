# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of calls: whom they strike, and what becomes of the answer."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import pytest

from cloudspill_sandbox.engine.call import Call, Document, Handler, Principal, Reply
from cloudspill_sandbox.engine.errors import ApiError, NoAnswerError, not_found
from cloudspill_sandbox.faults.calls import exposed
from cloudspill_sandbox.faults.registry import Faults

GET = "compute.instances.get"


@dataclass
class File:
    """Bytes that are read as they are sent."""

    closed: bool = False
    size: int | None = None

    def read(self) -> bytes:
        return b""

    def close(self) -> None:
        self.closed = True


@dataclass
class Backend:
    """A handler that notes its calls."""

    answer: Document | Reply = field(default_factory=dict)
    refusal: ApiError | None = None
    calls: list[Call] = field(default_factory=list)

    async def __call__(self, call: Call) -> Document | Reply:
        self.calls.append(call)
        if self.refusal is not None:
            raise self.refusal
        return self.answer


def handler(faults: Faults, backend: Backend, method: str = GET) -> Handler:
    """The backend's method with the faults around it."""
    services = exposed({"api": {method: backend}}, faults, lambda _: ApiError(403, "x", "y"))
    return services["api"][method]


def call(method: str = GET, **path: str) -> Call:
    return Call(method, path, {}, {}, Principal("me"))


async def test_an_answer_that_is_lost_is_lost_even_when_it_is_a_refusal(faults: Faults) -> None:
    backend = Backend(refusal=not_found("vm"))
    struck = handler(faults, backend)
    faults.add({"kind": "reset", "when": "after"})
    with pytest.raises(NoAnswerError):
        await struck(call(zone="z", instance="vm"))
    assert len(backend.calls) == 1
    with pytest.raises(ApiError, match="not found"):
        await struck(call(zone="z", instance="vm"))


async def test_an_answer_that_is_lost_leaves_no_open_file(faults: Faults) -> None:
    file = File()
    struck = handler(faults, Backend(Reply(body=file)))
    faults.add({"kind": "reset", "when": "after"})
    with pytest.raises(NoAnswerError):
        await struck(call())
    assert file.closed


@pytest.mark.parametrize(
    ("method", "path", "match", "target"),
    [
        (
            GET,
            {"project": "p", "zone": "us-west1-b", "instance": "vm"},
            "vm",
            "projects/p/zones/us-west1-b/instances/vm",
        ),
        (
            "storage.objects.get",
            {"bucket": "b", "object": "logs/a"},
            "logs/*",
            "buckets/b/objects/logs/a",
        ),
        (
            "iam.projects.serviceAccounts.get",
            {"name": "projects/p/serviceAccounts/spill@p.example"},
            "spill@*",
            "projects/p/serviceAccounts/spill@p.example",
        ),
    ],
)
async def test_a_fault_knows_its_target_by_name_and_says_which(
    faults: Faults, method: str, path: dict[str, str], match: str, target: str
) -> None:
    struck = handler(faults, Backend(), method)
    fault = faults.add({"kind": "unavailable", "match": match})
    faults.add({"kind": "forbidden", "match": "other*"})
    with pytest.raises(ApiError, match="unavailable"):
        await struck(call(method, **path))
    known = faults.get(fault.id)
    assert known is not None
    assert [firing.target for firing in known.firings] == [target]


@pytest.mark.parametrize(
    "body", [{"namePattern": "burst-##"}, {"perInstanceProperties": {"other": {}, "burst-1": {}}}]
)
async def test_instances_in_bulk_are_named_by_the_request(
    faults: Faults, body: dict[str, object]
) -> None:
    method = "compute.instances.bulkInsert"
    faults.methods.add(method)
    fault = faults.add({"kind": "unavailable", "method": method, "match": "burst-*"})
    struck = handler(faults, Backend(), method)
    asked = dataclasses.replace(call(method, project="p", zone="z"), body=body)
    with pytest.raises(ApiError):
        await struck(asked)
    spent = faults.get(fault.id)
    assert spent is not None
    assert spent.state == "spent"
    faults.add({"kind": "unavailable", "method": method, "match": "web-*"})
    assert await struck(asked) == {}
