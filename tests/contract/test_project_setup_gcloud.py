# SPDX-License-Identifier: GPL-3.0-or-later
"""Setting a project up with gcloud.

https://cloud.google.com/sdk/gcloud/reference/iam and https://cloud.google.com/sdk/gcloud/reference/services.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .gcloud import Gcloud
from .target import Target

PROBE = "policytroubleshooter.googleapis.com"

pytestmark = pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")

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


def test_an_account_that_is_not_there_is_refused(gcloud: Gcloud, target: Target) -> None:
    nobody = f"nobody-at-all@{target.project}.iam.gserviceaccount.com"
    missing = gcloud.run("iam", "service-accounts", "describe", nobody)
    assert missing.returncode == 1
    assert "Permission 'iam.serviceAccounts.get' denied on resource" in missing.stderr


def test_services_are_enabled_listed_and_disabled(gcloud: Gcloud) -> None:
    def enabled() -> set[str]:
        return {service["config"]["name"] for service in gcloud("services", "list")}

    gcloud("services", "enable", PROBE)
    try:
        assert {PROBE, "compute.googleapis.com"} <= enabled()
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
