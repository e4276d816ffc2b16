# SPDX-License-Identifier: GPL-3.0-or-later
"""Buckets, objects and their access control lists by google-api-python-client, from end to end.

https://googleapis.github.io/google-api-python-client/docs/dyn/storage_v1.html: every method of it
that the sandbox has; uploads and downloads are in test_storage_clients.py.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .target import Target

Json = dict[str, Any]
Named = Callable[[str], str]
Service = Callable[[str], Any]

EVERYBODY = "allAuthenticatedUsers"


@pytest.fixture
def storage(service: Service) -> Any:
    return service("storage")


@pytest.fixture
def made(storage: Any, target: Target, named: Named) -> Iterator[Callable[..., str]]:
    """Make a bucket of a test's own, and return its name; all are gone afterwards."""
    names: list[str] = []

    def make(**settings: Any) -> str:
        body = {"name": named(f"bucket{len(names)}"), "location": target.region, **settings}
        names.append(body["name"])
        storage.buckets().insert(project=target.project, body=body).execute()
        return names[-1]

    yield make
    for name in names:
        for item in storage.objects().list(bucket=name).execute().get("items", []):
            storage.objects().delete(bucket=name, object=item["name"]).execute()
        storage.buckets().delete(bucket=name).execute()


@pytest.fixture
def bucket(made: Callable[..., str]) -> str:
    """A bucket with access control lists."""
    return made()


def uploaded(storage: Any, bucket: str, name: str, content: bytes) -> Json:
    """Return an object that was made of bytes."""
    from googleapiclient.http import MediaIoBaseUpload  # type: ignore[import-untyped]

    media = MediaIoBaseUpload(io.BytesIO(content), "text/plain")
    made: Json = storage.objects().insert(bucket=bucket, name=name, media_body=media).execute()
    return made


def entries(answer: Json) -> dict[str, str]:
    """Return the roles in a list by their entities."""
    return {entry["entity"]: entry["role"] for entry in answer.get("items", [])}


def walked_through(control: Any, entity: str, first: str, then: str, **of: str) -> None:
    """Make an entry of a list, change it in every way, and delete it."""
    from googleapiclient.errors import HttpError  # type: ignore[import-untyped]

    control.insert(**of, body={"entity": entity, "role": first}).execute()
    assert control.get(**of, entity=entity).execute()["role"] == first
    control.patch(**of, entity=entity, body={"role": then}).execute()
    assert entries(control.list(**of).execute())[entity] == then
    body = {"entity": entity, "role": first}
    assert control.update(**of, entity=entity, body=body).execute()["role"] == first
    control.delete(**of, entity=entity).execute()
    with pytest.raises(HttpError) as refusal:
        control.get(**of, entity=entity).execute()
    assert refusal.value.status_code == 404


def test_the_access_control_lists_are_walked_through(storage: Any, bucket: str) -> None:
    # https://cloud.google.com/storage/docs/access-control/create-manage-lists
    number = storage.buckets().get(bucket=bucket).execute()["projectNumber"]
    viewers = f"project-viewers-{number}"
    walked_through(storage.bucketAccessControls(), viewers, "READER", "WRITER", bucket=bucket)
    defaults = storage.defaultObjectAccessControls()
    walked_through(defaults, viewers, "READER", "OWNER", bucket=bucket)
    uploaded(storage, bucket, "greeting", b"hello")
    of = {"bucket": bucket, "object": "greeting"}
    walked_through(storage.objectAccessControls(), viewers, "READER", "OWNER", **of)


def test_a_bucket_s_policy_is_read_written_and_tested(
    storage: Any, made: Callable[..., str]
) -> None:
    # https://cloud.google.com/storage/docs/access-control/using-iam-permissions
    uniform = {"uniformBucketLevelAccess": {"enabled": True}}
    bucket, buckets = made(iamConfiguration=uniform), storage.buckets()
    assert buckets.get(bucket=bucket).execute()["iamConfiguration"]["uniformBucketLevelAccess"]
    policy = buckets.getIamPolicy(bucket=bucket, optionsRequestedPolicyVersion=3).execute()
    viewer = {"role": "roles/storage.objectViewer", "members": [EVERYBODY]}
    policy["bindings"].append(viewer)
    written = buckets.setIamPolicy(bucket=bucket, body=policy).execute()
    assert viewer in written["bindings"]
    asked = ["storage.buckets.get", "storage.objects.list"]
    may = buckets.testIamPermissions(bucket=bucket, permissions=asked).execute()
    assert sorted(may["permissions"]) == asked
    layout = buckets.getStorageLayout(bucket=bucket).execute()
    assert (layout["bucket"], layout["locationType"]) == (bucket, "region")
    assert not storage.managedFolders().list(bucket=bucket).execute().get("items")


def test_a_retention_policy_is_locked(storage: Any, made: Callable[..., str]) -> None:
    # https://cloud.google.com/storage/docs/bucket-lock
    from googleapiclient.errors import HttpError

    bucket, buckets = made(retentionPolicy={"retentionPeriod": "1"}), storage.buckets()
    read = buckets.get(bucket=bucket).execute()
    generation = {"ifMetagenerationMatch": read["metageneration"]}
    locked = buckets.lockRetentionPolicy(bucket=bucket, **generation).execute()
    assert locked["retentionPolicy"]["isLocked"] is True
    with pytest.raises(HttpError) as refusal:
        buckets.patch(bucket=bucket, body={"retentionPolicy": None}).execute()
    assert refusal.value.status_code == 403


def test_objects_are_joined_copied_changed_listed_and_deleted(storage: Any, bucket: str) -> None:
    objects = storage.objects()
    for name, content in (("a", b"hel"), ("b", b"lo")):
        uploaded(storage, bucket, name, content)
    joined = {
        "sourceObjects": [{"name": "a"}, {"name": "b"}],
        "destination": {"contentType": "text/plain"},
    }
    made = objects.compose(destinationBucket=bucket, destinationObject="all", body=joined).execute()
    assert (made["size"], made["componentCount"]) == ("5", 2)
    to = {"sourceBucket": bucket, "sourceObject": "all", "destinationBucket": bucket}
    copied = objects.copy(**to, destinationObject="copy", body={}).execute()
    assert copied["crc32c"] == made["crc32c"]
    rewritten = objects.rewrite(**to, destinationObject="another", body={}).execute()
    assert (rewritten["done"], rewritten["resource"]["crc32c"]) == (True, made["crc32c"])
    of = {"bucket": bucket, "object": "copy"}
    patched = objects.patch(**of, body={"metadata": {"team": "a"}}).execute()
    assert (patched["metadata"], patched["contentType"]) == ({"team": "a"}, "text/plain")
    body = {"contentType": "text/html", "acl": patched.get("acl", [])}
    updated = objects.update(**of, body=body).execute()
    assert (updated["contentType"], updated.get("metadata")) == ("text/html", None)
    listed, request = [], objects.list(bucket=bucket, maxResults=2)
    while request is not None:
        page = request.execute()
        listed += [item["name"] for item in page["items"]]
        request = objects.list_next(request, page)
    assert listed == ["a", "all", "another", "b", "copy"]
    objects.delete(**of).execute()
    assert objects.get_media(bucket=bucket, object="another").execute() == b"hello"


def test_the_project_s_account_for_storage_is_told(storage: Any, target: Target) -> None:
    # https://cloud.google.com/storage/docs/getting-service-agent
    told = storage.projects().serviceAccount().get(projectId=target.project).execute()
    assert told["email_address"].endswith(".iam.gserviceaccount.com")
