# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls of APIs that a project has not enabled."""

from __future__ import annotations

import pytest

from cloudspill_sandbox.engine.call import Call, Document, Principal
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.identity.iam import Iam
from cloudspill_sandbox.identity.service_activation import ServiceActivation
from cloudspill_sandbox.identity.service_usage import ServiceUsage

from .conftest import Identity
from .iam_calls import NUMBER, OWNER

LIST = "compute.instances.list"


@pytest.fixture
def activation(identity: Identity, iam: Iam, usage: ServiceUsage) -> ServiceActivation:
    identity.store.put("buckets/photos", {"name": "photos", "projectNumber": NUMBER})
    return ServiceActivation(identity.store, usage, iam)


def call(method: str, email: str = OWNER, query: Document | None = None, **path: str) -> Call:
    return Call(method, path, query or {}, {}, Principal(email))


def disable(usage: ServiceUsage, name: str) -> None:
    usage.disable("p1234", f"{name}.googleapis.com", dependents=True, check_use=False)


def refused(activation: ServiceActivation, asked: Call) -> ApiError:
    with pytest.raises(ApiError) as caught:
        activation.check(asked)
    return caught.value


def test_a_call_of_a_disabled_api_is_google_s_403(
    activation: ServiceActivation, usage: ServiceUsage
) -> None:
    activation.check(call(LIST, project="p1234"))
    disable(usage, "compute")
    error = refused(activation, call(LIST, project="p1234"))
    page = (
        "https://console.developers.google.com/apis/api/compute.googleapis.com/overview"
        f"?project={NUMBER}"
    )
    message = (
        f"Compute Engine API has not been used in project {NUMBER} before or it is disabled. "
        f"Enable it by visiting {page} then retry. If you enabled this API recently, wait a few "
        "minutes for the action to propagate to our systems and retry."
    )
    body = error.body()["error"]
    assert (body["code"], body["status"], body["message"]) == (403, "PERMISSION_DENIED", message)
    (item,) = body["errors"]
    assert (item["reason"], item["domain"]) == ("accessNotConfigured", "usageLimits")
    details = {detail["@type"].rpartition(".")[2]: detail for detail in body["details"]}
    assert details["ErrorInfo"]["reason"] == "SERVICE_DISABLED"
    assert details["ErrorInfo"]["metadata"] == {
        "activationUrl": page,
        "consumer": f"projects/{NUMBER}",
        "containerInfo": NUMBER,
        "service": "compute.googleapis.com",
        "serviceTitle": "Compute Engine API",
    }
    assert details["Help"]["links"][0]["url"] == page
    assert details["LocalizedMessage"]["message"] == message
    usage.enable("p1234", ["compute.googleapis.com"])
    activation.check(call(LIST, project="p1234"))


@pytest.mark.parametrize(
    ("service", "method", "title", "path", "query"),
    [
        ("compute", LIST, "Compute Engine API", {"project": NUMBER}, {}),
        ("storage-api", "storage.buckets.get", "Cloud Storage JSON API", {"bucket": "photos"}, {}),
        ("storage", "storage.buckets.list", "Cloud Storage JSON API", {}, {"project": "p1234"}),
        (
            "iam",
            "iam.projects.serviceAccounts.list",
            "Identity and Access Management (IAM) API",
            {"name": "projects/p1234"},
            {},
        ),
        (
            "iam",
            "iam.projects.serviceAccounts.get",
            "Identity and Access Management (IAM) API",
            {"name": f"projects/-/serviceAccounts/{OWNER}"},
            {},
        ),
        (
            "cloudresourcemanager",
            "cloudresourcemanager.projects.getIamPolicy",
            "Cloud Resource Manager API",
            {"resource": "p1234"},
            {},
        ),
    ],
)
def test_a_call_is_refused_however_it_names_its_project(
    activation: ServiceActivation,
    usage: ServiceUsage,
    service: str,
    method: str,
    title: str,
    path: dict[str, str],
    query: Document,
) -> None:
    asked = call(method, query=query, **path)
    activation.check(asked)
    disable(usage, service)
    error = refused(activation, asked)
    assert error.message.startswith(f"{title} has not been used in project {NUMBER} before")


def test_a_stranger_s_call_counts_for_the_project_that_it_names(
    activation: ServiceActivation, usage: ServiceUsage
) -> None:
    disable(usage, "storage-api")
    asked = call("storage.objects.get", email="", bucket="photos", object="o")
    assert refused(activation, asked).status == 403


def test_a_project_that_is_not_there_is_for_others_to_refuse(
    activation: ServiceActivation, usage: ServiceUsage
) -> None:
    disable(usage, "compute")
    activation.check(call(LIST, project="no-such-project"))
    activation.check(call("compute.images.list", project="debian-cloud"))


def test_service_usage_can_always_be_enabled_again(
    activation: ServiceActivation, usage: ServiceUsage
) -> None:
    disable(usage, "serviceusage")
    name = "projects/p1234/services/serviceusage.googleapis.com"
    activation.check(call("serviceusage.services.enable", name=name))


def test_a_call_counts_as_use(activation: ServiceActivation, usage: ServiceUsage) -> None:
    activation.check(call(LIST, project="p1234"))
    with pytest.raises(ApiError, match=r"compute\.googleapis\.com have usage in the last 30 days"):
        usage.disable("p1234", "compute.googleapis.com", dependents=False, check_use=True)
