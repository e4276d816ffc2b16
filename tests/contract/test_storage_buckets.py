# SPDX-License-Identifier: GPL-3.0-or-later
"""Buckets by google-cloud-storage: https://cloud.google.com/python/docs/reference/storage/latest."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from .target import Target

Named = Callable[[str], str]


@pytest.fixture(scope="module")
def storage(target: Target, _environment: None) -> Iterator[Any]:
    """A client with the default credentials."""
    from google.cloud import storage as package

    with contextlib.closing(package.Client(project=target.project)) as client:
        yield client


@pytest.fixture
def anonymous(_environment: None) -> Iterator[Any]:
    """A client without credentials."""
    from google.cloud import storage as package

    with contextlib.closing(package.Client.create_anonymous_client()) as client:
        yield client


@pytest.fixture
def bucket(storage: Any, named: Named) -> Iterator[Any]:
    """A new bucket with access control lists; it is gone afterwards, with all that is in it."""
    made = storage.bucket(named("bucket"))
    made.create(location="us-west1")
    try:
        yield made
    finally:
        made.reload()
        made.delete(force=True)


def unnamed(path: str) -> requests.Response:
    """Ask without credentials and without the client, which would try to get some after a 401."""
    return requests.get(f"https://storage.googleapis.com/storage/v1/{path}", timeout=60)


def test_a_bucket_is_created_found_listed_and_deleted(storage: Any, named: Named) -> None:
    from google.api_core.exceptions import Conflict, NotFound

    name = named("life")
    bucket = storage.create_bucket(name, location="us-west1")
    try:
        assert (bucket.location, bucket.location_type) == ("US-WEST1", "region")
        assert storage.lookup_bucket(name).time_created == bucket.time_created
        assert [found.name for found in storage.list_buckets(prefix=name)] == [name]
        with pytest.raises(Conflict, match="you already own it"):
            storage.create_bucket(name)
        bucket.blob("one").upload_from_string("1")
        with pytest.raises(Conflict, match="The bucket you tried to delete is not empty"):
            bucket.delete()
    finally:
        bucket.delete(force=True)
    with pytest.raises(NotFound, match="The specified bucket does not exist"):
        storage.get_bucket(name)


def test_pages_of_buckets(storage: Any, bucket: Any, named: Named) -> None:
    other = storage.create_bucket(f"{bucket.name}-b")
    try:
        pages = list(storage.list_buckets(prefix=bucket.name, page_size=1).pages)
        assert [[found.name for found in page] for page in pages] == [[bucket.name], [other.name]]
    finally:
        other.delete()


def test_labels_are_added_and_taken_away(storage: Any, bucket: Any) -> None:
    bucket.labels = {"team": "a", "tier": "b"}
    bucket.patch()
    bucket.labels = {"tier": "c"}
    bucket.patch()
    assert storage.get_bucket(bucket.name).labels == {"tier": "c"}


def test_rules_of_a_lifecycle_by_the_client_s_helpers(storage: Any, bucket: Any) -> None:
    bucket.add_lifecycle_delete_rule(age=30, matches_prefix=["tmp/"])
    bucket.add_lifecycle_set_storage_class_rule(
        "COLDLINE", is_live=False, number_of_newer_versions=2
    )
    bucket.add_lifecycle_abort_incomplete_multipart_upload_rule(age=1)
    bucket.patch()
    assert list(storage.get_bucket(bucket.name).lifecycle_rules) == [
        {"action": {"type": "Delete"}, "condition": {"age": 30, "matchesPrefix": ["tmp/"]}},
        {
            "action": {"type": "SetStorageClass", "storageClass": "COLDLINE"},
            "condition": {"isLive": False, "numNewerVersions": 2},
        },
        {"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 1}},
    ]
    bucket.clear_lifecycle_rules()
    bucket.patch()
    assert list(storage.get_bucket(bucket.name).lifecycle_rules) == []


def test_settings_are_patched_and_reset_by_an_update(storage: Any, bucket: Any) -> None:
    bucket.versioning_enabled = True
    bucket.cors = [{"origin": ["*"], "method": ["GET"], "maxAgeSeconds": 60}]
    bucket.configure_website("index.html", "404.html")
    bucket.enable_logging("logs", "access")
    bucket.storage_class = "NEARLINE"
    bucket.default_event_based_hold = True
    bucket.patch()
    found = storage.get_bucket(bucket.name)
    assert (found.versioning_enabled, found.storage_class) == (True, "NEARLINE")
    assert found.cors[0]["maxAgeSeconds"] == 60
    assert found.get_logging() == {"logBucket": "logs", "logObjectPrefix": "access"}
    found.disable_website()
    found.patch()
    assert "website" not in storage.get_bucket(bucket.name)._properties
    bare = storage.bucket(bucket.name)
    bare.labels = {"a": "b"}
    bare.update()
    assert (bare.versioning_enabled, bare.storage_class, bare.cors) == (False, "STANDARD", [])


def test_a_stale_metageneration_is_refused(bucket: Any) -> None:
    from google.api_core.exceptions import PreconditionFailed

    bucket.labels = {"a": "b"}
    bucket.patch(if_metageneration_match=bucket.metageneration)
    with pytest.raises(PreconditionFailed, match="At least one of the pre-conditions"):
        bucket.patch(if_metageneration_match=1)


def test_a_bucket_is_read_again_only_if_its_entity_tag_says_so(bucket: Any) -> None:
    from google.api_core.exceptions import NotModified, PreconditionFailed

    bucket.reload(if_etag_match=bucket.etag)
    with pytest.raises(NotModified):
        bucket.reload(if_etag_not_match=bucket.etag)
    with pytest.raises(PreconditionFailed):
        bucket.reload(if_etag_match="other")


def test_a_retention_policy_keeps_objects(storage: Any, bucket: Any) -> None:
    from google.api_core.exceptions import Forbidden

    bucket.retention_period = 3600
    bucket.patch()
    blob = bucket.blob("kept")
    blob.upload_from_string("x")
    try:
        assert blob.retention_expiration_time is not None
        with pytest.raises(Forbidden, match="subject to bucket's retention policy"):
            blob.delete()
    finally:
        bucket.retention_period = None
        bucket.patch()


def test_a_retention_policy_is_locked_for_good(storage: Any, bucket: Any) -> None:
    # https://cloud.google.com/storage/docs/bucket-lock
    from google.api_core.exceptions import Forbidden

    bucket.retention_period = 1
    bucket.patch()
    bucket.lock_retention_policy()
    assert storage.get_bucket(bucket.name).retention_policy_locked
    bucket.retention_period = None
    with pytest.raises(Forbidden):
        bucket.patch()


def test_the_project_s_account_for_storage_is_told(storage: Any) -> None:
    # https://cloud.google.com/storage/docs/getting-service-agent
    assert storage.get_service_account_email().endswith(".iam.gserviceaccount.com")


def test_policies_are_read_changed_and_tested(storage: Any, bucket: Any, target: Target) -> None:
    from google.api_core.exceptions import PreconditionFailed

    stale = bucket.get_iam_policy(requested_policy_version=3)
    policy = bucket.get_iam_policy(requested_policy_version=3)
    member = f"serviceAccount:{target.email}"
    policy.bindings.append({"role": "roles/storage.objectViewer", "members": {member}})
    bucket.set_iam_policy(policy)
    after = bucket.get_iam_policy(requested_policy_version=3)
    assert after["roles/storage.objectViewer"] == {member}
    with pytest.raises(PreconditionFailed):
        bucket.set_iam_policy(stale)
    asked = ["storage.buckets.get", "storage.objects.create"]
    assert bucket.test_iam_permissions(asked) == asked


def test_lists_are_saved_and_policies_follow(bucket: Any) -> None:
    bucket.acl.all_authenticated().grant_read()
    bucket.acl.save()
    legacy = bucket.get_iam_policy()["roles/storage.legacyBucketReader"]
    assert "allAuthenticatedUsers" in legacy
    bucket.acl.all_authenticated().revoke_read()
    bucket.acl.save()
    legacy = bucket.get_iam_policy()["roles/storage.legacyBucketReader"]
    assert "allAuthenticatedUsers" not in legacy
    bucket.default_object_acl.save_predefined("publicRead")
    assert list(bucket.default_object_acl) == [{"entity": "allUsers", "role": "READER"}]


def test_the_public_reads_a_public_object_and_no_other(bucket: Any, anonymous: Any) -> None:
    open_to_all, shut = bucket.blob("open to all"), bucket.blob("shut")
    for blob in (open_to_all, shut):
        blob.upload_from_string("hello")
    open_to_all.make_public()
    seen = anonymous.bucket(bucket.name)
    assert seen.blob("open to all").download_as_bytes() == b"hello"
    error = unnamed(f"b/{bucket.name}/o/shut").json()["error"]
    assert error["code"] == 401
    assert error["message"].startswith(
        "Anonymous caller does not have storage.objects.get access to the Google Cloud Storage "
        "object."
    )


def test_uniform_access_takes_lists_away_and_prevention_the_public(bucket: Any) -> None:
    from google.api_core.exceptions import BadRequest, PreconditionFailed

    blob = bucket.blob("object")
    blob.upload_from_string("hello")
    blob.make_public()
    configuration = bucket.iam_configuration
    configuration.uniform_bucket_level_access_enabled = True
    bucket.patch()
    configuration = bucket.iam_configuration
    assert configuration.uniform_bucket_level_access_locked_time is not None
    with pytest.raises(BadRequest, match="Cannot use ACL API to get bucket policy when uniform"):
        bucket.acl.reload()
    assert unnamed(f"b/{bucket.name}/o/object").status_code == 401
    configuration.public_access_prevention = "enforced"
    bucket.patch()
    policy = bucket.get_iam_policy()
    policy["roles/storage.objectViewer"].add("allUsers")
    with pytest.raises(PreconditionFailed, match="public access prevention is enforced"):
        bucket.set_iam_policy(policy)


def test_what_buckets_cannot_have_is_refused(storage: Any, bucket: Any, named: Named) -> None:
    from google.api_core.exceptions import BadRequest

    with pytest.raises(BadRequest, match="Invalid bucket name: 'Capital'"):
        storage.create_bucket("Capital")
    with pytest.raises(BadRequest, match="The specified location constraint is not valid"):
        storage.create_bucket(named("nowhere"), location="atlantis")
    bucket.lifecycle_rules = [{"action": {"type": "Delete"}, "condition": {}}]
    with pytest.raises(BadRequest, match="Invalid argument"):
        bucket.patch()
    bucket.reload()


def test_an_account_without_roles_is_refused_by_name(
    storage: Any, named: Named, target: Target
) -> None:
    from google.api_core.exceptions import Forbidden

    bucket = storage.create_bucket(named("shut"))
    try:
        policy = bucket.get_iam_policy()
        policy.bindings.clear()
        bucket.set_iam_policy(policy)
        with pytest.raises(Forbidden) as refusal:
            storage.get_bucket(bucket.name)
        assert refusal.value.message.endswith(
            f"{target.email} does not have storage.buckets.get access to the Google Cloud Storage "
            "bucket. Permission 'storage.buckets.get' denied on resource (or it may not exist)."
        )
    finally:
        bucket.delete()  # the project's owners may, by their role
