# SPDX-License-Identifier: GPL-3.0-or-later
"""Compute Engine's beta, which is served with what v1 has, and with methods of its own.

What a version is for: https://cloud.google.com/compute/docs/api/prereqs. What beta has beyond v1
is in its discovery document (https://www.googleapis.com/discovery/v1/apis/compute/beta/rest).
"""

from __future__ import annotations

import json

import pytest

from cloudspill_sandbox.engine.discovery import load_api
from cloudspill_sandbox.front.http import HttpRequest, headers

from .conftest import INSTANCES, RunningFront, World

BETA = INSTANCES.replace("/v1/", "/beta/")
HOSTS = ["compute.googleapis.com", "www.googleapis.com", "127.0.0.1"]


@pytest.mark.parametrize("host", HOSTS)
async def test_a_call_of_beta_reaches_the_same_handler(world: World, host: str) -> None:
    body = b'{"name": "web", "disks": [{"diskSizeGb": 10}]}'
    assert (await world.ask("POST", BETA, body, host=host)).status == 200
    assert (await world.ask("GET", f"{BETA}/web?fields=name", host=host)).status == 200
    made, read = world.stub.calls
    assert (made.method, read.method) == ("compute.instances.insert", "compute.instances.get")
    assert made.body == {"name": "web", "disks": [{"diskSizeGb": "10"}]}
    assert read.path == {"project": "p1234", "zone": "us-west1-b", "instance": "web"}


@pytest.mark.parametrize("version", ["v1", "beta"])
async def test_a_batch_may_be_sent_to_either_version(
    world: World, running: RunningFront, version: str
) -> None:
    call = f"GET /compute/{version}{INSTANCES.removeprefix('/compute/v1')}/a HTTP/1.1"
    text = f"--B\r\nContent-Type: application/http\r\n\r\n{call}\r\n--B--\r\n"
    fields = {
        "Authorization": f"Bearer {world.token}",
        "Content-Type": "multipart/mixed; boundary=B",
    }
    target = f"/batch/compute/{version}"
    request = HttpRequest("POST", "compute.googleapis.com", target, headers(fields), text.encode())
    answer = await running.front.answer(request)
    assert answer.status == 200
    assert b"HTTP/1.1 200 OK" in answer.body


async def test_a_field_that_beta_alone_has_is_refused_by_name(world: World) -> None:
    body = b'{"name": "web", "postKeyRevocationActionType": "SHUTDOWN"}'
    answer = await world.ask("POST", BETA, body)
    assert answer.status == 400
    message = json.loads(answer.body)["error"]["message"]
    assert "Unknown name \"postKeyRevocationActionType\" at 'resource'" in message
    assert world.stub.calls == []


async def test_a_method_that_beta_alone_has_is_a_501_that_names_it(world: World) -> None:
    answer = await world.ask("GET", "/compute/beta/projects/p1234/global/snapshotGroups")
    assert answer.status == 501
    error = json.loads(answer.body)["error"]
    assert error["errors"][0]["reason"] == "notImplemented"
    assert error["message"] == (
        "compute.snapshotGroups.list is not implemented by this sandbox (docs/fidelity.md)"
    )


@pytest.mark.parametrize("path", ["aggregated/snapshots", "global/snapshotGroups"])
async def test_a_method_that_beta_alone_has_is_nobody_s_in_v1(world: World, path: str) -> None:
    assert (await world.ask("GET", f"/compute/v1/projects/p1234/{path}")).status == 404


async def test_what_no_version_has_is_nobody_s(world: World) -> None:
    assert (await world.ask("GET", "/compute/beta/projects/p1234/global/unheard")).status == 404


def test_methods_and_schemas_of_the_version_served_win() -> None:
    compute = load_api("compute", "v1")
    assert compute.methods["compute.snapshots.list"].service_path == "compute/v1/"
    assert compute.methods["compute.snapshots.aggregatedList"].service_path == "compute/beta/"
    assert "SnapshotAggregatedList" in compute.schemas
    assert "postKeyRevocationActionType" not in compute.schemas["Instance"].properties


@pytest.mark.parametrize("path", ["/compute/alpha/projects/p1234", "/storage/beta/b", "/compute/"])
async def test_other_versions_are_nobody_s(world: World, path: str) -> None:
    assert (await world.ask("GET", path)).status == 404


def test_an_api_of_one_version_has_one_path() -> None:
    storage = load_api("storage", "v1")
    assert storage.entrances == ((storage.service_path, storage.routes),)
    assert storage.batch_paths == (storage.batch_path,)
