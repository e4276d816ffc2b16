# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what with buckets and objects: policies, access control lists, the public."""

from __future__ import annotations

from typing import Any

import pytest

from cloudspill_sandbox.engine.call import Call
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.storage.service import storage_service

from .conftest import OWNER, PROJECT, STRANGER, Client

UNIFORM = {"uniformBucketLevelAccess": {"enabled": True}}
PREVENTED = {"publicAccessPrevention": "enforced"}
MEMBER = f"user:{STRANGER.email}"
NEED: dict[str, dict[str, Any]] = {
    "buckets.get": {},
    "buckets.patch": {"body": {}},
    "buckets.getIamPolicy": {},
    "objects.list": {},
    "bucketAccessControls.list": {},
    "defaultObjectAccessControls.list": {},
    "objects.get": {"object": "object"},
    "objects.patch": {"object": "object", "body": {}, "projection": "noAcl"},
    "objects.insert": {"name": "new", "media": b"x"},
    "buckets.delete": {},
    "objects.delete": {"object": "object"},
}
"""Calls, with what they need of a bucket with an object; the last delete."""


async def bind(client: Client, *bindings: tuple[str, str], bucket: str = "bucket") -> None:
    policy = await client.call("buckets.getIamPolicy", bucket=bucket)
    added = [{"role": role, "members": [member]} for role, member in bindings]
    body = {"etag": policy["etag"], "bindings": policy["bindings"] + added}
    await client.call("buckets.setIamPolicy", body, bucket=bucket)


async def allowed(client: Client) -> set[str]:
    """Return which of the methods above are not refused for want of permission."""
    done = set(NEED)
    for method, parameters in NEED.items():
        try:
            await client.call(method, bucket="bucket", **parameters)
        except ApiError as error:
            if error.status == 403:
                done.remove(method)
            elif error.status != 409:  # a bucket that is not empty
                raise
    return done


@pytest.mark.parametrize(
    ("role", "methods"),
    [
        ("storage.objectViewer", {"objects.get", "objects.list"}),
        ("storage.objectCreator", {"objects.insert"}),
        (
            "storage.objectAdmin",
            {"objects.get", "objects.list", "objects.patch", "objects.insert", "objects.delete"},
        ),
        ("storage.legacyBucketReader", {"buckets.get", "objects.list"}),
        (
            "storage.legacyBucketWriter",
            {"buckets.get", "objects.list", "objects.insert", "objects.delete"},
        ),
        ("storage.legacyObjectReader", {"objects.get"}),
        ("storage.legacyObjectOwner", {"objects.get", "objects.patch"}),
    ],
)
async def test_roles_on_a_bucket_let_in_to_what_they_name(
    client: Client, stranger: Client, role: str, methods: set[str]
) -> None:
    await client.bucket()
    await client.put()
    assert await allowed(stranger) == set()
    await bind(client, (f"roles/{role}", MEMBER))
    assert await allowed(stranger) == methods


async def test_an_admin_of_the_bucket_may_do_everything(client: Client, stranger: Client) -> None:
    await client.bucket()
    await client.put()
    await bind(client, ("roles/storage.admin", MEMBER))
    assert await allowed(stranger) == set(NEED)
    error = await stranger.refused("buckets.insert", {"name": "mine"}, project=PROJECT.id)
    assert (error.status, error.reason) == (403, "forbidden")
    assert error.message == (
        "stranger@example.org does not have storage.buckets.create access to the Google Cloud "
        "project. Permission 'storage.buckets.create' denied on resource (or it may not exist)."
    )


async def test_refusals_name_the_caller_the_permission_and_the_kind_of_thing(
    client: Client, stranger: Client, anonymous: Client
) -> None:
    await client.bucket()
    await client.put()
    error = await stranger.refused("buckets.get", bucket="bucket")
    assert (error.status, error.reason) == (403, "forbidden")
    assert error.message == (
        "stranger@example.org does not have storage.buckets.get access to the Google Cloud Storage "
        "bucket. Permission 'storage.buckets.get' denied on resource (or it may not exist)."
    )
    error = await anonymous.refused("objects.get", bucket="bucket", object="object")
    assert (error.status, error.reason, error.location) == (401, "required", "Authorization")
    assert error.message == (
        "Anonymous caller does not have storage.objects.get access to the Google Cloud Storage "
        "object. Permission 'storage.objects.get' denied on resource (or it may not exist)."
    )


async def test_who_may_not_list_is_not_told_what_is_missing(
    client: Client, stranger: Client, anonymous: Client
) -> None:
    await client.bucket()
    await bind(client, ("roles/storage.legacyObjectReader", MEMBER))
    hidden = await stranger.refused("objects.get", bucket="bucket", object="missing")
    assert (hidden.status, "storage.objects.list" in hidden.message) == (403, True)
    await bind(client, ("roles/storage.objectViewer", MEMBER))
    assert (await stranger.refused("objects.get", bucket="bucket", object="missing")).status == 404
    assert (await anonymous.refused("buckets.get", bucket="nowhere")).status == 401
    assert (await stranger.refused("buckets.get", bucket="nowhere")).status == 404


