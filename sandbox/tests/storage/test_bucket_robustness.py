# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a well-formed body asks for, the answer is a bucket, or a refusal and nothing new."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudspill_sandbox.engine.discovery import Api, load_api
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.merge_patch import merged
from cloudspill_sandbox.engine.schema import Schema
from cloudspill_sandbox.storage.access_control import AccessControlList
from cloudspill_sandbox.storage.bucket_policies import list_of, with_list

from .conftest import PROJECT, Client, Clock, cloud_in

STORAGE = load_api("storage", "v1")
WORDS = st.sampled_from(
    [
        *("", "a", "bucket", "US", "us-east1", "EU", "NEARLINE", "STANDARD", "ARCHIVE", "Delete"),
        *("SetStorageClass", "AbortIncompleteMultipartUpload", "enforced", "2026-01-01", "DEFAULT"),
        *("allUsers", "user-a@example.com", "project-owners-p1234", "READER", "OWNER", "ä", "\n"),
    ]
)
LIKELY = {
    "type": st.sampled_from(["Delete", "SetStorageClass"]),
    "storageClass": st.none() | st.sampled_from(["NEARLINE", "ARCHIVE"]),
    "role": st.sampled_from(["READER", "OWNER"]),
    "entity": st.sampled_from(["allUsers", "user-a@example.com"]),
}
NEEDED = {"action", "condition", "type", "role", "entity"}
"""Without these, nothing else of an object would be looked at."""

NUMBERS = st.sampled_from([-1, 0, 1, 60, 604800, 2**31 - 1])


def values(schema: Schema, depth: int = 5) -> st.SearchStrategy[Any]:
    """Return what JSON may say for a schema, null included."""
    if schema.reference is not None:
        schema = STORAGE.schemas[schema.reference]
    if schema.type == "array":
        items = values(schema.items or Schema("any"), depth - 1)
        return st.none() | st.lists(items.filter(_is_given), min_size=1, max_size=2)
    if schema.type == "object":
        return st.none() | objects(schema, depth)
    if schema.enum:
        return st.sampled_from(sorted(schema.enum))
    if schema.type == "boolean":
        return st.none() | st.booleans()
    return st.none() | (NUMBERS if schema.format in ("int32", "int64") else WORDS)


def objects(schema: Schema, depth: int = 5) -> st.SearchStrategy[dict[str, Any]]:
    if schema.additional is not None:
        return st.dictionaries(WORDS, values(schema.additional), max_size=2)
    if depth == 0:
        return st.just({})
    fields = {
        name: LIKELY[name] if name in LIKELY else values(inner, depth - 1)
        for name, inner in schema.properties.items()
    }
    needed = {name: fields.pop(name).filter(_is_given) for name in NEEDED & fields.keys()}
    return st.fixed_dictionaries(needed, optional=fields)


def _is_given(value: Any) -> bool:
    return value is not None


FIELDS = STORAGE.schemas["Bucket"].properties
SETTABLE = (
    *("acl", "autoclass", "cors", "customPlacementConfig", "defaultObjectAcl", "encryption"),
    *("iamConfiguration", "ipFilter", "labels", "lifecycle", "location", "logging", "rpo"),
    *("retentionPolicy", "softDeletePolicy", "storageClass", "versioning", "website"),
)


METHODS = st.sampled_from(["buckets.insert", "buckets.patch", "buckets.update"])


@pytest.mark.parametrize("field", SETTABLE)
@given(method=METHODS, data=st.data())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_any_value_makes_a_bucket_or_a_refusal(
    api: Api, field: str, method: str, data: st.DataObject
) -> None:
    body = {field: data.draw(values(FIELDS[field]))}
    with tempfile.TemporaryDirectory() as folder, cloud_in(api, Path(folder), Clock()) as client:
        where: dict[str, Any] = {"bucket": "bucket"}
        if method == "buckets.insert":
            body, where = body | {"name": "bucket"}, {"project": PROJECT.id}
        else:
            await client.bucket(versioning={"enabled": True}, labels={"a": "b"})
        await answered_or_refused(client, method, body, where)


async def answered_or_refused(
    client: Client, method: str, body: dict[str, Any], where: dict[str, Any]
) -> None:
    before = client.documents()
    try:
        await client.call(method, body, **where)
    except ApiError as error:
        if error.status not in (400, 403, 412, 501):
            raise
        assert client.documents() == before
    else:
        assert await client.call("buckets.get", bucket="bucket", projection="full")


ENTITIES = st.sampled_from(
    [
        *("allUsers", "allAuthenticatedUsers", "user-a@example.com", "group-g@example.com"),
        *("user-r@p1234.iam.gserviceaccount.com", "domain-example.com", "project-viewers-77"),
        *(PROJECT.team(team) for team in ("owners", "editors", "viewers")),
    ]
)
OTHERS = [{"role": "roles/storage.admin", "members": ["allUsers"]}]


@given(st.dictionaries(ENTITIES, st.sampled_from(["OWNER", "WRITER", "READER"])))
def test_a_policy_says_all_that_a_list_does(acl: AccessControlList) -> None:
    bindings = with_list(OTHERS, acl, PROJECT)
    assert list_of(bindings, PROJECT) == acl
    assert with_list(bindings, {}, PROJECT) == OTHERS


@pytest.mark.parametrize(
    ("current", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": 1}, {"a": [1, 2]}, {"a": [1, 2]}),
    ],
)
def test_merge_patches_are_those_of_the_rfc(current: Any, patch: Any, result: Any) -> None:
    assert merged(current, patch) == result


def test_nothing_is_set_by_null_in_a_list() -> None:
    patch = {"rule": [{"condition": {"age": None, "isLive": True}}]}
    assert merged({}, patch) == {"rule": [{"condition": {"isLive": True}}]}
