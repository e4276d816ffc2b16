# SPDX-License-Identifier: GPL-3.0-or-later
"""The witness of answers: who called what, and what of the answer is not Google's form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cloudspill_sandbox.engine.call import Call, Document, Principal, Reply, Service, Wire
from cloudspill_sandbox.engine.discovery import load_api
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.witness import Witness

METHOD = "compute.zones.get"


def call() -> Call:
    headers = {"User-Agent": "libcloud/3", "Authorization": "Bearer secret"}
    wire = Wire("GET", "https://compute.googleapis.com", headers)
    return Call(METHOD, {"project": "p", "zone": "z"}, {}, {}, Principal("a@b"), wire)


def watched(file: Path, answer: Document | Reply | ApiError) -> Service:
    async def handler(_: Call) -> Document | Reply:
        if isinstance(answer, ApiError):
            raise answer
        return answer

    apis = {"compute": load_api("compute", "v1")}
    return Witness(file).watching({"compute": {METHOD: handler}}, apis)["compute"]


def kept(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


async def test_a_call_is_kept_with_the_client_s_name_and_without_its_token(tmp_path: Path) -> None:
    file = tmp_path / "answers"
    answer = {"kind": "compute#zone", "name": "z"}
    assert await watched(file, answer)[METHOD](call()) == answer
    origin = "https://compute.googleapis.com"
    assert kept(file) == [{"method": METHOD, "origin": origin, "agent": "libcloud/3", "faults": []}]


@pytest.mark.parametrize("wrap", [dict, lambda document: Reply(201, document)])
async def test_what_google_s_schema_does_not_have_is_told(tmp_path: Path, wrap: Any) -> None:
    file = tmp_path / "answers"
    await watched(file, wrap({"name": "z", "hue": "red", "region": 3}))[METHOD](call())
    (line,) = kept(file)
    assert line["faults"] == ["Zone.hue: no such field", "Zone.region: 3 is no string"]


async def test_media_have_no_form_and_refusals_are_not_kept(tmp_path: Path) -> None:
    file = tmp_path / "answers"
    await watched(file, Reply(200, b"bytes"))[METHOD](call())
    assert [line["faults"] for line in kept(file)] == [[]]
    with pytest.raises(ApiError):
        await watched(file, ApiError(404, "notFound", "no"))[METHOD](call())
    assert len(kept(file)) == 1
