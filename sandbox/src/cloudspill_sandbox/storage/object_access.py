# SPDX-License-Identifier: GPL-3.0-or-later
"""The access control list of an object: the one it gets, the one asked for, the one shown.

Each object's document keeps its list under `OBJECT_ACL`, roles by entity; objects of buckets with
uniform access keep theirs, and it counts again when that access is taken back.
https://cloud.google.com/storage/docs/access-control/lists
"""

from __future__ import annotations

from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.storage.access_control import (
    OBJECT_ROLES,
    AccessControlList,
    Project,
    checked_list,
    predefined_object_list,
    user_entity,
)
from cloudspill_sandbox.storage.access_entries import object_entries
from cloudspill_sandbox.storage.buckets import (
    DEFAULT_OBJECT_ACL,
    check_lists_apply,
    check_not_public,
    is_uniform,
)

OBJECT_ACL = "_acl"


def first_list(
    call: Call, bucket: Document, project: Project, predefined: str = "predefinedAcl"
) -> AccessControlList:
    """Return the list of a new object: what the call asks for, or the bucket's default.

    Args:
        bucket: document of the bucket that the object will be in.
        predefined: name of the query parameter, `destinationPredefinedAcl` for a copy.

    Raises:
        ApiError: 400 when the bucket has uniform access or an entry cannot be, 412 for a public
            list where the bucket prevents that.
    """
    asked = asked_list(call, bucket, project, predefined, "Cannot insert legacy ACL for an object")
    if asked is not None:
        return asked
    own = {user_entity(call.principal.email): "OWNER"} if call.principal.email else {}
    return dict(bucket[DEFAULT_OBJECT_ACL]) | own


def asked_list(
    call: Call,
    bucket: Document,
    project: Project,
    predefined: str = "predefinedAcl",
    doing: str = "Cannot update access control for an object",
) -> AccessControlList | None:
    """Return the list that a call asks for, None when it says nothing of it.

    Raises:
        ApiError: as `first_list`.
    """
    name, given = call.query.get(predefined), call.body.get("acl")
    if name is None and (given is None or (given == [] and is_uniform(bucket))):
        return None
    check_lists_apply(bucket, doing)
    email = call.principal.email
    if name is not None:
        acl = predefined_object_list(name, project, email)
    else:
        acl = checked_list(given or [], OBJECT_ROLES, project)
    check_not_public(bucket, acl)
    return acl


def shown_lists(call: Call, bucket: Document, document: Document) -> Document:
    """Return what `projection=full` adds to an object: `acl` and `owner`, where lists count."""
    if is_uniform(bucket):
        return {}
    acl = document[OBJECT_ACL]
    owner = next((e for e, role in acl.items() if role == "OWNER" and e.startswith("user-")), None)
    return {
        "acl": object_entries(call, document, acl),
        **({"owner": {"entity": owner}} if owner else {}),
    }
