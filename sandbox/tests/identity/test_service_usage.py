# SPDX-License-Identifier: GPL-3.0-or-later
"""Service Usage v1: https://cloud.google.com/service-usage/docs/reference/rest/v1/services."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.identity.iam import Iam
from cloudspill_sandbox.identity.service_usage import NOTHING_TO_DO

from .conftest import Clock
from .iam_calls import NUMBER, PROJECT, Caller

SERVICES = "serviceusage.services"
PARENT = f"projects/{NUMBER}"
STRANGER = "stranger-1@p1234.iam.gserviceaccount.com"
LATER = 4 * 86_400

Refusal = Callable[..., ApiError]


def named(service: str) -> str:
    return f"{PROJECT}/services/{service}.googleapis.com"


def state(ask: Caller, service: str) -> str:
    return str(ask(f"{SERVICES}.get", name=named(service))["state"])


def enabled(ask: Caller) -> set[str]:
    query = {"filter": "state:ENABLED", "pageSize": 200}
    page = ask(f"{SERVICES}.list", query=query, parent=PROJECT)
    return {
        service["config"]["name"].removesuffix(".googleapis.com") for service in page["services"]
    }


def test_a_new_project_has_what_the_sandbox_implements(ask: Caller) -> None:
    assert enabled(ask) == {
        "cloudresourcemanager",
        "compute",
        "iam",
        "iamcredentials",
        "oslogin",
        "serviceusage",
        "storage",
        "storage-api",
        "storage-component",
    }


@pytest.mark.parametrize("project", [PROJECT, PARENT])
def test_a_service_is_named_by_the_project_s_number(ask: Caller, project: str) -> None:
    service = ask(f"{SERVICES}.get", name=f"{project}/services/compute.googleapis.com")
    assert service["name"] == f"{PARENT}/services/compute.googleapis.com"
    assert (service["parent"], service["state"]) == (PARENT, "ENABLED")
    assert service["config"]["title"] == "Compute Engine API"


def test_enabling_is_an_operation_that_can_be_asked_for(ask: Caller) -> None:
    assert state(ask, "dns") == "DISABLED"
    operation = ask(f"{SERVICES}.enable", {}, name=named("dns"))
    assert operation["done"] is True
    assert operation["name"].startswith(f"operations/acat.p2-{NUMBER}-")
    response = operation["response"]
    assert response["@type"].endswith("google.api.serviceusage.v1.EnableServiceResponse")
    assert response["service"] == ask(f"{SERVICES}.get", name=named("dns"))
    assert response["service"]["state"] == "ENABLED"
    assert ask("serviceusage.operations.get", name=operation["name"]) == operation


def test_what_is_enabled_needs_no_operation(ask: Caller, refusal: Refusal) -> None:
    operation = ask(f"{SERVICES}.enable", {}, name=named("compute"))
    assert (operation["name"], operation["done"]) == (NOTHING_TO_DO, True)
    assert operation["response"]["service"]["state"] == "ENABLED"
    error = refusal(ask, "serviceusage.operations.get", name=NOTHING_TO_DO)
    assert (error.status, error.code) == (404, "NOT_FOUND")


def test_enabling_enables_what_is_needed(ask: Caller) -> None:
    ask(f"{SERVICES}.disable", {"disableDependentServices": True}, name=named("oslogin"))
    assert not {"oslogin", "compute"} & enabled(ask)
    ask(f"{SERVICES}.enable", {}, name=named("container"))
    assert {"oslogin", "compute", "container"} <= enabled(ask)


def test_a_service_that_is_needed_is_not_disabled_alone(ask: Caller, refusal: Refusal) -> None:
    ask(f"{SERVICES}.enable", {}, name=named("container"))
    error = refusal(ask, f"{SERVICES}.disable", {}, name=named("oslogin"))
    assert (error.status, error.code) == (400, "FAILED_PRECONDITION")
    listed = "compute.googleapis.com,container.googleapis.com"
    assert error.message == (
        "The service oslogin.googleapis.com is depended on by the following active service(s): "
        f"{listed}; Please specify disable_dependent_services=true if you want to proceed with "
        "disabling all services."
    )
    precondition, info = error.details
    assert precondition["violations"][0]["type"] == "googleapis.com"
    assert info["reason"] == "COMMON_SU_SERVICE_HAS_DEPENDENT_SERVICES"
    assert info["metadata"] == {"service_name": "oslogin.googleapis.com", "services": listed}
    assert state(ask, "oslogin") == "ENABLED"


def test_what_is_disabled_is_disabled_again(ask: Caller) -> None:
    operation = ask(f"{SERVICES}.disable", {}, name=named("compute"))
    assert operation["response"]["service"]["state"] == "DISABLED"
    assert ask(f"{SERVICES}.disable", {}, name=named("compute"))["name"] == NOTHING_TO_DO


def test_a_check_refuses_what_was_enabled_or_used_of_late(
    ask: Caller, refusal: Refusal, clock: Clock
) -> None:
    check = {"checkIfServiceHasUsage": "CHECK"}
    ask(f"{SERVICES}.enable", {}, name=named("dns"))
    error = refusal(ask, f"{SERVICES}.disable", check, name=named("dns"))
    assert (error.status, error.code) == (400, "FAILED_PRECONDITION")
    assert error.details[1]["reason"] == "COMMON_SU_SERVICE_HAS_USAGE"
    assert "dns.googleapis.com" in error.message
    clock.now += LATER
    ask(f"{SERVICES}.disable", check, name=named("dns"))
    assert state(ask, "dns") == "DISABLED"


def test_use_is_remembered_for_the_check(
    ask: Caller, refusal: Refusal, clock: Clock, note_use: Callable[[str], None]
) -> None:
    check = {"checkIfServiceHasUsage": "CHECK"}
    note_use("compute.googleapis.com")
    clock.now += LATER
    assert refusal(ask, f"{SERVICES}.disable", check, name=named("compute")).status == 400
    clock.now += 30 * 86_400
    ask(f"{SERVICES}.disable", check, name=named("compute"))
    assert state(ask, "compute") == "DISABLED"


@pytest.mark.parametrize("verb", ["get", "enable", "disable"])
def test_an_unknown_service_is_refused_as_one_that_is_not_for_you(
    ask: Caller, refusal: Refusal, verb: str
) -> None:
    body: Document | None = None if verb == "get" else {}
    error = refusal(ask, f"{SERVICES}.{verb}", body, name=named("fake-service"))
    assert (error.status, error.code) == (403, "PERMISSION_DENIED")
    assert error.message == (
        "Not found or permission denied for service(s): fake-service.googleapis.com."
    )
    reason = "SERVICE_CONFIG_NOT_FOUND_OR_PERMISSION_DENIED"
    assert error.details[1]["reason"] == reason
    assert error.details[1]["metadata"] == {"services": "fake-service.googleapis.com"}


def test_a_batch_is_enabled_whole_or_not_at_all(ask: Caller, refusal: Refusal) -> None:
    body = {"serviceIds": ["dns.googleapis.com", "run.googleapis.com"]}
    operation = ask(f"{SERVICES}.batchEnable", body, parent=PROJECT)
    services = operation["response"]["services"]
    assert [service["config"]["name"] for service in services] == body["serviceIds"]
    assert {"dns", "run"} <= enabled(ask)
    body = {"serviceIds": ["pubsub.googleapis.com", "nope.googleapis.com"]}
    assert refusal(ask, f"{SERVICES}.batchEnable", body, parent=PROJECT).status == 403
    assert state(ask, "pubsub") == "DISABLED"


@pytest.mark.parametrize("count", [0, 21])
def test_a_batch_has_twenty_at_most(ask: Caller, refusal: Refusal, count: int) -> None:
    body = {"serviceIds": ["dns.googleapis.com"] * count}
    error = refusal(ask, f"{SERVICES}.batchEnable", body, parent=PROJECT)
    assert (error.status, error.code) == (400, "INVALID_ARGUMENT")


def test_services_are_got_together(ask: Caller, refusal: Refusal) -> None:
    query: Document = {"names": [named("compute"), named("dns")]}
    got = ask(f"{SERVICES}.batchGet", query=query, parent=PROJECT)["services"]
    assert [service["state"] for service in got] == ["ENABLED", "DISABLED"]
    query = {"names": ["projects/other/services/dns.googleapis.com"]}
    assert refusal(ask, f"{SERVICES}.batchGet", query=query, parent=PROJECT).status == 404


def test_all_services_are_listed_in_pages(ask: Caller) -> None:
    names: list[str] = []
    token: str | None = ""
    while token is not None:
        query: Document = {"pageSize": 1000} | ({"pageToken": token} if token else {})
        page = ask(f"{SERVICES}.list", query=query, parent=PROJECT)
        assert len(page["services"]) <= 200
        names += [service["config"]["name"] for service in page["services"]]
        token = page.get("nextPageToken")
    assert len(names) == len(set(names)) > 300
    assert {"compute.googleapis.com", "storage-api.googleapis.com"} <= set(names)
    first = ask(f"{SERVICES}.list", parent=PROJECT)
    assert len(first["services"]) == 50


def test_a_filter_is_one_of_two(ask: Caller, refusal: Refusal) -> None:
    error = refusal(ask, f"{SERVICES}.list", query={"filter": "name:compute"}, parent=PROJECT)
    assert (error.status, error.code) == (400, "INVALID_ARGUMENT")
    query = {"filter": "state:DISABLED", "pageSize": 200}
    page = ask(f"{SERVICES}.list", query=query, parent=PROJECT)
    assert {service["state"] for service in page["services"]} == {"DISABLED"}


@pytest.mark.parametrize(
    ("verb", "message"),
    [
        ("enable", f"Permission denied to enable service [{named('dns').rpartition('/')[2]}]"),
        ("get", f"Permission denied to get service [{named('dns').rpartition('/')[2]}]"),
        ("list", f"Permission denied to list services for consumer container [{PROJECT}]"),
    ],
)
def test_a_stranger_is_refused(
    ask: Caller, refusal: Refusal, iam: Iam, verb: str, message: str
) -> None:
    iam.accounts.create("p1234", "stranger-1")
    path = {"parent": PROJECT} if verb == "list" else {"name": named("dns")}
    error = refusal(ask.by(STRANGER), f"{SERVICES}.{verb}", **path)
    assert (error.status, error.code, error.message) == (403, "PERMISSION_DENIED", message)
    assert error.details[1]["reason"] == "AUTH_PERMISSION_DENIED"


def test_a_stranger_sees_no_operation(ask: Caller, refusal: Refusal, iam: Iam) -> None:
    iam.accounts.create("p1234", "stranger-1")
    name = ask(f"{SERVICES}.enable", {}, name=named("dns"))["name"]
    assert refusal(ask.by(STRANGER), "serviceusage.operations.get", name=name).status == 403


def test_another_project_has_no_services(ask: Caller, refusal: Refusal) -> None:
    for parent in ("projects/other", "folders/1"):
        error = refusal(ask, f"{SERVICES}.list", parent=parent)
        assert (error.status, error.code) == (403, "PERMISSION_DENIED")
