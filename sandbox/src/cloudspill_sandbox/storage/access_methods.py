# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of access control lists: get, list, insert, change, delete.

https://cloud.google.com/storage/docs/json_api/v1/bucketAccessControls,
https://cloud.google.com/storage/docs/json_api/v1/defaultObjectAccessControls,
https://cloud.google.com/storage/docs/json_api/v1/objectAccessControls
"""

from __future__ import annotations

from cloudspill_sandbox.engine.call import Call, Document, Reply
from cloudspill_sandbox.storage.access_control import checked_entity, checked_role
from cloudspill_sandbox.storage.access_lists import (
    AccessLists,
    BucketLists,
    DefaultObjectLists,
    ObjectLists,
    check_counts,
    check_prevention,
)
from cloudspill_sandbox.storage.cloud import Methods, StorageCloud
from cloudspill_sandbox.storage.refusals import not_found


def _methods(lists: AccessLists) -> Methods:
    """Return the methods on one kind of lists."""

    async def get(cloud: StorageCloud, call: Call) -> Document:
        check_counts(lists, cloud.store, call, changes=False)
        return _entry(lists, cloud, call, _asked_entity(cloud, call))

    async def list_entries(cloud: StorageCloud, call: Call) -> Document:
        check_counts(lists, cloud.store, call, changes=False)
        lists.read(cloud, cloud.store, call)  # the preconditions of the call
        return {"kind": lists.kind, "items": lists.entries(cloud, call)}

    async def insert(cloud: StorageCloud, call: Call) -> Document:
        """Add an entry; one that is there gets the new role, as on Google Cloud."""
        check_counts(lists, cloud.store, call, changes=True)
        entity = checked_entity(call.body.get("entity"), cloud.project)
        return _put(lists, cloud, call, entity)

    async def change(cloud: StorageCloud, call: Call) -> Document:
        check_counts(lists, cloud.store, call, changes=True)
        entity = _asked_entity(cloud, call)
        if entity not in lists.read(cloud, cloud.store, call):
            raise not_found()
        return _put(lists, cloud, call, entity)

    async def delete(cloud: StorageCloud, call: Call) -> Reply:
        check_counts(lists, cloud.store, call, changes=True)
        entity = _asked_entity(cloud, call)
        with cloud.store.transaction() as tx:
            acl = lists.read(cloud, tx, call)
            if acl.pop(entity, None) is None:
                raise not_found()
            lists.write(cloud, tx, call, acl)
        return Reply(204, b"")

    return {
        "delete": delete,
        "get": get,
        "insert": insert,
        "list": list_entries,
        "patch": change,
        "update": change,
    }


def _put(lists: AccessLists, cloud: StorageCloud, call: Call, entity: str) -> Document:
    role = checked_role(call.body.get("role"), lists.roles)
    with cloud.store.transaction() as tx:
        acl = lists.read(cloud, tx, call) | {entity: role}
        check_prevention(tx, call, acl)
        lists.write(cloud, tx, call, acl)
    return _entry(lists, cloud, call, entity)


def _asked_entity(cloud: StorageCloud, call: Call) -> str:
    return checked_entity(call.path["entity"], cloud.project)


def _entry(lists: AccessLists, cloud: StorageCloud, call: Call, entity: str) -> Document:
    for entry in lists.entries(cloud, call):
        if entry["entity"] == entity:
            return entry
    raise not_found()


BUCKET_METHODS = _methods(BucketLists())
DEFAULT_OBJECT_METHODS = _methods(DefaultObjectLists())
OBJECT_METHODS = _methods(ObjectLists())
