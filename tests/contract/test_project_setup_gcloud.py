# SPDX-License-Identifier: GPL-3.0-or-later
"""Setting a project up with gcloud.

https://cloud.google.com/sdk/gcloud/reference/iam and https://cloud.google.com/sdk/gcloud/reference/services.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from cryptography import x509

from .certificates import certificate
from .gcloud import Gcloud
from .rest import Rest
from .target import Target

IAM = "https://iam.googleapis.com/v1"
PROBE, SECOND = "policytroubleshooter.googleapis.com", "policyanalyzer.googleapis.com"
STARTS = "compute.instances.start"

pytestmark = [
    pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed"),
    pytest.mark.slow,
]

Named = Callable[[str], str]


@pytest.fixture(scope="module")
def gcloud(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Gcloud:
    return Gcloud(target, tmp_path_factory.mktemp("gcloud"))


@pytest.fixture(scope="module")
def email(gcloud: Gcloud, target: Target, prefix: str) -> Iterator[str]:
    """A service account of this module's own."""
    address = f"{prefix}gcloud@{target.project}.iam.gserviceaccount.com"
    gcloud("iam", "service-accounts", "create", f"{prefix}gcloud", "--display-name=By gcloud")
    try:
        yield address
    finally:
        gcloud("iam", "service-accounts", "delete", address)


def test_an_account_is_described_and_listed(gcloud: Gcloud, email: str) -> None:
    described = gcloud("iam", "service-accounts", "describe", email)
    assert (described["email"], described["displayName"]) == (email, "By gcloud")
    assert email in {account["email"] for account in gcloud("iam", "service-accounts", "list")}
    gcloud("iam", "service-accounts", "update", email, "--description=Of a test")
    updated = gcloud("iam", "service-accounts", "describe", email)
    assert (updated["displayName"], updated["description"]) == ("By gcloud", "Of a test")


def test_a_key_is_created_listed_and_deleted(gcloud: Gcloud, email: str, tmp_path: Path) -> None:
    path, of = tmp_path / "key.json", f"--iam-account={email}"
    gcloud("iam", "service-accounts", "keys", "create", str(path), of)
    key_file = json.loads(path.read_text())
    assert (key_file["type"], key_file["client_email"]) == ("service_account", email)
    key_id = key_file["private_key_id"]
    listed = gcloud("iam", "service-accounts", "keys", "list", of, "--managed-by=user")
    assert [key["name"].rpartition("/")[2] for key in listed] == [key_id]
    gcloud("iam", "service-accounts", "keys", "delete", key_id, of)
    assert gcloud("iam", "service-accounts", "keys", "list", of, "--managed-by=user") == []


def test_an_account_gets_a_role_and_loses_it(gcloud: Gcloud, email: str, target: Target) -> None:
    binding = (f"--member=serviceAccount:{email}", "--role=roles/compute.viewer")
    policy = ("projects", "get-iam-policy", target.project)
    gcloud("projects", "add-iam-policy-binding", target.project, *binding, "--condition=None")
    members = {each["role"]: each["members"] for each in gcloud(*policy)["bindings"]}
    assert f"serviceAccount:{email}" in members["roles/compute.viewer"]
    gcloud("projects", "remove-iam-policy-binding", target.project, *binding, "--condition=None")
    assert email not in json.dumps(gcloud(*policy))


def test_an_account_s_own_policy_gets_a_binding(gcloud: Gcloud, email: str, target: Target) -> None:
    member, role = f"serviceAccount:{target.email}", "roles/iam.serviceAccountUser"
    binding = (f"--member={member}", f"--role={role}")
    policy = gcloud("iam", "service-accounts", "add-iam-policy-binding", email, *binding)
    assert policy["bindings"] == [{"role": role, "members": [member]}]


def test_an_account_is_disabled_enabled_and_brought_back(
    gcloud: Gcloud, email: str, rest: Rest
) -> None:
    url = f"{IAM}/projects/{rest.project}/serviceAccounts/{email}"
    unique = rest.session.get(url, timeout=60).json()["uniqueId"]
    gcloud("iam", "service-accounts", "disable", email)
    assert rest.session.get(url, timeout=60).json()["disabled"] is True
    gcloud("iam", "service-accounts", "enable", email)
    assert rest.session.delete(url, timeout=60).ok
    restored = gcloud("iam", "service-accounts", "undelete", unique)["restoredAccount"]
    assert (restored["email"], restored.get("disabled", False)) == (email, False)


def test_a_key_is_uploaded_disabled_and_read(
    gcloud: Gcloud, email: str, rest: Rest, tmp_path: Path
) -> None:
    # https://cloud.google.com/iam/docs/keys-upload
    of, given, read = f"--iam-account={email}", tmp_path / "given.pem", tmp_path / "read.pem"
    given.write_bytes(certificate())
    name = gcloud("iam", "service-accounts", "keys", "upload", str(given), of)["name"]
    key_id = name.rpartition("/")[2]
    gcloud("iam", "service-accounts", "keys", "disable", key_id, of)
    assert rest.session.get(f"{IAM}/{name}", timeout=60).json()["disabled"] is True
    gcloud("iam", "service-accounts", "keys", "enable", key_id, of)
    beta = ("beta", "iam", "service-accounts", "keys", "get-public-key", key_id, of)
    gcloud(*beta, f"--output-file={read}")
    kept, uploaded = (x509.load_pem_x509_certificate(f.read_bytes()) for f in (read, given))
    assert kept == uploaded
    assert rest.session.delete(f"{IAM}/{name}", timeout=60).ok


