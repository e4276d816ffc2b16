# SPDX-License-Identifier: GPL-3.0-or-later
"""The access control lists that a call wants a bucket to have: its own, and its objects' default.

https://cloud.google.com/storage/docs/json_api/v1/buckets/insert
"""

from __future__ import annotations

from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.storage.access_control import (
    BUCKET_ROLES,
    OBJECT_ROLES,
    AccessControlList,
    Project,
    checked_list,
    predefined_bucket_list,
    predefined_object_list,
)
from cloudspill_sandbox.storage.buckets import check_lists_apply, check_not_public, is_uniform

_SET_POLICY = "Cannot use ACL API to set bucket policy"


def asked_list(call: Call, bucket: Document, project: Project) -> AccessControlList | None:
    """Return the bucket's list that a call asks for, None when it says nothing of it."""
    predefined, given = call.query.get("predefinedAcl"), call.body.get("acl")
    if predefined is None and (given is None or (given == [] and is_uniform(bucket))):
        return None
    check_lists_apply(bucket, _SET_POLICY)
    if predefined is not None:
        acl = predefined_bucket_list(predefined, project)
    else:
        # The project's owners cannot be shut out.
        owners = {project.team("owners"): "OWNER"}
        acl = checked_list(given or [], BUCKET_ROLES, project) | owners
    check_not_public(bucket, acl)
    return acl


def asked_object_list(call: Call, bucket: Document, project: Project) -> AccessControlList | None:
    """Return the list for new objects that a call asks for, None when it says nothing of it."""
    predefined = call.query.get("predefinedDefaultObjectAcl")
    given = call.body.get("defaultObjectAcl")
    if predefined is None and (given is None or (given == [] and is_uniform(bucket))):
        return None
    check_lists_apply(bucket, _SET_POLICY)
    if predefined is not None:
        acl = predefined_object_list(predefined, project, "")
    else:
        acl = checked_list(given or [], OBJECT_ROLES, project)
    check_not_public(bucket, acl)
    return acl
