# SPDX-License-Identifier: GPL-3.0-or-later
"""Setting a project up with google-api-python-client: accounts, keys, services.

https://googleapis.github.io/google-api-python-client/docs/dyn/iam_v1.html and serviceusage_v1.html.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import google.auth.transport.requests
import pytest
from google.auth import exceptions, impersonated_credentials
from google.auth.credentials import Credentials
from google.oauth2 import service_account

from .conftest import SCOPES
from .target import Target

Named = Callable[[str], str]
Service = Callable[[str], Any]

COMPUTE = "compute.googleapis.com"


@pytest.fixture
def disable(service: Service, target: Target) -> Iterator[Callable[[str], None]]:
    """Disable a service; all are enabled again afterwards."""
    services, disabled = service("serviceusage").services(), []

    def off(name: str) -> None:
        full = f"projects/{target.project}/services/{name}"
        disabled.append(full)
        operation = services.disable(name=full, body={"disableDependentServices": True}).execute()
        assert operation["done"]

    yield off
    for full in disabled:
        services.enable(name=full, body={}).execute()


def credentials(key: dict[str, Any]) -> service_account.Credentials:
    """Return google-auth's credentials of a created key."""
    key_file = json.loads(base64.b64decode(key["privateKeyData"]))
    made: service_account.Credentials = service_account.Credentials.from_service_account_info(
        key_file, scopes=SCOPES
    )
    return made


def refresh(asked: Credentials) -> None:
    """Get an access token."""
    asked.refresh(google.auth.transport.requests.Request())


def refused(request: Any) -> Any:
    """Execute a request that must be refused; return the client's error."""
    from googleapiclient.errors import HttpError  # type: ignore[import-untyped]

    with pytest.raises(HttpError) as refusal:
        request.execute()
    return refusal.value


def test_a_key_authenticates_until_it_is_deleted(service: Service, account: dict[str, Any]) -> None:
    keys = service("iam").projects().serviceAccounts().keys()
    key = keys.create(name=account["name"], body={}).execute()
    asked = credentials(key)
    refresh(asked)
    assert asked.token
    keys.delete(name=key["name"]).execute()
    with pytest.raises(exceptions.RefreshError, match=r"Invalid JWT Signature\."):
        refresh(credentials(key))


def test_a_disabled_account_is_refused_everywhere(
    service: Service, account: dict[str, Any], target: Target
) -> None:
    accounts = service("iam").projects().serviceAccounts()
    key = accounts.keys().create(name=account["name"], body={}).execute()
    asked = credentials(key)
    refresh(asked)
    accounts.disable(name=account["name"], body={}).execute()
    zones = f"https://{COMPUTE}/compute/v1/projects/{target.project}/zones"
    with (
        google.auth.transport.requests.AuthorizedSession(asked) as session,
        # It asks for another token when the first one is refused, and does not get it.
        pytest.raises(exceptions.RefreshError, match="invalid_grant"),
    ):
        session.get(zones, timeout=30)
    accounts.enable(name=account["name"], body={}).execute()
    refresh(asked)


def test_a_token_creator_speaks_for_an_account(
    service: Service, account: dict[str, Any], target: Target
) -> None:
    # https://googleapis.dev/python/google-auth/latest/reference/google.auth.impersonated_credentials.html
    source = service_account.Credentials.from_service_account_file(
        str(target.key_file), scopes=SCOPES
    )

    def impersonated() -> impersonated_credentials.Credentials:
        return impersonated_credentials.Credentials(source, account["email"], SCOPES, lifetime=300)

    with pytest.raises(exceptions.RefreshError, match=r"iam\.serviceAccounts\.getAccessToken"):
        refresh(impersonated())
    role, member = "roles/iam.serviceAccountTokenCreator", f"serviceAccount:{target.email}"
    policy = {"bindings": [{"role": role, "members": [member]}]}
    accounts = service("iam").projects().serviceAccounts()
    accounts.setIamPolicy(resource=account["name"], body={"policy": policy}).execute()
    speaking = impersonated()
    refresh(speaking)
    zones = f"https://{COMPUTE}/compute/v1/projects/{target.project}/zones"
    with google.auth.transport.requests.AuthorizedSession(speaking) as session:
        refused = session.get(zones, timeout=30)
    assert refused.status_code == 403  # as the account itself, which has no role
    assert "Required 'compute.zones.list' permission" in refused.text