async def test_overwriting_needs_permission_to_delete(client: Client, stranger: Client) -> None:
    await client.bucket()
    await bind(client, ("roles/storage.objectCreator", MEMBER))
    await stranger.put("new")
    error = await stranger.refused("objects.insert", bucket="bucket", name="new", media=b"y")
    assert (error.status, "storage.objects.delete" in error.message) == (403, True)


@pytest.mark.parametrize("setting", ["acl", "predefinedAcl", "publicAccessPrevention"])
async def test_setting_access_needs_more_than_update(client: Client, setting: str) -> None:
    await client.bucket()
    role = {"role": "projects/p1234/roles/changer", "members": [MEMBER]}
    included = [f"storage.buckets.{verb}" for verb in ("get", "update", "getIamPolicy")]
    client.cloud.store.put(role["role"], {"name": role["role"], "includedPermissions": included})  # type: ignore[arg-type]
    with client.cloud.store.transaction() as tx:
        client.iam.policies.put(tx, "projects/_/buckets/bucket", [role])
    changer = client.by(STRANGER)
    await changer.call("buckets.patch", {"labels": {"a": "b"}}, bucket="bucket")
    given: dict[str, Any] = {"body": {"acl": []}}
    if setting == "predefinedAcl":
        given = {"body": {}, "predefinedAcl": "private"}
    elif setting == "publicAccessPrevention":
        given = {"body": {"iamConfiguration": PREVENTED}}
    error = await changer.refused("buckets.patch", bucket="bucket", **given)
    assert "storage.buckets.setIamPolicy" in error.message


async def test_the_list_and_the_policy_of_a_bucket_are_one(client: Client) -> None:
    await client.bucket()
    policy = await client.call("buckets.getIamPolicy", bucket="bucket")
    assert {binding["role"]: binding["members"] for binding in policy["bindings"]} == {
        "roles/storage.legacyBucketOwner": ["projectEditor:p1234", "projectOwner:p1234"],
        "roles/storage.legacyBucketReader": ["projectViewer:p1234"],
    }
    entry = {"entity": f"user-{STRANGER.email}", "role": "WRITER"}
    await client.call("bucketAccessControls.insert", entry, bucket="bucket")
    policy = await client.call("buckets.getIamPolicy", bucket="bucket")
    writer = {"role": "roles/storage.legacyBucketWriter", "members": [MEMBER]}
    assert writer in policy["bindings"]
    await bind(client, ("roles/storage.legacyBucketOwner", "allAuthenticatedUsers"))
    listed = await client.call("bucketAccessControls.list", bucket="bucket")
    roles = {item["entity"]: item["role"] for item in listed["items"]}
    assert roles["allAuthenticatedUsers"] == "OWNER"
    assert roles[f"user-{STRANGER.email}"] == "WRITER"
    team = f"project-viewers-{PROJECT.number}"
    await client.gone("bucketAccessControls.delete", bucket="bucket", entity=team)
    policy = await client.call("buckets.getIamPolicy", bucket="bucket")
    assert "roles/storage.legacyBucketReader" not in {b["role"] for b in policy["bindings"]}


async def test_a_bucket_without_lists_starts_with_roles_for_its_objects(client: Client) -> None:
    await client.bucket(iamConfiguration=UNIFORM)
    policy = await client.call("buckets.getIamPolicy", bucket="bucket")
    assert {binding["role"] for binding in policy["bindings"]} == {
        f"roles/storage.legacy{kind}"
        for kind in ("BucketOwner", "BucketReader", "ObjectOwner", "ObjectReader")
    }


async def test_an_objects_list_lets_in_readers_and_owners(client: Client, stranger: Client) -> None:
    await client.bucket()
    await client.put()
    place: dict[str, Any] = {"bucket": "bucket", "object": "object"}
    entity = f"user-{STRANGER.email}"
    entry = {"entity": entity, "role": "READER"}
    await client.call("objectAccessControls.insert", entry, **place)
    assert await allowed(stranger) == {"objects.get"}
    await client.call("objectAccessControls.patch", {"role": "OWNER"}, entity=entity, **place)
    assert await allowed(stranger) == {"objects.get", "objects.patch"}
    await client.gone("objectAccessControls.delete", entity=entity, **place)
    assert await allowed(stranger) == set()


async def test_an_objects_list_counts_for_nothing_where_only_iam_does(
    client: Client, anonymous: Client
) -> None:
    await client.bucket()
    await client.put(predefinedAcl="publicRead")
    await anonymous.call("objects.get", bucket="bucket", object="object")
    await client.call("buckets.patch", {"iamConfiguration": UNIFORM}, bucket="bucket")
    assert (await anonymous.refused("objects.get", bucket="bucket", object="object")).status == 401


