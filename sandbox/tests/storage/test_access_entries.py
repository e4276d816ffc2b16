# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of access control lists and policies: their forms, their refusals, their etags."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import PROJECT, Client

UNIFORM = {"uniformBucketLevelAccess": {"enabled": True}}
ON_BUCKET: dict[str, Any] = {"bucket": "bucket"}
ON_OBJECT: dict[str, Any] = {"bucket": "bucket", "object": "object"}
LISTS = [
    ("bucketAccessControls", ON_BUCKET),
    ("defaultObjectAccessControls", ON_BUCKET),
    ("objectAccessControls", ON_OBJECT),
]
JANE = {"entity": "user-jane@example.com", "role": "READER"}


@pytest.mark.parametrize(("kind", "place"), LISTS)
async def test_an_entry_is_inserted_read_changed_and_deleted(
    client: Client, kind: str, place: dict[str, Any]
) -> None:
    await client.bucket()
    await client.put()
    at = place | {"entity": JANE["entity"]}
    made = await client.call(f"{kind}.insert", JANE, **place)
    assert (made["entity"], made["role"], made["email"]) == (*JANE.values(), "jane@example.com")
    assert made["bucket"] == "bucket"
    assert made == await client.call(f"{kind}.get", **at)
    changed = await client.call(f"{kind}.update", JANE | {"role": "OWNER"}, **at)
    assert (changed["role"], changed["etag"] != made["etag"]) == ("OWNER", True)
    listed = await client.call(f"{kind}.list", **place)
    assert changed in listed["items"]
    await client.gone(f"{kind}.delete", **at)
    for method, body in (("get", None), ("delete", None), ("patch", JANE)):
        error = await client.refused(f"{kind}.{method}", body, **at)
        assert (error.status, error.reason) == (404, "notFound")


@pytest.mark.parametrize(("kind", "place"), LISTS)
async def test_entries_that_cannot_be_are_refused(
    client: Client, kind: str, place: dict[str, Any]
) -> None:
    await client.bucket()
    await client.put()
    for body, reason in (
        ({"role": "READER"}, "required"),
        ({"entity": "allUsers"}, "required"),
        ({"entity": "jane", "role": "READER"}, "invalid"),
        ({"entity": "allUsers", "role": "GUEST"}, "invalid"),
    ):
        error = await client.refused(f"{kind}.insert", body, **place)
        assert (error.status, error.reason) == (400, reason)


async def test_only_buckets_have_writers(client: Client) -> None:
    await client.bucket()
    await client.put()
    writer = JANE | {"role": "WRITER"}
    await client.call("bucketAccessControls.insert", writer, **ON_BUCKET)
    assert (await client.refused("objectAccessControls.insert", writer, **ON_OBJECT)).status == 400


@pytest.mark.parametrize(
    ("method", "parameters", "doing"),
    [
        ("bucketAccessControls.list", ON_BUCKET, "Cannot use ACL API to get bucket policy"),
        ("bucketAccessControls.insert", ON_BUCKET, "Cannot use ACL API to update bucket policy"),
        ("defaultObjectAccessControls.list", ON_BUCKET, "Cannot use ACL API to get bucket policy"),
        (
            "defaultObjectAccessControls.insert",
            ON_BUCKET,
            "Cannot use ACL API to update bucket policy",
        ),
        ("objectAccessControls.list", ON_OBJECT, "Cannot get legacy ACL for an object"),
        (
            "objectAccessControls.insert",
            ON_OBJECT,
            "Cannot update access control for an object",
        ),
        (
            "objects.insert",
            {"bucket": "bucket", "name": "new", "media": b"x", "predefinedAcl": "publicRead"},
            "Cannot insert legacy ACL for an object",
        ),
        (
            "buckets.patch",
            ON_BUCKET | {"predefinedAcl": "private"},
            "Cannot use ACL API to set bucket policy",
        ),
        (
            "buckets.patch",
            ON_BUCKET | {"predefinedDefaultObjectAcl": "private"},
            "Cannot use ACL API to set bucket policy",
        ),
    ],
)
async def test_lists_are_refused_where_only_iam_counts(
    client: Client, method: str, parameters: dict[str, Any], doing: str
) -> None:
    await client.bucket(iamConfiguration=UNIFORM)
    await client.put()
    body = JANE if method.endswith("Controls.insert") else None
    error = await client.refused(method, body, **parameters)
    assert (error.status, error.reason) == (400, "invalid")
    assert error.message == (
        f"{doing} when uniform bucket-level access is enabled. Read more at "
        "https://cloud.google.com/storage/docs/uniform-bucket-level-access"
    )


