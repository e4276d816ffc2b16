# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches: several calls in one request, answered in order."""

from __future__ import annotations

import json
from dataclasses import replace
from email.message import Message
from email.parser import BytesParser

import pytest

from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.front.batch import MAX_CALLS, answer_batch
from cloudspill_sandbox.front.http import HttpRequest, HttpResponse, headers

from .conftest import INSTANCES, World


def batch(world: World, *calls: str, kind: str = "multipart/mixed; boundary=B") -> HttpRequest:
    parts = [
        f"--B\r\nContent-Type: application/http\r\nContent-ID: <{number}>\r\n\r\n{call}\r\n"
        for number, call in enumerate(calls)
    ]
    return HttpRequest(
        "POST",
        "compute.googleapis.com",
        "/batch/compute/v1",
        headers({"Authorization": f"Bearer {world.token}", "Content-Type": kind}),
        ("".join(parts) + "--B--\r\n").encode(),
    )


def answers(response: HttpResponse) -> list[tuple[str, str, bytes]]:
    """(Content-ID, status line, body) of each part."""
    head = f"Content-Type: {response.content_type}\r\n\r\n".encode()
    parts = BytesParser().parsebytes(head + response.body).get_payload()
    assert isinstance(parts, list)
    found = []
    for part in parts:
        assert isinstance(part, Message)
        inner = part.get_payload(decode=True)
        assert isinstance(inner, bytes)
        top, _, body = inner.partition(b"\r\n\r\n")
        found.append((str(part["Content-ID"]), top.decode().split("\r\n")[0], body.rstrip()))
    return found


async def test_each_call_has_its_own_answer(world: World) -> None:
    body = '{"name": "web"}'
    request = batch(
        world,
        f"GET {INSTANCES}/a HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET https://compute.googleapis.com{INSTANCES}/missing?alt=json HTTP/1.1\r\n\r\n",
        f"POST {INSTANCES} HTTP/1.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}",
    )
    first, second, third = answers(await answer_batch(request, world.endpoint().answer))
    assert first[:2] == ("<response-0>", "HTTP/1.1 200 OK")
    assert json.loads(first[2])["name"] == "a"
    assert second[:2] == ("<response-1>", "HTTP/1.1 404 Not Found")
    assert third[:2] == ("<response-2>", "HTTP/1.1 200 OK")
    assert world.stub.calls[-1].body == {"name": "web"}


async def test_a_call_may_bring_its_own_credentials(world: World) -> None:
    request = batch(world, f"GET {INSTANCES}/a HTTP/1.1\r\nauthorization: Bearer wrong\r\n\r\n")
    ((_, status, _),) = answers(await answer_batch(request, world.endpoint().answer))
    assert status == "HTTP/1.1 401 Unauthorized"


@pytest.mark.parametrize(
    "calls", [[], ["nonsense"], ["GET"], [f"GET {INSTANCES}/a HTTP/1.1"] * (MAX_CALLS + 1)]
)
async def test_what_is_no_batch_is_refused_whole(world: World, calls: list[str]) -> None:
    with pytest.raises(ApiError) as caught:
        await answer_batch(batch(world, *calls), world.endpoint().answer)
    assert caught.value.status == 400
    assert world.stub.calls == []


async def test_another_content_type_is_refused(world: World) -> None:
    with pytest.raises(ApiError, match="multipart/mixed"):
        await answer_batch(batch(world, kind="application/json"), world.endpoint().answer)


async def never(_: HttpRequest) -> HttpResponse:
    raise AssertionError("a call was made")


@pytest.mark.parametrize("depth", [1, 3000])
async def test_parts_within_parts_are_refused(world: World, depth: int) -> None:
    nested = "".join(
        f"--B{level}\r\nContent-Type: multipart/mixed; boundary=B{level + 1}\r\n\r\n"
        for level in range(depth)
    )
    request = replace(batch(world, kind="multipart/mixed; boundary=B0"), body=nested.encode())
    with pytest.raises(ApiError, match="no HTTP request") as caught:
        await answer_batch(request, never)
    assert caught.value.status == 400


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"--b\n\n" * 2_000_000, "exceeds the maximum"),
        (b"--b\n" + b"a: b\n" * 2_000_000, "headers of a part are too large"),
        (b"--b\n" + b"\n" * 10_000_000, "no HTTP request"),
    ],
    ids=["parts", "headers", "lines"],
)
async def test_what_costs_most_is_refused_before_it_costs(
    world: World, body: bytes, sentence: str
) -> None:
    """Python's parser of mail took 49 s and 0.7 GB for the first."""
    request = replace(batch(world, kind="multipart/mixed; boundary=b"), body=body)
    with pytest.raises(ApiError, match=sentence):
        await answer_batch(request, never)


async def test_a_call_without_headers_may_have_a_body(world: World) -> None:
    body = b"--b\nContent-Type: application/http\n\nPOST /x\n\n{}\n--b--"
    request = replace(batch(world, kind="multipart/mixed; boundary=b"), body=body)
    called = []

    async def answer(call: HttpRequest) -> HttpResponse:
        called.append((call.method, call.target, call.body))
        return HttpResponse(200, b"{}", "application/json")

    await answer_batch(request, answer)
    assert called == [("POST", "/x", b"{}")]