def test_who_may_speak_for_an_account_gets_its_tokens(
    gcloud: Gcloud, email: str, target: Target, rest: Rest
) -> None:
    # https://cloud.google.com/docs/authentication/use-service-account-impersonation#gcloud
    url = f"{IAM}/projects/{target.project}/serviceAccounts/{email}"
    member = f"serviceAccount:{target.email}"
    binding = {"role": "roles/iam.serviceAccountTokenCreator", "members": [member]}
    policy = {"policy": {"bindings": [binding]}}
    assert rest.session.post(f"{url}:setIamPolicy", json=policy, timeout=60).ok
    speaking = f"--impersonate-service-account={email}"
    # gcloud warns that it speaks for another.
    access = gcloud.run("auth", "print-access-token", speaking)
    assert access.returncode == 0, access.stderr
    bearer = {"Authorization": f"Bearer {json.loads(access.stdout)['token']}"}
    refused = requests.get(url.replace(email, "-"), headers=bearer, timeout=60)
    assert refused.status_code == 403  # a good token, of an account without a role
    audience = "--audiences=https://app.example.com"
    identity = gcloud.run("auth", "print-identity-token", speaking, audience, "--include-email")
    assert identity.returncode == 0, identity.stderr
    token = re.search(r"eyJ[\w-]+\.([\w-]+)\.", identity.stdout)
    assert token
    assert email.encode() in base64.urlsafe_b64decode(token[1] + "==")


def test_a_role_is_read_changed_deleted_and_brought_back(
    gcloud: Gcloud, rest: Rest, named: Named
) -> None:
    # https://cloud.google.com/iam/docs/creating-custom-roles
    role_id, roles = named("role").replace("-", "_"), f"{IAM}/projects/{rest.project}/roles"
    body = {"roleId": role_id, "role": {"title": "Own", "includedPermissions": [STARTS]}}
    assert rest.session.post(roles, json=body, timeout=60).ok
    of = (role_id, f"--project={rest.project}")
    try:
        assert gcloud("iam", "roles", "describe", *of)["includedPermissions"] == [STARTS]
        updated = gcloud("iam", "roles", "update", *of, "--title=Another", "--quiet")
        assert (updated["title"], updated["includedPermissions"]) == ("Another", [STARTS])
        assert gcloud("iam", "roles", "delete", *of)["deleted"] is True
        assert not gcloud("iam", "roles", "undelete", *of).get("deleted")
    finally:
        rest.session.delete(f"{roles}/{role_id}", timeout=60)


def test_the_project_is_described_and_google_s_roles_are_listed(
    gcloud: Gcloud, target: Target
) -> None:
    names = [role["name"] for role in gcloud("iam", "roles", "list", "--limit=3")]
    assert all(name.startswith("roles/") for name in names)
    project = f"//cloudresourcemanager.googleapis.com/projects/{target.project}"
    assert gcloud("projects", "describe", target.project)["lifecycleState"] == "ACTIVE"
    grantable = gcloud("iam", "list-grantable-roles", project, "--filter=name:compute.viewer")
    assert [role["name"] for role in grantable] == ["roles/compute.viewer"]
    assert len(names) == 3


def test_an_account_that_is_not_there_is_refused(gcloud: Gcloud, target: Target) -> None:
    nobody = f"nobody-at-all@{target.project}.iam.gserviceaccount.com"
    missing = gcloud.run("iam", "service-accounts", "describe", nobody)
    assert missing.returncode == 1
    assert "Permission 'iam.serviceAccounts.get' denied on resource" in missing.stderr


def test_services_are_enabled_listed_and_disabled(gcloud: Gcloud, rest: Rest) -> None:
    def enabled() -> set[str]:
        return {service["config"]["name"] for service in gcloud("services", "list")}

    gcloud("services", "enable", PROBE, SECOND)
    url = f"https://serviceusage.googleapis.com/v1/projects/{rest.project}/services/{SECOND}"
    try:
        assert {PROBE, SECOND, "compute.googleapis.com"} <= enabled()
        operation = rest.session.post(f"{url}:disable", json={}, timeout=60).json()["name"]
        described = gcloud.run("services", "operations", "describe", operation)
        assert described.returncode == 0
        assert operation in described.stderr
        recent = gcloud.run("services", "disable", PROBE)
        assert recent.returncode == 1
        assert "COMMON_SU_SERVICE_HAS_USAGE" in recent.stderr
    finally:
        gcloud("services", "disable", PROBE, "--force")
    assert PROBE not in enabled()


def test_a_service_that_there_is_none_of_is_refused(gcloud: Gcloud) -> None:
    refused = gcloud.run("services", "enable", "no-such-service.googleapis.com")
    assert refused.returncode == 1
    assert "Not found or permission denied for service(s): no-such-service" in refused.stderr