async def test_teams_go_by_number_whatever_was_written(client: Client) -> None:
    await client.bucket()
    entry = {"entity": f"project-viewers-{PROJECT.id}", "role": "OWNER"}
    made = await client.call("bucketAccessControls.insert", entry, **ON_BUCKET)
    assert made["entity"] == f"project-viewers-{PROJECT.number}"
    assert made["projectTeam"] == {"team": "viewers", "projectNumber": str(PROJECT.number)}


@pytest.mark.parametrize(
    ("predefined", "entries"),
    [
        ("private", {"owners": "OWNER"}),
        ("projectPrivate", {"owners": "OWNER", "editors": "OWNER", "viewers": "READER"}),
        ("authenticatedRead", {"owners": "OWNER", "allAuthenticatedUsers": "READER"}),
        ("publicRead", {"owners": "OWNER", "allUsers": "READER"}),
        ("publicReadWrite", {"owners": "OWNER", "allUsers": "WRITER"}),
    ],
)
async def test_predefined_lists_of_buckets(
    client: Client, predefined: str, entries: dict[str, str]
) -> None:
    await client.bucket()
    patched = await client.call("buckets.patch", {}, bucket="bucket", predefinedAcl=predefined)
    suffix = f"-{PROJECT.number}"
    shown = {e["entity"].removesuffix(suffix): e["role"] for e in patched["acl"]}
    assert {entity.removeprefix("project-"): role for entity, role in shown.items()} == entries


async def test_new_objects_get_the_buckets_default_and_their_writer(client: Client) -> None:
    entries = [{"entity": "allUsers", "role": "READER"}]
    bucket = await client.bucket(defaultObjectAcl=entries)
    assert [entry["entity"] for entry in bucket["defaultObjectAcl"]] == ["allUsers"]
    await client.put()
    listed = await client.call("objectAccessControls.list", **ON_OBJECT)
    assert {entry["entity"]: entry["role"] for entry in listed["items"]} == {
        "allUsers": "READER",
        "user-owner@example.org": "OWNER",
    }


async def test_full_projections_alone_show_lists(client: Client) -> None:
    await client.bucket()
    assert "acl" not in await client.call("buckets.get", bucket="bucket")
    full = await client.call("buckets.get", bucket="bucket", projection="full")
    assert full["owner"] == {"entity": f"project-owners-{PROJECT.number}"}
    assert len(full["acl"]) == len(full["defaultObjectAcl"]) == 3
    listed = await client.call("buckets.list", project=PROJECT.id, projection="full")
    assert listed["items"] == [full]
    patched = await client.call("buckets.patch", {}, bucket="bucket", projection="noAcl")
    assert not {"acl", "defaultObjectAcl", "owner"} & set(patched)


async def test_a_policy_is_set_by_who_read_the_current_one(client: Client) -> None:
    await client.bucket()
    first = await client.call("buckets.getIamPolicy", bucket="bucket")
    assert first["resourceId"] == "projects/_/buckets/bucket"
    second = await client.call("buckets.setIamPolicy", first, bucket="bucket")
    assert second["etag"] != first["etag"]
    assert (await client.call("buckets.get", bucket="bucket"))["metageneration"] == "2"
    error = await client.refused("buckets.setIamPolicy", first, bucket="bucket")
    assert (error.status, error.reason) == (412, "conditionNotMet")
    await client.call("buckets.setIamPolicy", {"bindings": first["bindings"]}, bucket="bucket")


