# SPDX-License-Identifier: GPL-3.0-or-later
"""Buckets: insert, get, list, change, delete.

https://cloud.google.com/storage/docs/json_api/v1/buckets
"""

from __future__ import annotations

import base64
import binascii

from cloudspill_sandbox.engine.call import Call, Document, Reply
from cloudspill_sandbox.engine.errors import required_parameter
from cloudspill_sandbox.storage import (
    bucket_documents,
    bucket_policies,
    preconditions,
    resumable,
)
from cloudspill_sandbox.storage.access_control import AccessControlList, project_private
from cloudspill_sandbox.storage.bucket_access import asked_list
from cloudspill_sandbox.storage.bucket_names import check_bucket_name
from cloudspill_sandbox.storage.buckets import found, is_uniform, resource_name
from cloudspill_sandbox.storage.cloud import Methods, StorageCloud
from cloudspill_sandbox.storage.names import BUCKETS, bucket_name, generations_of, objects_of
from cloudspill_sandbox.storage.permissions import on_bucket
from cloudspill_sandbox.storage.refusals import (
    condition_not_met,
    conflict,
    invalid,
    unsupported,
)

LARGEST_PAGE = 1000


async def _insert(cloud: StorageCloud, call: Call) -> Document:
    name = check_bucket_name(call.body.get("name"))
    _check_project(cloud, call)
    if call.query.get("enableObjectRetention"):
        raise unsupported("enableObjectRetention of a bucket")
    with cloud.store.transaction() as tx:
        if tx.get(bucket_name(name)):
            raise conflict(
                "Your previous request to create the named bucket succeeded and you already own it."
            )
        bucket = bucket_documents.created(
            call, cloud.project, cloud.generations.next(), cloud.clock()
        )
        acl = asked_list(call, bucket, cloud.project) or project_private(cloud.project)
        bindings = bucket_policies.first_bindings(acl, cloud.project, uniform=is_uniform(bucket))
        cloud.policies.put(tx, resource_name(name), bindings)
        tx.put(bucket_name(name), bucket)
    full = "acl" in call.body or "defaultObjectAcl" in call.body
    return _shown(cloud, call, bucket, full_by_default=full)


async def _get(cloud: StorageCloud, call: Call) -> Document:
    if call.query.get("softDeleted"):
        raise unsupported("soft delete (softDeleted)")
    bucket = found(cloud.store, call.path["bucket"])
    preconditions.check(preconditions.given_in(call.query), bucket, reading=True)
    preconditions.check_entity_tags(call, bucket_documents.etag(bucket))
    return _shown(cloud, call, bucket, full_by_default=False)


async def _list(cloud: StorageCloud, call: Call) -> Document:
    _check_project(cloud, call)
    if call.query.get("softDeleted"):
        raise unsupported("soft delete (softDeleted)")
    prefix, after = call.query.get("prefix") or "", _read_token(call.query.get("pageToken"))
    names = sorted(
        name
        for name in cloud.store.children(BUCKETS)
        if name.startswith(prefix)
        and (after is None or name > after)
        and found(cloud.store, name)["projectNumber"] == str(cloud.project.number)
    )
    size = min(call.query.get("maxResults") or LARGEST_PAGE, LARGEST_PAGE)
    page: Document = {"kind": "storage#buckets"}
    if names:
        page["items"] = [_listed(cloud, call, found(cloud.store, name)) for name in names[:size]]
    if len(names) > size:
        page["nextPageToken"] = base64.urlsafe_b64encode(names[size - 1].encode()).decode()
    return page


async def _patch(cloud: StorageCloud, call: Call) -> Document:
    return await _change(cloud, call, bucket_documents.patched)


async def _update(cloud: StorageCloud, call: Call) -> Document:
    return await _change(cloud, call, bucket_documents.replaced)


async def _change(
    cloud: StorageCloud, call: Call, changed: bucket_documents.DocumentChange
) -> Document:
    name = call.path["bucket"]
    with cloud.store.transaction() as tx:
        bucket = found(tx, name)
        preconditions.check(preconditions.given_in(call.query), bucket)
        bucket = changed(call, bucket, cloud.project, cloud.clock())
        bindings = _bindings(cloud, name)
        if not is_uniform(bucket) and bucket_policies.has_conditions(bindings):
            raise condition_not_met(
                "Uniform bucket-level access cannot be disabled while the policy of bucket "
                f"{name} has conditional role bindings."
            )
        acl = asked_list(call, bucket, cloud.project)
        if acl is not None:
            bindings = bucket_policies.with_list(bindings, acl, cloud.project)
            cloud.policies.put(tx, resource_name(name), bindings)
        tx.put(bucket_name(name), bucket)
    return _shown(cloud, call, bucket, full_by_default=True)


