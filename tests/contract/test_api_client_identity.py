# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts, keys, roles, tokens and services from their making to their end.

By google-api-python-client, every method of its documents that the sandbox has:
https://googleapis.github.io/google-api-python-client/docs/dyn/iam_v1.html, iamcredentials_v1.html,
serviceusage_v1.html and cloudresourcemanager_v1.html.
"""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509

from .certificates import certificate
from .conftest import SCOPES
from .target import Target

DEADLINE = 120.0
PROBES = ["policyanalyzer.googleapis.com", "policytroubleshooter.googleapis.com"]
Json = dict[str, Any]
Named = Callable[[str], str]
Service = Callable[[str], Any]


@pytest.fixture
def accounts(service: Service) -> Any:
    return service("iam").projects().serviceAccounts()


def eventually(ask: Callable[[], Any], holds: Callable[[Any], bool]) -> Any:
    """Return an answer when it holds; Google Cloud takes up to minutes for some of these."""
    deadline = time.monotonic() + DEADLINE
    while not holds(answer := ask()):
        assert time.monotonic() < deadline, answer
        time.sleep(1)
    return answer


def test_an_account_is_changed_disabled_and_brought_back(
    accounts: Any, account: Json, target: Target
) -> None:
    name = account["name"]
    assert accounts.get(name=name).execute()["uniqueId"] == account["uniqueId"]
    body = {"serviceAccount": {"description": "Changed"}, "updateMask": "description"}
    patched = accounts.patch(name=name, body=body).execute()
    assert (patched["displayName"], patched["description"]) == ("Of a test", "Changed")
    replaced = {"displayName": "Replaced", "etag": patched["etag"]}
    assert accounts.update(name=name, body=replaced).execute()["displayName"] == "Replaced"
    accounts.disable(name=name, body={}).execute()
    assert accounts.get(name=name).execute()["disabled"] is True
    accounts.enable(name=name, body={}).execute()
    accounts.delete(name=name).execute()
    deleted = f"projects/{target.project}/serviceAccounts/{account['uniqueId']}"
    restored = accounts.undelete(name=deleted, body={}).execute()["restoredAccount"]
    assert restored["email"] == account["email"]
    asked = {"permissions": ["iam.serviceAccounts.actAs", "iam.serviceAccounts.delete"]}
    may = accounts.testIamPermissions(resource=name, body=asked).execute()
    assert sorted(may["permissions"]) == asked["permissions"]


def test_a_key_is_uploaded_read_disabled_and_deleted(accounts: Any, account: Json) -> None:
    # https://cloud.google.com/iam/docs/keys-upload
    keys, name = accounts.keys(), account["name"]
    data = {"publicKeyData": base64.b64encode(certificate()).decode()}
    key = keys.upload(name=name, body=data).execute()["name"]
    listed = keys.list(name=name, keyTypes="USER_MANAGED").execute()["keys"]
    assert [(each["name"], each["keyOrigin"]) for each in listed] == [(key, "USER_PROVIDED")]
    read = keys.get(name=key, publicKeyType="TYPE_X509_PEM_FILE").execute()
    kept, uploaded = (base64.b64decode(each["publicKeyData"]) for each in (read, data))
    assert x509.load_pem_x509_certificate(kept) == x509.load_pem_x509_certificate(uploaded)
    keys.disable(name=key, body={}).execute()
    assert keys.get(name=key).execute()["disabled"] is True
    keys.enable(name=key, body={}).execute()
    assert not keys.get(name=key).execute().get("disabled")
    keys.delete(name=key).execute()
    assert "keys" not in keys.list(name=name, keyTypes="USER_MANAGED").execute()


def test_a_role_is_made_changed_deleted_and_brought_back(
    service: Service, target: Target, named: Named
) -> None:
    # https://cloud.google.com/iam/docs/creating-custom-roles
    roles, project = service("iam").projects().roles(), f"projects/{target.project}"
    role_id = named("role").replace("-", "_")
    wanted = {"title": "Starter", "includedPermissions": ["compute.instances.start"]}
    name = roles.create(parent=project, body={"roleId": role_id, "role": wanted}).execute()["name"]
    try:
        got = roles.get(name=name).execute()
        assert got["includedPermissions"] == wanted["includedPermissions"]
        body = {"title": "Another", "etag": got["etag"]}
        patched = roles.patch(name=name, body=body, updateMask="title").execute()
        assert (patched["title"], patched["includedPermissions"]) == (
            "Another",
            wanted["includedPermissions"],
        )
        request, listed = roles.list(parent=project), []
        while request is not None:
            page = request.execute()
            listed += page.get("roles", [])
            request = roles.list_next(request, page)
        assert name in [each["name"] for each in listed]
        roles.delete(name=name).execute()
        assert roles.get(name=name).execute()["deleted"] is True
        assert not roles.undelete(name=name, body={}).execute().get("deleted")
    finally:
        roles.delete(name=name).execute()


def test_google_s_roles_and_permissions_are_listed(service: Service, target: Target) -> None:
    iam = service("iam")
    viewer = iam.roles().get(name="roles/compute.viewer").execute()
    assert "compute.instances.get" in viewer["includedPermissions"]
    page = iam.roles().list(pageSize=5).execute()
    assert len(page["roles"]) == 5
    assert page["nextPageToken"]
    body = {"fullResourceName": f"//cloudresourcemanager.googleapis.com/projects/{target.project}"}
    grantable = iam.roles().queryGrantableRoles(body=body | {"pageSize": 5}).execute()
    assert all(role["name"].startswith("roles/") for role in grantable["roles"])
    asked = body | {"pageSize": 5}
    testable = iam.permissions().queryTestablePermissions(body=asked).execute()
    assert all("." in permission["name"] for permission in testable["permissions"])


def test_what_one_may_in_the_project_is_told(service: Service, target: Target) -> None:
    # https://cloud.google.com/resource-manager/reference/rest/v1/projects/testIamPermissions
    body = {"permissions": ["compute.instances.create", "compute.instances.get"]}
    projects = service("cloudresourcemanager").projects()
    may = projects.testIamPermissions(resource=target.project, body=body).execute()
    assert sorted(may["permissions"]) == body["permissions"]


def test_tokens_of_an_account_are_made_for_who_may_act_as_it(
    service: Service, accounts: Any, account: Json, target: Target
) -> None:
    # https://cloud.google.com/iam/docs/create-short-lived-credentials-direct
    from googleapiclient.errors import HttpError  # type: ignore[import-untyped]

    tokens = service("iamcredentials").projects().serviceAccounts()
    name = f"projects/-/serviceAccounts/{account['email']}"
    member = f"serviceAccount:{target.email}"
    binding = {"role": "roles/iam.serviceAccountTokenCreator", "members": [member]}
    body = {"policy": {"bindings": [binding]}}
    accounts.setIamPolicy(resource=account["name"], body=body).execute()

    def access() -> Any:
        asked = {"scope": SCOPES, "lifetime": "300s"}
        with contextlib.suppress(HttpError):  # until the policy holds everywhere
            return tokens.generateAccessToken(name=name, body=asked).execute()
        return {}

    assert eventually(access, bool)["accessToken"]
    asked = {"audience": "https://app.example.com", "includeEmail": True}
    token = tokens.generateIdToken(name=name, body=asked).execute()["token"]
    payload = base64.urlsafe_b64decode(token.split(".")[1] + "==")
    assert account["email"].encode() in payload
    assert tokens.getAllowedLocations(name=name).execute()["encodedLocations"]


def test_services_are_enabled_together_and_read(service: Service, target: Target) -> None:
    # https://cloud.google.com/service-usage/docs/enable-disable
    usage, parent = service("serviceusage"), f"projects/{target.project}"
    names = [f"{parent}/services/{probe}" for probe in PROBES]

    def ended(operation: Json) -> Json:
        def ask() -> Any:
            return usage.operations().get(name=operation["name"]).execute()

        return dict(eventually(ask, lambda answer: bool(answer.get("done"))))

    before = usage.services().batchGet(parent=parent, names=names).execute()["services"]
    asked = usage.services().batchEnable(parent=parent, body={"serviceIds": PROBES}).execute()
    try:
        assert "error" not in ended(asked)
        got = usage.services().get(name=names[0]).execute()
        assert (got["config"]["name"], got["state"]) == (PROBES[0], "ENABLED")
        request = usage.services().list(parent=parent, filter="state:ENABLED", pageSize=200)
        listed = request.execute()["services"]
        assert set(names) <= {each["name"].replace(number(each), parent) for each in listed}
    finally:
        for each, name in zip(before, names, strict=True):
            if each["state"] == "DISABLED":
                ended(usage.services().disable(name=name, body={}).execute())


def number(service: Json) -> str:
    """Return the project of a service as the API names it, `projects/123`."""
    name: str = service["name"]
    return name.partition("/services/")[0]