async def test_lists_of_buckets_show_lists_to_who_may_see_each(
    client: Client, stranger: Client
) -> None:
    for name in ("mine", "other"):
        await client.bucket(name)
    await bind(client, ("roles/storage.admin", MEMBER), bucket="mine")
    with client.cloud.store.transaction() as tx:
        bindings = [
            {"role": "roles/owner", "members": [f"user:{OWNER.email}"]},
            {"role": "roles/viewer", "members": [MEMBER]},
        ]
        client.iam.policies.put(tx, "projects/p1234", bindings)
    listed = await stranger.call("buckets.list", project=PROJECT.id, projection="full")
    assert ["acl" in bucket for bucket in listed["items"]] == [True, False]


@pytest.mark.parametrize(("team", "may"), [("owner", True), ("editor", True), ("viewer", False)])
async def test_teams_of_the_project_own_objects_by_default(
    client: Client, team: str, may: bool
) -> None:
    await client.bucket()
    await client.put()
    with client.cloud.store.transaction() as tx:
        bindings = [
            {"role": "roles/owner", "members": [f"user:{OWNER.email}"]},
            {"role": f"roles/{team}", "members": [MEMBER]},
        ]
        client.iam.policies.put(tx, "projects/p1234", bindings)
    member = client.by(STRANGER)
    place: dict[str, Any] = {"bucket": "bucket", "object": "object"}
    await member.call("objects.get", **place)
    if may:
        await member.call("objects.patch", {"metadata": {"a": "b"}}, **place)
    else:
        assert (await member.refused("objects.patch", {}, **place)).status == 403


async def test_the_public_reads_what_is_public(client: Client, anonymous: Client) -> None:
    await client.bucket()
    await client.put()
    await client.put("public", predefinedAcl="publicRead")
    await anonymous.call("objects.get", bucket="bucket", object="public")
    assert (await anonymous.refused("objects.get", bucket="bucket", object="object")).status == 401
    assert (await anonymous.refused("objects.list", bucket="bucket")).status == 401
    await bind(client, ("roles/storage.objectViewer", "allUsers"))
    await anonymous.call("objects.get", bucket="bucket", object="object")
    await anonymous.call("objects.list", bucket="bucket")
    assert (await anonymous.refused("buckets.get", bucket="bucket")).status == 401


async def test_prevention_shuts_the_public_out_whatever_was_granted(
    client: Client, anonymous: Client, stranger: Client
) -> None:
    await client.bucket()
    await client.put("listed", predefinedAcl="publicRead")
    await bind(client, ("roles/storage.objectViewer", "allAuthenticatedUsers"))
    await anonymous.call("objects.get", bucket="bucket", object="listed")
    await stranger.call("objects.list", bucket="bucket")
    await client.call("buckets.patch", {"iamConfiguration": PREVENTED}, bucket="bucket")
    assert (await anonymous.refused("objects.get", bucket="bucket", object="listed")).status == 401
    assert (await stranger.refused("objects.list", bucket="bucket")).status == 403
    back = {"iamConfiguration": {"publicAccessPrevention": "inherited"}}
    await client.call("buckets.patch", back, bucket="bucket")
    await stranger.call("objects.list", bucket="bucket")


async def test_prevention_refuses_new_public_access(client: Client) -> None:
    await client.bucket(iamConfiguration=PREVENTED)
    await client.put()
    binding = {"role": "roles/storage.objectViewer", "members": ["allUsers"]}
    refused = await client.refused("buckets.setIamPolicy", {"bindings": [binding]}, bucket="bucket")
    assert (refused.status, refused.reason) == (412, "conditionNotMet")
    assert refused.message == (
        "The member bindings allUsers and allAuthenticatedUsers are not allowed since public "
        "access prevention is enforced."
    )
    entry = {"entity": "allUsers", "role": "READER"}
    place: dict[str, Any] = {"bucket": "bucket", "object": "object"}
    for method, parameters in (
        ("bucketAccessControls.insert", {"bucket": "bucket"}),
        ("defaultObjectAccessControls.insert", {"bucket": "bucket"}),
        ("objectAccessControls.insert", place),
    ):
        error = await client.refused(method, entry, **parameters)
        assert (error.status, error.reason) == (412, "conditionNotMet")


async def test_every_method_says_what_it_needs(client: Client) -> None:
    await client.bucket()
    bucket_of = ("bucket", "sourceBucket", "destinationBucket")
    known = {"projectId": PROJECT.id, **dict.fromkeys(bucket_of, "bucket")}
    for name in set(storage_service(client.cloud)) - {"storage.buckets.testIamPermissions"}:
        path = {field: known.get(field, "x") for field in client.api.methods[name].path_parameters}
        with pytest.raises(ApiError) as caught:
            client.iam.authorizer.authorize(Call(name, path, {}, {}, STRANGER))
        assert caught.value.status == 403, name
