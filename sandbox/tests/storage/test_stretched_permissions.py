# SPDX-License-Identifier: GPL-3.0-or-later
"""What a permission must not be stretched to by a method that is about something else."""

from __future__ import annotations

from typing import Any

import pytest

from cloudspill_sandbox.engine.errors import ApiError

from .conftest import PROJECT, Client
from .test_access import MEMBER, PREVENTED, UNIFORM, bind

COMPOSED: dict[str, Any] = {"destinationBucket": "bucket", "destinationObject": "whole"}


async def test_composing_deletes_sources_only_for_who_may_delete(
    client: Client, stranger: Client
) -> None:
    await client.bucket(iamConfiguration=UNIFORM)
    await bind(
        client, ("roles/storage.objectCreator", MEMBER), ("roles/storage.objectViewer", MEMBER)
    )
    await client.put("part")
    body = {"sourceObjects": [{"name": "part"}]}
    refusal = await stranger.refused(
        "objects.compose", body | {"deleteSourceObjects": True}, **COMPOSED
    )
    assert (refusal.status, "storage.objects.delete" in refusal.message) == (403, True)
    assert (await stranger.call("objects.compose", body, **COMPOSED))["name"] == "whole"


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("patch", {"iamConfiguration": {"publicAccessPrevention": None}}),
        ("patch", {"iamConfiguration": {"publicAccessPrevention": "inherited"}}),
        ("patch", {"iamConfiguration": None}),
        ("update", {"labels": {"a": "b"}}),
        ("update", {"iamConfiguration": UNIFORM}),
    ],
)
async def test_the_public_is_let_in_again_only_by_who_sets_access(
    client: Client, stranger: Client, method: str, body: dict[str, Any]
) -> None:
    await client.bucket(iamConfiguration=UNIFORM | PREVENTED)
    await _may_update(client)
    refusal = await stranger.refused(f"buckets.{method}", body, bucket="bucket", projection="noAcl")
    assert (refusal.status, "storage.buckets.setIamPolicy" in refusal.message) == (403, True)


async def test_what_leaves_prevention_alone_needs_no_more_than_update(
    client: Client, stranger: Client
) -> None:
    await client.bucket(iamConfiguration=UNIFORM | PREVENTED)
    await _may_update(client)
    for body in ({"labels": {"a": "b"}}, {"iamConfiguration": UNIFORM}):
        answer = await stranger.call("buckets.patch", body, bucket="bucket", projection="noAcl")
        assert answer["iamConfiguration"]["publicAccessPrevention"] == "enforced"


async def test_an_upload_that_was_begun_before_overwrites_only_what_its_writer_may_delete(
    client: Client, stranger: Client
) -> None:
    from .test_resumable import begun, send

    await client.bucket(iamConfiguration=UNIFORM)
    await bind(client, ("roles/storage.objectCreator", MEMBER))
    upload = await begun(stranger)
    await client.put("object", b"the owner's")
    with pytest.raises(ApiError, match=r"storage\.objects\.delete") as refusal:
        await send(client, upload, b"another's")
    assert refusal.value.status == 403
    kept = await client.call("objects.get", bucket="bucket", object="object")
    assert kept["size"] == str(len(b"the owner's"))


async def _may_update(client: Client) -> None:
    role = {"includedPermissions": ["storage.buckets.get", "storage.buckets.update"]}
    name = client.iam.custom_roles.create(f"projects/{PROJECT.id}", "updater", role)["name"]
    await bind(client, (name, MEMBER))
