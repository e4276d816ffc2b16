# SPDX-License-Identifier: GPL-3.0-or-later
"""Cloud Storage from inside an instance, with the instance's own identity."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.system.sandbox import Sandbox, eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(280)]

ZONE = "us-west1-b"
BUCKET = "systest-startup"
SCRIPT = "#!/bin/sh\necho started by the script of $(hostname) >/root/started\n"
API = "https://storage.googleapis.com"
TOKEN = (
    "curl --silent --header Metadata-Flavor:Google "
    "http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/token"
    """ | sed 's/.*"access_token": *"\\([^"]*\\)".*/\\1/'"""
)


def ask(sandbox: Sandbox, instance: str, *words: str) -> tuple[int, str]:
    """Call the API inside an instance with its own token; return status and body."""
    command = (
        f'curl --silent --write-out "\\n%{{http_code}}" --header "Authorization: Bearer $({TOKEN})"'
    )
    done = sandbox.cli("ssh", instance, "sh", "-c", f"{command} {' '.join(words)}")
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


@pytest.fixture(scope="module")
def instances(running: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """Two instances whose account may read a bucket; by its scopes `narrow` may do no more."""
    project = running.client_environment()["GCP_PROJECT"]
    account = f"reader@{project}.iam.gserviceaccount.com"
    script: Path = tmp_path_factory.mktemp("script") / "start.sh"
    script.write_text(SCRIPT)
    gcloud = "gcloud"
    running.client(gcloud, "iam", "service-accounts", "create", "reader")
    running.client(gcloud, "storage", "buckets", "create", f"gs://{BUCKET}", "--location=us-west1")
    running.client(gcloud, "storage", "cp", str(script), f"gs://{BUCKET}/a folder/start.sh")
    running.client(
        *(gcloud, "storage", "buckets", "add-iam-policy-binding", f"gs://{BUCKET}"),
        *(f"--member=serviceAccount:{account}", "--role=roles/storage.objectViewer"),
    )
    for name, scopes in (("narrow", "storage-ro"), ("wide", "cloud-platform")):
        running.client(
            *(gcloud, "compute", "instances", "create", name, "--zone", ZONE),
            *("--machine-type", "f1-micro", f"--service-account={account}", f"--scopes={scopes}"),
            f"--metadata=startup-script-url=gs://{BUCKET}/a folder/start.sh",
        )
    return running


def test_a_startup_script_comes_from_a_bucket(instances: Sandbox) -> None:
    # https://cloud.google.com/compute/docs/instances/startup-scripts/linux#cloud-storage
    def started() -> bool:
        done = instances.cli("ssh", "narrow", "cat", "/root/started", check=False)
        return done.stdout == "started by the script of narrow\n"

    eventually(started, 60, "the startup script of the bucket has run")


@pytest.mark.parametrize(
    "address",
    [f"{API}/{BUCKET}/a%20folder/start.sh", f"https://{BUCKET}.{API[8:]}/a%20folder/start.sh"],
)
def test_it_downloads_with_its_own_token(instances: Sandbox, address: str) -> None:
    assert ask(instances, "narrow", address) == (200, SCRIPT)


def test_its_scopes_do_not_let_it_write(instances: Sandbox) -> None:
    upload = f"'{API}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name=x'"
    status, body = ask(instances, "narrow", "--data-binary", "hello", upload)
    error = json.loads(body)["error"]
    assert (status, error["status"]) == (403, "PERMISSION_DENIED")
    assert error["errors"][0]["reason"] == "insufficientPermissions"
    assert error["message"] == "Request had insufficient authentication scopes."


def test_its_roles_do_not_let_it_write(instances: Sandbox) -> None:
    upload = f"'{API}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name=x'"
    status, body = ask(instances, "wide", "--data-binary", "hello", upload)
    error = json.loads(body)["error"]
    assert (status, error["errors"][0]["reason"]) == (403, "forbidden")
    assert "reader@" in error["message"]
    assert "does not have storage.objects.create access" in error["message"]


def test_objects_outlive_the_sandbox(instances: Sandbox) -> None:
    instances.cli("down")
    instances.up()
    listed = instances.client("gcloud", "storage", "cat", f"gs://{BUCKET}/a folder/start.sh")
    assert listed.stdout == SCRIPT