def test_an_account_is_not_made_twice(
    service: Service, account: dict[str, Any], target: Target
) -> None:
    account_id = account["email"].partition("@")[0]
    accounts = service("iam").projects().serviceAccounts()
    error = refused(
        accounts.create(name=f"projects/{target.project}", body={"accountId": account_id})
    )
    assert error.status_code == 409
    assert error.reason == (
        f"Service account {account_id} already exists within project projects/{target.project}."
    )
    assert error.error_details[0]["resourceName"] == account["name"]


def test_accounts_are_listed_by_pages(
    service: Service, account: dict[str, Any], target: Target
) -> None:
    accounts = service("iam").projects().serviceAccounts()
    request = accounts.list(name=f"projects/{target.project}", pageSize=1)
    listed = []
    while request is not None:
        page = request.execute()
        listed += page["accounts"]
        request = accounts.list_next(request, page)
    assert account in listed
    assert target.email in {each["email"] for each in listed}


def test_an_account_s_policy_is_read_and_written(
    service: Service, account: dict[str, Any], target: Target
) -> None:
    accounts, name = service("iam").projects().serviceAccounts(), account["name"]
    policy = accounts.getIamPolicy(resource=name).execute()
    role, member = "roles/iam.serviceAccountUser", f"serviceAccount:{target.email}"
    wanted = {"etag": policy["etag"], "bindings": [{"role": role, "members": [member]}]}
    accounts.setIamPolicy(resource=name, body={"policy": wanted}).execute()
    assert accounts.getIamPolicy(resource=name).execute()["bindings"] == wanted["bindings"]
    error = refused(accounts.setIamPolicy(resource=name, body={"policy": wanted}))
    assert error.status_code == 409


def test_a_disabled_service_is_refused_until_it_is_enabled(
    service: Service, target: Target, sandbox_only: Target, disable: Callable[[str], None]
) -> None:
    zones = service("compute").zones()
    disable(COMPUTE)
    error = refused(zones.list(project=target.project))
    assert error.status_code == 403
    number = (
        service("cloudresourcemanager")
        .projects()
        .get(projectId=target.project)
        .execute()["projectNumber"]
    )
    page = f"https://console.developers.google.com/apis/api/{COMPUTE}/overview?project={number}"
    assert error.reason == (
        f"Compute Engine API has not been used in project {number} before or it is disabled. "
        f"Enable it by visiting {page} then retry. If you enabled this API recently, wait a few "
        "minutes for the action to propagate to our systems and retry."
    )
    info = error.error_details[0]
    assert (info["reason"], info["metadata"]["activationUrl"]) == ("SERVICE_DISABLED", page)
    name = f"projects/{target.project}/services/{COMPUTE}"
    service("serviceusage").services().enable(name=name, body={}).execute()
    assert zones.list(project=target.project).execute()["items"]


def test_google_cloud_compute_is_told_that_the_service_is_disabled(
    target: Target, sandbox_only: Target, disable: Callable[[str], None]
) -> None:
    from google.api_core.exceptions import Forbidden
    from google.cloud import compute_v1

    disable(COMPUTE)
    with compute_v1.ZonesClient() as client, pytest.raises(Forbidden) as refusal:
        client.get(project=target.project, zone=target.zone)
    assert refusal.value.reason == "SERVICE_DISABLED"
    assert refusal.value.metadata["service"] == COMPUTE
