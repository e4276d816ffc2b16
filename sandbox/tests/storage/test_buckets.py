# SPDX-License-Identifier: GPL-3.0-or-later
"""Buckets are made, read, listed and deleted as on Google Cloud, and refused in its words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from .conftest import PROJECT, Client


async def test_a_new_bucket_has_googles_defaults(client: Client) -> None:
    bucket = await client.bucket()
    assert bucket["location"] == "US"
    assert bucket["locationType"] == "multi-region"
    assert bucket["storageClass"] == "STANDARD"
    assert bucket["metageneration"] == "1"
    assert bucket["etag"] == "CAE="
    assert bucket["projectNumber"] == str(PROJECT.number)
    assert bucket["selfLink"] == "https://storage.googleapis.com/storage/v1/b/bucket"
    assert bucket["softDeletePolicy"]["retentionDurationSeconds"] == str(7 * 86400)
    assert bucket["iamConfiguration"] == {
        "uniformBucketLevelAccess": {"enabled": False},
        "bucketPolicyOnly": {"enabled": False},
        "publicAccessPrevention": "inherited",
    }
    assert bucket == await client.call("buckets.get", bucket="bucket")


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("abc", True),
        ("a-b_c.9", True),
        ("a" * 63, True),
        (".".join(["a" * 60] * 3), True),
        ("ab", False),
        ("a" * 64, False),
        (".".join(["a" * 60] * 4), False),
        ("-abc", False),
        ("abc-", False),
        ("Abc", False),
        ("a..b", False),
        ("a.-b", False),
        ("goog-mine", False),
        ("my-g00gle", False),
        ("192.168.5.4", False),
        ("a b", False),
        ("abc\n", False),
    ],
)
async def test_names_follow_googles_rules(client: Client, name: str, valid: bool) -> None:
    if valid:
        assert (await client.bucket(name))["id"] == name
        return
    error = await client.refused("buckets.insert", {"name": name}, project=PROJECT.id)
    assert (error.status, error.reason) == (400, "invalid")
    assert error.message == f"Invalid bucket name: '{name}'"


async def test_the_namespace_is_global(client: Client) -> None:
    await client.bucket()
    error = await client.refused("buckets.insert", {"name": "bucket"}, project=PROJECT.number)
    assert (error.status, error.reason) == (409, "conflict")
    assert error.message == (
        "Your previous request to create the named bucket succeeded and you already own it."
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"location": "us-west1-b"}, "The specified location constraint is not valid."),
        ({"storageClass": "LUKEWARM"}, "Invalid argument. 'LUKEWARM' is no storage class."),
        (
            {"rpo": "ASYNC_TURBO"},
            "Invalid argument. A multi-region bucket has no rpo 'ASYNC_TURBO'.",
        ),
        (
            {"retentionPolicy": {"retentionPeriod": "0"}},
            "Invalid argument. A retentionPeriod is above 0 s and below 100 years.",
        ),
        (
            {"softDeletePolicy": {"retentionDurationSeconds": "60"}},
            "Invalid argument. Soft delete lasts 7 to 90 days, or 0 s to be off.",
        ),
        (
            {"labels": {"Team": "a"}},
            "Invalid argument. 'Team' cannot be the key of a label.",
        ),
        (
            {"labels": {"team": "A"}},
            "Invalid argument. 'A' cannot be the value of a label.",
        ),
        (
            {"labels": {f"label{number}": "" for number in range(65)}},
            "Invalid argument. A bucket has at most 64 labels.",
        ),
        (
            {"iamConfiguration": {"publicAccessPrevention": "maybe"}},
            "Invalid argument. 'maybe' is no publicAccessPrevention.",
        ),
        (
            {"autoclass": {"enabled": True}, "storageClass": "ARCHIVE"},
            "Invalid argument. With Autoclass, the storageClass is STANDARD.",
        ),
        ({"logging": {"logObjectPrefix": "a"}}, "Invalid argument. logging.logBucket is missing."),
        (
            {"customPlacementConfig": {"dataLocations": ["US-EAST1", "EU"]}},
            "Invalid argument. A custom placement is two regions in US, EU or ASIA.",
        ),
    ],
)
async def test_settings_that_cannot_be_are_refused(
    client: Client, settings: dict[str, Any], message: str
) -> None:
    body = {"name": "bucket", **settings}
    error = await client.refused("buckets.insert", body, project=PROJECT.id)
    assert (error.status, error.reason, error.message) == (400, "invalid", message)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"encryption": {"defaultKmsKeyName": "k"}}, "encryption"),
        ({"hierarchicalNamespace": {"enabled": True}}, "hierarchicalNamespace"),
        ({"ipFilter": {"mode": "Enabled"}}, "ipFilter"),
    ],
)
async def test_what_the_sandbox_does_not_have_is_a_501_that_names_it(
    client: Client, settings: dict[str, Any], named: str
) -> None:
    body = {"name": "bucket", **settings}
    error = await client.refused("buckets.insert", body, project=PROJECT.id)
    assert (error.status, error.reason) == (501, "notImplemented")
    assert named in error.message


async def test_a_dual_region_of_ones_own_and_its_layout(client: Client) -> None:
    regions = ["US-EAST1", "US-WEST1"]
    bucket = await client.bucket(
        customPlacementConfig={"dataLocations": regions}, rpo="ASYNC_TURBO"
    )
    assert (bucket["locationType"], bucket["rpo"]) == ("dual-region", "ASYNC_TURBO")
    layout = await client.call("buckets.getStorageLayout", bucket="bucket")
    assert layout["customPlacementConfig"] == {"dataLocations": regions}


async def test_lists_go_by_prefix_and_page(client: Client) -> None:
    for name in ("log-c", "log-a", "log-b", "other"):
        await client.bucket(name)
    named: dict[str, Any] = {"project": PROJECT.number, "prefix": "log-"}
    first = await client.call("buckets.list", maxResults=2, **named)
    assert [bucket["name"] for bucket in first["items"]] == ["log-a", "log-b"]
    rest = await client.call("buckets.list", pageToken=first["nextPageToken"], **named)
    assert [bucket["name"] for bucket in rest["items"]] == ["log-c"]
    assert "nextPageToken" not in rest
    assert await client.call("buckets.list", project=PROJECT.id, prefix="none") == {
        "kind": "storage#buckets"
    }


async def test_other_projects_are_unknown(client: Client) -> None:
    error = await client.refused("buckets.insert", {"name": "bucket"}, project="elsewhere")
    assert (error.status, error.message) == (400, "Unknown project id: elsewhere")


async def test_only_an_empty_bucket_is_deleted(client: Client) -> None:
    await client.bucket(versioning={"enabled": True})
    await client.put()
    error = await client.refused("buckets.delete", bucket="bucket")
    assert (error.status, error.reason) == (409, "conflict")
    assert error.message == "The bucket you tried to delete is not empty."
    await client.gone("objects.delete", bucket="bucket", object="object")
    assert (await client.refused("buckets.delete", bucket="bucket")).status == 409  # noncurrent


async def test_nothing_is_left_of_a_deleted_bucket(client: Client) -> None:
    before = client.documents()
    await client.bucket()
    await client.gone("buckets.delete", bucket="bucket")
    assert client.documents() == before
    error = await client.refused("buckets.get", bucket="bucket")
    assert (error.status, error.reason) == (404, "notFound")
    assert error.message == "The specified bucket does not exist."


@pytest.mark.parametrize("method", ["buckets.get", "buckets.delete", "buckets.patch"])
@pytest.mark.parametrize("condition", ["ifMetagenerationMatch", "ifMetagenerationNotMatch"])
async def test_preconditions_on_the_metageneration(
    client: Client, method: str, condition: str
) -> None:
    await client.bucket()
    wrong = {"ifMetagenerationMatch": 2, "ifMetagenerationNotMatch": 1}[condition]
    fails: dict[str, Any] = {condition: wrong}
    error = await client.refused(method, bucket="bucket", **fails)
    if method == "buckets.get" and condition == "ifMetagenerationNotMatch":
        assert error.status == 304
    else:
        assert (error.status, error.reason) == (412, "conditionNotMet")
    holds: dict[str, Any] = {condition: 3 - wrong}
    await client.call(method, bucket="bucket", **holds)


async def test_entity_tags_decide_whether_a_bucket_is_read(client: Client) -> None:
    # "If-Match", "If-None-Match" at
    # https://cloud.google.com/storage/docs/json_api/v1/parameters; clients send them with reads
    # alone (https://github.com/googleapis/python-storage/pull/489).
    made = await client.bucket()
    known = replace(client, headers={"If-None-Match": made["etag"]})
    assert (await known.refused("buckets.get", bucket="bucket")).status == 304
    other = replace(client, headers={"If-Match": "other"})
    assert (await other.refused("buckets.get", bucket="bucket")).status == 412
    same = replace(client, headers={"If-Match": f'"{made["etag"]}"', "If-None-Match": "other"})
    assert (await same.call("buckets.get", bucket="bucket"))["etag"] == made["etag"]


async def test_the_service_account_of_the_project_is_named(client: Client) -> None:
    answer = await client.call("projects.serviceAccount.get", projectId=PROJECT.id)
    domain = "gs-project-accounts.iam.gserviceaccount.com"
    assert answer["email_address"] == f"service-{PROJECT.number}@{domain}"


async def test_a_missing_parameter_is_named(client: Client) -> None:
    for body, parameters, name in (
        ({"name": "bucket"}, {}, "project"),
        ({}, {"project": PROJECT.id}, "name"),
    ):
        error = await client.refused("buckets.insert", body, **parameters)
        assert (error.status, error.reason, error.location) == (400, "required", name)
        assert error.message == f"Required parameter: {name}"
