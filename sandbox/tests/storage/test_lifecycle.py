# SPDX-License-Identifier: GPL-3.0-or-later
"""Lifecycle rules are checked as Google checks them, and act when their time has come."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cloudspill_sandbox.storage.lifecycle_pass import AT_ONCE, Outcome, act_on_all

from .conftest import DAY, PROJECT, Client, Clock

DELETE = {"type": "Delete"}
ABORT = {"type": "AbortIncompleteMultipartUpload"}


def to(storage_class: str) -> dict[str, str]:
    return {"type": "SetStorageClass", "storageClass": storage_class}


async def ruled(client: Client, *rules: tuple[dict[str, Any], dict[str, Any]], **more: Any) -> None:
    listed = [{"action": action, "condition": condition} for action, condition in rules]
    await client.bucket(lifecycle={"rule": listed}, **more)


async def names(client: Client, *, versions: bool = False) -> list[str]:
    listed = await client.call("objects.list", bucket="bucket", versions=versions)
    return [item["name"] for item in listed.get("items", [])]


@pytest.mark.parametrize(
    ("action", "condition", "complaint"),
    [
        (DELETE, {}, "lifecycle.rule[0] has no condition."),
        (DELETE, {"matchesPrefix": []}, "lifecycle.rule[0] has no condition."),
        ({}, {"age": 1}, "lifecycle.rule[0]: '' is no type of action."),
        ({"type": "Burn"}, {"age": 1}, "lifecycle.rule[0]: 'Burn' is no type of action."),
        (
            {"type": "SetStorageClass"},
            {"age": 1},
            "lifecycle.rule[0]: SetStorageClass alone names a storageClass, and must.",
        ),
        (
            DELETE | {"storageClass": "ARCHIVE"},
            {"age": 1},
            "lifecycle.rule[0]: SetStorageClass alone names a storageClass, and must.",
        ),
        (to("LUKEWARM"), {"age": 1}, "lifecycle.rule[0]: 'LUKEWARM' is no storage class."),
        (DELETE, {"age": -1}, "lifecycle.rule[0].condition.age: -1 is below 0."),
        (
            DELETE,
            {"createdBefore": "2026-02-30"},
            "lifecycle.rule[0].condition.createdBefore: '2026-02-30' is no date such as "
            "2026-01-31.",
        ),
        (
            DELETE,
            {"matchesStorageClass": ["LUKEWARM"]},
            "lifecycle.rule[0].condition.matchesStorageClass: 'LUKEWARM' is no storage class.",
        ),
        (
            ABORT,
            {"age": 1, "isLive": True},
            "lifecycle.rule[0]: AbortIncompleteMultipartUpload has no condition isLive.",
        ),
        (
            DELETE,
            {"matchesSuffix": [""]},
            "lifecycle.rule[0].condition.matchesSuffix: a value has between 1 and 1024 bytes.",
        ),
    ],
)
async def test_rules_that_cannot_be_are_refused(
    client: Client, action: dict[str, Any], condition: dict[str, Any], complaint: str
) -> None:
    rule = {"action": action, "condition": condition}
    body = {"name": "bucket", "lifecycle": {"rule": [rule]}}
    error = await client.refused("buckets.insert", body, project=PROJECT.id)
    assert (error.status, error.reason) == (400, "invalid")
    assert error.message == f"Invalid argument. {complaint}"


async def test_a_bucket_has_at_most_a_hundred_rules(client: Client) -> None:
    rules = [{"action": DELETE, "condition": {"age": age}} for age in range(101)]
    body = {"name": "bucket", "lifecycle": {"rule": rules}}
    assert (await client.refused("buckets.insert", body, project=PROJECT.id)).status == 400
    await client.bucket(lifecycle={"rule": rules[:100]})


async def test_an_object_is_deleted_at_its_age_and_not_before(client: Client, clock: Clock) -> None:
    await ruled(client, (DELETE, {"age": 3}))
    await client.put("old")
    clock.now += DAY
    await client.put("young")
    clock.now += 2 * DAY - 1
    assert await act_on_all(client.cloud) == Outcome()
    clock.now += 1
    assert await act_on_all(client.cloud) == Outcome(deleted=1)
    assert await names(client) == ["young"]
    assert sum(file.is_file() for file in client.cloud.blobs._kept.rglob("*")) == 1


@pytest.mark.parametrize(
    ("condition", "left"),
    [
        ({"matchesPrefix": ["tmp/", "log/"]}, ["a.txt"]),
        ({"matchesSuffix": [".log"]}, ["a.txt", "tmp/a"]),
        ({"matchesPrefix": ["log/"], "matchesSuffix": [".txt"]}, ["a.txt", "log/a.log", "tmp/a"]),
        ({"matchesStorageClass": ["NEARLINE"]}, ["a.txt", "log/a.log", "tmp/a"]),
        ({"sizeAboveBytes": "1"}, ["a.txt", "tmp/a"]),
        ({"sizeBelowBytes": "2"}, ["log/a.log"]),
        ({"createdBefore": "2026-09-21"}, ["a.txt", "log/a.log", "tmp/a"]),
        ({"createdBefore": "2026-09-22"}, []),
        ({"isLive": False}, ["a.txt", "log/a.log", "tmp/a"]),
        ({"numNewerVersions": 1}, ["a.txt", "log/a.log", "tmp/a"]),
        ({"daysSinceCustomTime": 0}, ["a.txt", "log/a.log", "tmp/a"]),
    ],
)
async def test_each_condition_picks_its_objects(
    client: Client, condition: dict[str, Any], left: list[str]
) -> None:
    await ruled(client, (DELETE, condition))  # the clock stands at 2026-09-21T14:13:20Z
    await client.put("a.txt")
    await client.put("tmp/a")
    await client.put("log/a.log", b"long")
    await act_on_all(client.cloud)
    assert await names(client) == left


async def test_custom_times_count(client: Client) -> None:
    await ruled(
        client,
        (DELETE, {"customTimeBefore": "2026-01-02"}),
        (to("ARCHIVE"), {"daysSinceCustomTime": 9}),
    )
    for name, moment in (("a", "2026-01-01T23:59:59Z"), ("b", "2026-01-02T00:00:00Z")):
        await client.put(name)
        await client.call("objects.patch", {"customTime": moment}, bucket="bucket", object=name)
    assert await act_on_all(client.cloud) == Outcome(deleted=1, moved=1)
    assert await names(client) == ["b"]


async def test_versions_are_kept_by_number_and_by_days(client: Client, clock: Clock) -> None:
    await ruled(
        client,
        (DELETE, {"numNewerVersions": 2}),
        (DELETE, {"daysSinceNoncurrentTime": 5, "matchesPrefix": ["day"]}),
        versioning={"enabled": True},
    )
    for name in ("count", "day"):
        for _ in range(3):
            await client.put(name)
    assert await act_on_all(client.cloud) == Outcome(deleted=2)  # the oldest of each
    clock.now += 5 * DAY
    assert await act_on_all(client.cloud) == Outcome(deleted=1)
    assert await names(client, versions=True) == ["count", "count", "day"]


async def test_deleting_a_live_version_makes_it_noncurrent_first(
    client: Client, clock: Clock
) -> None:
    await ruled(client, (DELETE, {"age": 1}), versioning={"enabled": True})
    await client.put()
    clock.now += DAY
    await act_on_all(client.cloud)
    assert (await names(client), await names(client, versions=True)) == ([], ["object"])
    await act_on_all(client.cloud)
    assert await names(client, versions=True) == []


async def test_objects_move_to_the_coldest_class_wanted_and_never_back(
    client: Client, clock: Clock
) -> None:
    await ruled(
        client,
        (to("COLDLINE"), {"age": 1}),
        (to("NEARLINE"), {"age": 1}),
        (to("STANDARD"), {"age": 2}),
    )
    first = await client.put()
    clock.now += DAY
    assert await act_on_all(client.cloud) == Outcome(moved=1)
    moved = await client.call("objects.get", bucket="bucket", object="object")
    assert (moved["storageClass"], moved["metageneration"]) == ("COLDLINE", "2")
    assert moved["generation"] == first["generation"]
    assert moved["timeStorageClassUpdated"] > first["timeStorageClassUpdated"]
    clock.now += DAY
    assert await act_on_all(client.cloud) == Outcome()


async def test_deletion_comes_before_another_class(client: Client) -> None:
    await ruled(client, (to("ARCHIVE"), {"age": 0}), (DELETE, {"age": 0}))
    await client.put()
    assert await act_on_all(client.cloud) == Outcome(deleted=1)


async def test_what_is_held_or_retained_is_kept(client: Client, clock: Clock) -> None:
    await ruled(client, (DELETE, {"age": 0}), retentionPolicy={"retentionPeriod": "60"})
    await client.put("held")
    await client.call("objects.patch", {"temporaryHold": True}, bucket="bucket", object="held")
    await client.put("retained")
    assert await act_on_all(client.cloud) == Outcome(kept=2)
    clock.now += 61
    assert await act_on_all(client.cloud) == Outcome(deleted=1, kept=1)
    assert await names(client) == ["held"]


async def test_a_noncurrent_version_is_kept_as_long_as_the_policy_says(
    client: Client, clock: Clock
) -> None:
    await ruled(
        client,
        (DELETE, {"isLive": False}),
        versioning={"enabled": True},
        retentionPolicy={"retentionPeriod": "60"},
    )
    await client.put()
    await client.gone("objects.delete", bucket="bucket", object="object")
    assert await act_on_all(client.cloud) == Outcome(kept=1)
    clock.now += 60
    assert await act_on_all(client.cloud) == Outcome(deleted=1)


async def test_what_is_changed_during_a_pass_is_left_to_the_next(client: Client) -> None:
    await ruled(client, (DELETE, {"age": 0}))
    for number in range(AT_ONCE + 1):
        await client.put(f"{number:04}")
    last = f"{AT_ONCE:04}"
    acting = asyncio.create_task(act_on_all(client.cloud))
    await asyncio.sleep(0)  # the pass is in its first part now
    await client.call("objects.patch", {"metadata": {"a": "b"}}, bucket="bucket", object=last)
    assert await acting == Outcome(deleted=AT_ONCE)
    assert await names(client) == [last]


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ({"lifecycle": None}, 1),
        ({"lifecycle": {"rule": [{"action": DELETE, "condition": {"age": 1}}]}}, 1),
        ({"versioning": {"enabled": True}}, 1),
    ],
)
async def test_a_pass_goes_by_what_the_bucket_says_now(
    client: Client, change: dict[str, Any], left: int
) -> None:
    await ruled(client, (DELETE, {"age": 0}))
    for number in range(AT_ONCE + 1):
        await client.put(f"o{number:04}")
    acting = asyncio.create_task(act_on_all(client.cloud))
    await asyncio.sleep(0)
    await client.call("buckets.patch", change, bucket="bucket")
    await acting
    assert len(await names(client, versions=True)) == left


async def test_a_pass_ends_where_its_bucket_is_gone(client: Client) -> None:
    await ruled(client, (DELETE, {"age": 0}))
    for number in range(AT_ONCE + 1):
        await client.put(f"o{number:04}")
    acting = asyncio.create_task(act_on_all(client.cloud))
    await asyncio.sleep(0)
    await client.gone("objects.delete", bucket="bucket", object=f"o{AT_ONCE:04}")
    await client.gone("buckets.delete", bucket="bucket")
    assert await acting == Outcome(deleted=AT_ONCE)


async def test_buckets_without_rules_are_left_alone(client: Client, clock: Clock) -> None:
    await client.bucket()
    await client.put()
    clock.now += 10_000 * DAY
    assert await act_on_all(client.cloud) == Outcome()
