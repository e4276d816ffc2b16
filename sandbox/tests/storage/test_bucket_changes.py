# SPDX-License-Identifier: GPL-3.0-or-later
"""PATCH changes what is given, PUT resets what is not; some settings cannot go back."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import DAY, Client, Clock

SETTINGS: dict[str, Any] = {
    "labels": {"team": "a", "tier": "b"},
    "versioning": {"enabled": True},
    "cors": [{"method": ["GET"], "origin": ["*"], "maxAgeSeconds": 60}],
    "website": {"mainPageSuffix": "index.html", "notFoundPage": "404.html"},
    "logging": {"logBucket": "logs", "logObjectPrefix": "access"},
    "lifecycle": {"rule": [{"action": {"type": "Delete"}, "condition": {"age": 1}}]},
    "storageClass": "NEARLINE",
    "defaultEventBasedHold": True,
    "billing": {"requesterPays": True},
    "retentionPolicy": {"retentionPeriod": "60"},
    "iamConfiguration": {
        "uniformBucketLevelAccess": {"enabled": True},
        "publicAccessPrevention": "enforced",
    },
}


async def test_every_setting_is_kept(client: Client) -> None:
    bucket = await client.bucket(**SETTINGS)
    for name, value in SETTINGS.items():
        if name not in ("retentionPolicy", "iamConfiguration"):
            assert bucket[name] == value
    assert bucket["retentionPolicy"]["retentionPeriod"] == "60"
    assert bucket["iamConfiguration"]["publicAccessPrevention"] == "enforced"


async def test_a_patch_leaves_what_it_does_not_name(client: Client, clock: Clock) -> None:
    bucket = await client.bucket(**SETTINGS)
    clock.now += 5
    patched = await client.call("buckets.patch", {"storageClass": "COLDLINE"}, bucket="bucket")
    changed = {"storageClass": "COLDLINE", "metageneration": "2", "etag": "CAI="}
    assert patched == bucket | changed | {"updated": patched["updated"]}
    assert patched["updated"] > bucket["updated"]
    assert patched["timeCreated"] == bucket["timeCreated"]


@pytest.mark.parametrize(
    ("patch", "field", "left"),
    [
        ({"labels": {"team": None}}, "labels", {"tier": "b"}),
        ({"labels": {"team": "c"}}, "labels", {"team": "c", "tier": "b"}),
        ({"labels": None}, "labels", None),
        ({"labels": {"team": None, "tier": None}}, "labels", None),
        ({"lifecycle": {"rule": []}}, "lifecycle", None),
        ({"lifecycle": None}, "lifecycle", None),
        ({"cors": []}, "cors", None),
        ({"website": {"notFoundPage": None}}, "website", {"mainPageSuffix": "index.html"}),
        ({"logging": None}, "logging", None),
        ({"retentionPolicy": None}, "retentionPolicy", None),
        ({"storageClass": None}, "storageClass", "STANDARD"),
    ],
)
async def test_null_in_a_patch_removes(
    client: Client, patch: dict[str, Any], field: str, left: Any
) -> None:
    await client.bucket(**SETTINGS)
    patched = await client.call("buckets.patch", patch, bucket="bucket")
    assert patched.get(field) == left


async def test_an_update_resets_what_it_does_not_give(client: Client) -> None:
    await client.bucket(location="us-west1", **SETTINGS)
    updated = await client.call("buckets.update", {"labels": {"x": "y"}}, bucket="bucket")
    assert updated["labels"] == {"x": "y"}
    assert updated["storageClass"] == "STANDARD"
    assert not updated["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"]
    assert updated["location"] == "US-WEST1"
    reset = set(SETTINGS) - {"labels", "storageClass", "iamConfiguration"}
    assert not reset & set(updated)


async def test_name_and_location_cannot_be_changed(client: Client) -> None:
    await client.bucket(location="us-west1")
    await client.call("buckets.update", {"name": "bucket", "location": "us-west1"}, bucket="bucket")
    for body in ({"name": "other"}, {"location": "EU"}):
        error = await client.refused("buckets.update", body, bucket="bucket")
        assert (error.status, error.reason) == (400, "invalid")


async def test_logs_are_called_after_the_bucket_unless_said_otherwise(client: Client) -> None:
    bucket = await client.bucket(logging={"logBucket": "logs"})
    assert bucket["logging"] == {"logBucket": "logs", "logObjectPrefix": "bucket"}


async def test_uniform_access_goes_by_its_old_name_too(client: Client) -> None:
    await client.bucket()
    body = {"iamConfiguration": {"bucketPolicyOnly": {"enabled": True}}}
    patched = await client.call("buckets.patch", body, bucket="bucket")
    configuration = patched["iamConfiguration"]
    assert configuration["uniformBucketLevelAccess"]["enabled"]
    assert configuration["bucketPolicyOnly"] == configuration["uniformBucketLevelAccess"]


async def test_uniform_access_is_final_after_ninety_days(client: Client, clock: Clock) -> None:
    on: dict[str, Any] = {"iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}}}
    off = {"iamConfiguration": {"uniformBucketLevelAccess": {"enabled": False}}}
    first = await client.bucket(**on)
    locked = first["iamConfiguration"]["uniformBucketLevelAccess"]["lockedTime"]
    clock.now += 89 * DAY
    again = await client.call("buckets.patch", on, bucket="bucket")
    assert again["iamConfiguration"]["uniformBucketLevelAccess"]["lockedTime"] == locked
    await client.call("buckets.patch", off, bucket="bucket")
    await client.call("buckets.patch", on, bucket="bucket")
    clock.now += 91 * DAY
    error = await client.refused("buckets.patch", off, bucket="bucket")
    assert (error.status, error.reason) == (400, "invalid")


async def test_a_locked_retention_policy_only_grows(client: Client) -> None:
    await client.bucket(retentionPolicy={"retentionPeriod": "60"})
    locked = await client.call(
        "buckets.lockRetentionPolicy", bucket="bucket", ifMetagenerationMatch=1
    )
    assert locked["retentionPolicy"]["isLocked"]
    for body, what in (
        ({"retentionPolicy": {"retentionPeriod": "59"}}, "reduce retention duration of"),
        ({"retentionPolicy": None}, "remove"),
    ):
        error = await client.refused("buckets.patch", body, bucket="bucket")
        assert (error.status, error.reason) == (403, "forbidden")
        assert error.message == f"Cannot {what} a locked Retention Policy for bucket 'bucket'."
    longer = await client.call(
        "buckets.patch", {"retentionPolicy": {"retentionPeriod": "61"}}, bucket="bucket"
    )
    assert longer["retentionPolicy"]["isLocked"]


async def test_only_a_retention_policy_can_be_locked(client: Client) -> None:
    await client.bucket()
    error = await client.refused(
        "buckets.lockRetentionPolicy", bucket="bucket", ifMetagenerationMatch=1
    )
    assert (error.status, error.reason) == (400, "invalid")


async def test_autoclass_says_when_it_was_switched(client: Client, clock: Clock) -> None:
    first = (await client.bucket(autoclass={"enabled": True}))["autoclass"]
    assert first["terminalStorageClass"] == "NEARLINE"
    clock.now += 10
    body = {"autoclass": {"terminalStorageClass": "ARCHIVE"}}
    second = (await client.call("buckets.patch", body, bucket="bucket"))["autoclass"]
    assert second["toggleTime"] == first["toggleTime"]
    assert second["terminalStorageClassUpdateTime"] > first["terminalStorageClassUpdateTime"]
    off = {"autoclass": {"enabled": False}}
    third = (await client.call("buckets.patch", off, bucket="bucket"))["autoclass"]
    assert third == {"enabled": False, "toggleTime": third["toggleTime"]}
    assert third["toggleTime"] > first["toggleTime"]