async def _delete(cloud: StorageCloud, call: Call) -> Reply:
    name = call.path["bucket"]
    with cloud.store.transaction() as tx:
        bucket = found(tx, name)
        preconditions.check(preconditions.given_in(call.query), bucket)
        if cloud.store.children(objects_of(name)) or cloud.store.children(generations_of(name)):
            raise conflict("The bucket you tried to delete is not empty.")
        removed = resumable.ended_with(cloud, tx, name)
        cloud.policies.forget(tx, resource_name(name))
        tx.delete(bucket_name(name))
    cloud.blobs.remove(*removed)
    return Reply(204, b"")


async def _lock_retention_policy(cloud: StorageCloud, call: Call) -> Document:
    name = call.path["bucket"]
    with cloud.store.transaction() as tx:
        bucket = found(tx, name)
        preconditions.check(preconditions.given_in(call.query), bucket)
        policy = bucket.get("retentionPolicy")
        if policy is None:
            raise invalid(f"Invalid argument. Bucket {name} has no retention policy to lock.")
        bucket = bucket_documents.touched(
            bucket | {"retentionPolicy": policy | {"isLocked": True}}, cloud.clock()
        )
        tx.put(bucket_name(name), bucket)
    return _shown(cloud, call, bucket, full_by_default=True)


async def _get_storage_layout(cloud: StorageCloud, call: Call) -> Document:
    bucket = found(cloud.store, call.path["bucket"])
    parts = ("location", "locationType", "customPlacementConfig")
    return {
        "kind": "storage#storageLayout",
        "bucket": bucket["name"],
        "hierarchicalNamespace": {"enabled": False},
        **{key: bucket[key] for key in parts if key in bucket},
    }


async def _get_service_account(cloud: StorageCloud, call: Call) -> Document:
    """Return Google's own account that would read keys and write notifications for the project."""
    if call.path["projectId"] not in (cloud.project.id, str(cloud.project.number)):
        raise _unknown_project(call.path["projectId"])
    domain = "gs-project-accounts.iam.gserviceaccount.com"
    return {
        "kind": "storage#serviceAccount",
        "email_address": f"service-{cloud.project.number}@{domain}",
    }


def _shown(cloud: StorageCloud, call: Call, bucket: Document, *, full_by_default: bool) -> Document:
    acl: AccessControlList | None = None
    if bucket_documents.is_full(call, by_default=full_by_default):
        acl = bucket_policies.list_of(_bindings(cloud, bucket["name"]), cloud.project)
    return bucket_documents.resource(call, bucket, cloud.project, acl)


def _listed(cloud: StorageCloud, call: Call, bucket: Document) -> Document:
    """Return a bucket of a list: with access control lists if the caller may see this one's."""
    seeing = on_bucket(cloud.project, bucket, "storage.buckets.getIamPolicy")
    if bucket_documents.is_full(call, by_default=False) and not cloud.permissions.permits(
        call.principal, seeing
    ):
        return bucket_documents.resource(call, bucket, cloud.project, None)
    return _shown(cloud, call, bucket, full_by_default=False)


def _bindings(cloud: StorageCloud, bucket: str) -> bucket_policies.Bindings:
    return bucket_policies.bindings_of(cloud.policies, bucket)


def _check_project(cloud: StorageCloud, call: Call) -> None:
    project = call.query.get("project")
    if not project:
        raise required_parameter("project")
    if project not in (cloud.project.id, str(cloud.project.number)):
        raise _unknown_project(project)


def _unknown_project(project: str) -> Exception:
    return invalid(f"Unknown project id: {project}")


def _read_token(text: str | None) -> str | None:
    if not text:
        return None
    try:
        return base64.urlsafe_b64decode(text).decode()
    except (binascii.Error, ValueError):
        raise invalid("Invalid argument. The pageToken is none that a list gave.") from None


METHODS: Methods = {
    "delete": _delete,
    "get": _get,
    "getStorageLayout": _get_storage_layout,
    "insert": _insert,
    "list": _list,
    "lockRetentionPolicy": _lock_retention_policy,
    "patch": _patch,
    "update": _update,
}

SERVICE_ACCOUNT_METHODS: Methods = {"get": _get_service_account}
