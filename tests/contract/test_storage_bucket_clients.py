# SPDX-License-Identifier: GPL-3.0-or-later
"""Buckets by other clients: gcloud storage buckets, and google-api-python-client."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .target import Target

DEADLINE = 180

Named = Callable[[str], str]


class Buckets:
    """Runs `gcloud storage buckets …` with a configuration folder of its own."""

    def __init__(self, target: Target, folder: Path) -> None:
        self._environment = target.shell(
            CLOUDSDK_CONFIG=str(folder),
            CLOUDSDK_CORE_DISABLE_USAGE_REPORTING="true",
        )

    def run(self, verb: str, name: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Return how `gcloud storage buckets VERB gs://NAME OPTIONS` ended."""
        return self._run("buckets", verb, f"gs://{name}", *options)

    def _run(self, *words: str, answer: str | None = None) -> subprocess.CompletedProcess[str]:
        asks = {"CLOUDSDK_CORE_DISABLE_PROMPTS": "0" if answer else "1"}
        return subprocess.run(
            ["gcloud", "storage", *words],
            env=self._environment | asks,
            input=answer,
            timeout=DEADLINE,
            capture_output=True,
            text=True,
            check=False,
        )

    def storage(self, *words: str, answer: str | None = None) -> str:
        """Return what `gcloud storage WORDS` printed; it must end well.

        Args:
            answer: to what gcloud asks; it asks nothing by default, and does not what cannot be
                undone.
        """
        done = self._run(*words, answer=answer)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def __call__(self, verb: str, name: str, *options: str) -> Any:
        """Return the JSON that was printed, None for nothing; it must end well."""
        done = self.run(verb, name, "--format=json", *options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout or "null")


@pytest.fixture(scope="module")
def buckets(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Buckets:
    if shutil.which("gcloud") is None:
        pytest.skip("gcloud is not installed")
    return Buckets(target, tmp_path_factory.mktemp("gcloud"))


@pytest.fixture(scope="module")
def service(_environment: None) -> Iterator[Any]:
    """The buckets of google-api-python-client."""
    from googleapiclient import discovery  # type: ignore[import-untyped]

    storage = discovery.build("storage", "v1", cache_discovery=False)
    yield storage
    storage.close()


@pytest.mark.slow
def test_gcloud_creates_updates_describes_and_deletes(
    buckets: Buckets, named: Named, tmp_path: Path
) -> None:
    name, rules = named("gcloud"), tmp_path / "rules.json"
    rules.write_text('{"rule": [{"action": {"type": "Delete"}, "condition": {"age": 3}}]}')
    buckets("create", name, "--location=us-west1", "--uniform-bucket-level-access")
    try:
        buckets("update", name, "--update-labels=a=b,c=d", "--versioning")
        buckets("update", name, f"--lifecycle-file={rules}", "--retention-period=60s")
        described = buckets("describe", name)
        assert described["location"] == "US-WEST1"
        assert described["uniform_bucket_level_access"]
        assert described["versioning_enabled"]
        assert described["labels"] == {"a": "b", "c": "d"}
        assert described["lifecycle_config"]["rule"][0]["condition"] == {"age": 3}
        assert described["retention_policy"]["retentionPeriod"] == "60"
        cleared = ("--clear-lifecycle", "--clear-retention-period", "--clear-soft-delete")
        buckets("update", name, "--remove-labels=a", *cleared)
        described = buckets("describe", name)
        assert described["labels"] == {"c": "d"}
        assert not {"lifecycle_config", "retention_policy"} & set(described)
        member = "--member=allAuthenticatedUsers"
        buckets("add-iam-policy-binding", name, member, "--role=roles/storage.objectViewer")
        bindings = buckets("get-iam-policy", name)["bindings"]
        viewers = {"members": ["allAuthenticatedUsers"], "role": "roles/storage.objectViewer"}
        assert viewers in bindings
    finally:
        buckets("delete", name)
    missing = buckets.run("describe", name)
    assert missing.returncode != 0
    assert f"gs://{name} not found: 404" in missing.stderr


@pytest.mark.slow
def test_gcloud_lists_locks_and_joins(
    buckets: Buckets, bucket: Any, target: Target, named: Named
) -> None:
    name = named("locked")
    kept = bucket.client.bucket(name)
    kept.retention_period = 1
    kept.create(location=target.region)
    try:
        lock = ("buckets", "update", f"gs://{name}", "--lock-retention-period")
        buckets.storage(*lock, answer="y\n")
        kept.reload()
        assert kept.retention_policy_locked
        listed = json.loads(buckets.storage("buckets", "list", "--format=json"))
        assert name in [each["name"] for each in listed]
    finally:
        kept.delete()
    for part in ("a", "b"):
        bucket.blob(named(part)).upload_from_string(part)
    sources = [f"gs://{bucket.name}/{named(part)}" for part in ("a", "b")]
    buckets.storage("objects", "compose", *sources, f"gs://{bucket.name}/{named('ab')}")
    assert bucket.blob(named("ab")).download_as_bytes() == b"ab"
    agent = buckets.storage("service-agent")
    assert agent.strip().endswith(".iam.gserviceaccount.com")


@pytest.mark.slow
def test_gcloud_is_told_why_a_bucket_cannot_be(buckets: Buckets, named: Named) -> None:
    refused = buckets.run("create", named("nowhere"), "--location=atlantis")
    assert refused.returncode != 0
    assert "The specified location constraint is not valid." in refused.stderr


def test_the_api_client_inserts_patches_updates_and_deletes(
    service: Any, named: Named, target: Target
) -> None:
    from googleapiclient.errors import HttpError  # type: ignore[import-untyped]

    name = named("api")
    body = {"name": name, "labels": {"a": "b"}, "storageClass": "COLDLINE"}
    made = service.buckets().insert(project=target.project, body=body).execute()
    try:
        assert (made["labels"], made["etag"]) == ({"a": "b"}, "CAE=")
        patch = {"labels": {"a": None, "c": "d"}}
        patched = service.buckets().patch(bucket=name, body=patch).execute()
        assert (patched["labels"], patched["storageClass"]) == ({"c": "d"}, "COLDLINE")
        assert {entry["role"] for entry in patched["acl"]} == {"OWNER", "READER"}
        updated = service.buckets().update(bucket=name, body={"versioning": {"enabled": True}})
        assert updated.execute()["storageClass"] == "STANDARD"
        entry = {"entity": "allAuthenticatedUsers", "role": "READER"}
        inserted = service.bucketAccessControls().insert(bucket=name, body=entry).execute()
        assert inserted["id"] == f"{name}/allAuthenticatedUsers"
        with pytest.raises(HttpError) as refusal:
            service.buckets().patch(bucket=name, body={"labels": {"A": "b"}}).execute()
        assert (refusal.value.status_code, refusal.value.error_details[0]["reason"]) == (
            400,
            "invalid",
        )
    finally:
        service.buckets().delete(bucket=name).execute()
    by_number = service.buckets().list(project=made["projectNumber"], prefix=name).execute()
    assert "items" not in by_number
