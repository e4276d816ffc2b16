# SPDX-License-Identifier: GPL-3.0-or-later
"""The client of Compute Engine: lists, absent resources, operations."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from ansible_collections.cloudspill.gcp.plugins.module_utils.api_errors import (
    CloudError,
    DeadlineError,
    OperationError,
)
from ansible_collections.cloudspill.gcp.plugins.module_utils.compute import Compute
from ansible_collections.cloudspill.gcp.plugins.module_utils.links import (
    inside_project,
    resource_name,
    resource_path,
)

OPERATION = "https://www.googleapis.com/compute/v1/projects/acme/zones/z/operations/op-1"


@pytest.mark.parametrize(
    "reference",
    [
        "https://www.googleapis.com/compute/v1/projects/acme/global/networks/default",
        "https://compute.googleapis.com/compute/v1/projects/acme/global/networks/default",
        "projects/acme/global/networks/default",
        "/projects/acme/global/networks/default",
        "global/networks/default",
    ],
)
def test_every_form_of_a_reference_is_understood(reference: str) -> None:
    assert resource_path(reference, "acme") == "projects/acme/global/networks/default"
    assert inside_project(reference, "acme") == "global/networks/default"
    assert resource_name(reference) == "default"


def test_a_bare_name_is_no_reference() -> None:
    with pytest.raises(ValueError, match="write it as"):
        resource_path("default", "acme")


def test_an_absent_resource_is_none(compute: Compute) -> None:
    assert compute.find("global/networks/default") is None


def test_an_absent_project_is_an_error_that_names_the_variable(
    google: Any, compute: Compute
) -> None:
    error = {"code": 404, "message": "The resource 'projects/acme' was not found", "errors": []}
    google.answers = [(404, {"error": error})] * 2
    with pytest.raises(CloudError, match=r"no project acme.*set gcp_project"):
        compute.find("global/networks/default")
    with pytest.raises(CloudError, match=r"no project acme.*GCP_PROJECT in the environment"):
        compute.list_by_scope("instances")


def test_nothing_is_in_a_zone_that_does_not_exist(google: Any, compute: Compute) -> None:
    message = "Invalid value for field 'zone': 'mars-1'. Unknown zone."
    google.answers = [(400, {"error": {"code": 400, "message": message}})]
    assert compute.find("zones/mars-1/instances/a") is None


def test_all_pages_of_a_list_are_read(google: Any, compute: Compute) -> None:
    google.answers = [
        (200, {"items": [{"name": "a"}], "nextPageToken": "t1"}),
        (200, {"nextPageToken": "t2"}),
        (200, {"items": [{"name": "b"}]}),
    ]
    names = [item["name"] for item in compute.list_items("global/images", filter="x")]
    assert names == ["a", "b"]
    assert [r.query.get("pageToken") for r in google.requests] == [None, "t1", "t2"]
    assert {r.query["filter"] for r in google.requests} == {"x"}


def test_a_change_is_over_when_its_operation_is(google: Any, compute: Compute) -> None:
    google.add("zones/z/instances/a")
    google.operations = [
        {"status": "RUNNING", "name": "op-1", "selfLink": OPERATION},
        {"status": "RUNNING", "name": "op-1", "selfLink": OPERATION},
        {"status": "DONE", "name": "op-1", "selfLink": OPERATION},
    ]
    done = compute.change("DELETE", "zones/z/instances/a", deadline=60)
    assert done["status"] == "DONE"
    assert [r.path for r in google.requests[1:]] == [
        "/projects/acme/zones/z/operations/op-1/wait"
    ] * 2


def test_every_change_carries_its_own_request_id(google: Any, compute: Compute) -> None:
    for name in ("a", "b"):
        google.add(f"zones/z/instances/{name}")
        compute.change("DELETE", f"zones/z/instances/{name}", deadline=60)
    first, second = (request.query["requestId"] for request in google.requests)
    assert first != second


def test_a_repeated_change_carries_the_same_request_id(google: Any, compute: Compute) -> None:
    google.add("zones/z/instances/a")
    google.answers = [(503, {"error": {"code": 503, "message": "later"}})]
    compute.change("DELETE", "zones/z/instances/a", deadline=60)
    assert len({request.query["requestId"] for request in google.requests}) == 1
    assert len(google.requests) == 2


def test_an_operation_that_fails_says_googles_code(google: Any, compute: Compute) -> None:
    errors = [{"code": "ZONE_RESOURCE_POOL_EXHAUSTED", "message": "The zone is full."}]
    google.operations = [{"status": "DONE", "error": {"errors": errors}}]
    google.add("zones/z/instances/a")
    with pytest.raises(OperationError) as caught:
        compute.change("DELETE", "zones/z/instances/a", deadline=60)
    assert caught.value.code == "ZONE_RESOURCE_POOL_EXHAUSTED"
    assert str(caught.value) == (
        "zones/z/instances/a: The zone is full (ZONE_RESOURCE_POOL_EXHAUSTED)"
    )


def test_an_operation_that_is_not_done_in_time_is_named(
    google: Any, compute: Compute, time: Any
) -> None:
    google.add("zones/z/instances/a")
    google.operations = [{"status": "RUNNING", "name": "op-1", "selfLink": OPERATION}] * 9
    google.before_change = lambda: time.sleep(100)
    with pytest.raises(DeadlineError, match=r"operation op-1 is RUNNING.*run again"):
        compute.change("DELETE", "zones/z/instances/a", deadline=0)


def test_an_operation_whose_answer_comes_after_the_deadline_is_asked_for_once(
    google: Any, compute: Compute, time: Any
) -> None:
    given_up = threading.Event()

    def hold() -> None:
        time.sleep(1)
        given_up.wait(10)

    google.before_wait = hold
    google.operations = [{"status": "DONE", "selfLink": OPERATION}]
    operation = {"status": "RUNNING", "name": "op-1", "selfLink": OPERATION}
    try:
        with pytest.raises(DeadlineError, match=r"operation op-1 is RUNNING.*run again"):
            compute.await_operation(operation, "zones/z/instances/a", 0.2)
    finally:
        given_up.set()
    assert len(google.requests) == 1
