# SPDX-License-Identifier: GPL-3.0-or-later
"""Allow policies of buckets: get, set, test.

https://cloud.google.com/storage/docs/json_api/v1/buckets/setIamPolicy
"""

from __future__ import annotations

from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.errors import ApiError, required_parameter
from cloudspill_sandbox.storage.bucket_documents import touched
from cloudspill_sandbox.storage.bucket_policies import has_conditions, is_public_policy
from cloudspill_sandbox.storage.buckets import (
    found,
    is_uniform,
    prevents_public_access,
    resource_name,
)
from cloudspill_sandbox.storage.cloud import Methods, StorageCloud
from cloudspill_sandbox.storage.names import bucket_name
from cloudspill_sandbox.storage.permissions import BUCKET_TYPE, on_bucket
from cloudspill_sandbox.storage.refusals import (
    condition_not_met,
    invalid,
    precondition_failed,
)


async def _get(cloud: StorageCloud, call: Call) -> Document:
    bucket = found(cloud.store, call.path["bucket"])
    version = call.query.get("optionsRequestedPolicyVersion") or 0
    return _shown(bucket["name"], _read(cloud, bucket["name"], version))


async def _set(cloud: StorageCloud, call: Call) -> Document:
    name = call.path["bucket"]
    resource = resource_name(name)
    with cloud.store.transaction() as tx:
        bucket = found(tx, name)
        _check_new(bucket, call.body)
        etag = call.body.get("etag")
        if etag and etag != (cloud.policies.find(resource) or {}).get("etag"):
            raise precondition_failed()
        try:
            policy = cloud.policies.write(resource, BUCKET_TYPE, call.body, transaction=tx)
        except ApiError as error:
            raise invalid(error.message) from None
        tx.put(bucket_name(name), touched(bucket, cloud.clock()))
    return _shown(name, policy)


async def _test(cloud: StorageCloud, call: Call) -> Document:
    bucket = found(cloud.store, call.path["bucket"])
    asked = call.query.get("permissions")
    if not asked:
        raise required_parameter("permissions")
    held = [
        permission
        for permission in asked
        if cloud.permissions.permits(call.principal, on_bucket(cloud.project, bucket, permission))
    ]
    answer: Document = {"kind": "storage#testIamPermissionsResponse"}
    return answer | ({"permissions": held} if held else {})


def _check_new(bucket: Document, policy: Document) -> None:
    bindings = policy.get("bindings") or []
    if prevents_public_access(bucket) and is_public_policy(bindings):
        raise condition_not_met(
            "The member bindings allUsers and allAuthenticatedUsers are not allowed since public "
            "access prevention is enforced."
        )
    if not is_uniform(bucket) and has_conditions(bindings):
        raise condition_not_met(
            "Conditional role bindings need uniform bucket-level access, which bucket "
            f"{bucket['name']} has not enabled."
        )


def _read(cloud: StorageCloud, bucket: str, version: int) -> Document:
    try:
        return cloud.policies.read(resource_name(bucket), version)
    except ApiError as error:
        raise invalid(error.message) from None


def _shown(bucket: str, policy: Document) -> Document:
    return {"kind": "storage#policy", "resourceId": resource_name(bucket), **policy}


METHODS: Methods = {"getIamPolicy": _get, "setIamPolicy": _set, "testIamPermissions": _test}