@pytest.mark.parametrize(
    ("binding", "status", "part"),
    [
        ({"role": "roles/compute.admin", "members": ["allUsers"]}, 400, "roles/compute.admin"),
        ({"role": "roles/storage.admin", "members": ["jane"]}, 400, "jane"),
        (
            {
                "role": "roles/storage.admin",
                "members": ["user:jane@example.com"],
                "condition": {"title": "t", "expression": "true"},
            },
            412,
            "uniform bucket-level access",
        ),
    ],
)
async def test_policies_that_cannot_be_are_refused(
    client: Client, binding: dict[str, Any], status: int, part: str
) -> None:
    await client.bucket()
    body = {"version": 3, "bindings": [binding]}
    error = await client.refused("buckets.setIamPolicy", body, bucket="bucket")
    assert error.status == status
    assert error.reason == {400: "invalid", 412: "conditionNotMet"}[status]
    assert part in error.message


async def test_a_condition_on_the_objects_name_counts(client: Client, stranger: Client) -> None:
    await client.bucket(iamConfiguration=UNIFORM)
    for name in ("open/a", "shut/a"):
        await client.put(name)
    prefix = "projects/_/buckets/bucket/objects/open/"
    binding = {
        "role": "roles/storage.objectViewer",
        "members": ["user:stranger@example.org"],
        "condition": {"title": "open", "expression": f"resource.name.startsWith('{prefix}')"},
    }
    body = {"version": 3, "bindings": [binding]}
    await client.call("buckets.setIamPolicy", body, bucket="bucket")
    await stranger.call("objects.get", bucket="bucket", object="open/a")
    error = await stranger.refused("objects.get", bucket="bucket", object="shut/a")
    assert error.status == 403


async def test_conditions_keep_uniform_access(client: Client) -> None:
    await client.bucket(iamConfiguration=UNIFORM)
    binding = {
        "role": "roles/storage.legacyBucketReader",
        "members": ["user:jane@example.com"],
        "condition": {"title": "t", "expression": "resource.name.startsWith('a')"},
    }
    admin = {"role": "roles/storage.admin", "members": ["user:owner@example.org"]}
    body = {"version": 3, "bindings": [binding, admin]}
    await client.call("buckets.setIamPolicy", body, bucket="bucket")
    off = {"iamConfiguration": {"uniformBucketLevelAccess": {"enabled": False}}}
    error = await client.refused("buckets.patch", off, bucket="bucket")
    assert (error.status, error.reason) == (412, "conditionNotMet")


async def test_who_has_several_roles_is_listed_with_the_highest(client: Client) -> None:
    await client.bucket()
    roles = ("legacyBucketReader", "legacyBucketOwner", "legacyBucketWriter")
    bindings = [{"role": f"roles/storage.{r}", "members": ["allUsers"]} for r in roles]
    owner = {"role": "roles/storage.admin", "members": ["user:owner@example.org"]}
    await client.call("buckets.setIamPolicy", {"bindings": [*bindings, owner]}, **ON_BUCKET)
    listed = await client.call("bucketAccessControls.list", **ON_BUCKET)
    assert [(entry["entity"], entry["role"]) for entry in listed["items"]] == [
        ("allUsers", "OWNER")
    ]


async def test_anybody_may_ask_what_they_may_do(client: Client, stranger: Client) -> None:
    await client.bucket()
    asked: dict[str, Any] = {"bucket": "bucket", "permissions": ["storage.buckets.get", "no.such"]}
    held = await client.call("buckets.testIamPermissions", **asked)
    assert held["permissions"] == ["storage.buckets.get"]
    assert "permissions" not in await stranger.call("buckets.testIamPermissions", **asked)
