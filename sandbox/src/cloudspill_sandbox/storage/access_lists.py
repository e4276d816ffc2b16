# SPDX-License-Identifier: GPL-3.0-or-later
"""The three access control lists that have an API of their own, behind one interface.

Of a bucket; of a bucket's new objects; of an object.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.store import Transaction
from cloudspill_sandbox.storage import access_entries, bucket_policies, preconditions
from cloudspill_sandbox.storage.access_control import (
    BUCKET_ROLES,
    OBJECT_ROLES,
    AccessControlList,
)
from cloudspill_sandbox.storage.bucket_documents import touched
from cloudspill_sandbox.storage.buckets import (
    DEFAULT_OBJECT_ACL,
    Reader,
    check_lists_apply,
    check_not_public,
    found,
    resource_name,
)
from cloudspill_sandbox.storage.cloud import StorageCloud
from cloudspill_sandbox.storage.names import bucket_name
from cloudspill_sandbox.storage.object_access import OBJECT_ACL
from cloudspill_sandbox.storage.objects import found_object, is_live, place_of
from cloudspill_sandbox.storage.timestamps import timestamp


class AccessLists(Protocol):
    """One kind of access control lists; which of them, the path of the call says.

    Attributes:
        kind: of the answer to a list call.
        roles: that its entries may have.
        getting: what a refusal says that it refuses, see `refusals.not_with_uniform_access`.
        changing: the same of a change.
    """

    kind: str
    roles: Sequence[str]
    getting: str
    changing: str

    def read(self, cloud: StorageCloud, reader: Reader, call: Call) -> AccessControlList:
        """Return the list; raises ApiError 404 when what it belongs to is not there."""

    def write(
        self, cloud: StorageCloud, tx: Transaction, call: Call, acl: AccessControlList
    ) -> None:
        """Put another list in its place."""

    def entries(self, cloud: StorageCloud, call: Call) -> list[Document]:
        """Return the entries as an answer shows them."""


class BucketLists:
    """Lists of buckets, which are bindings of their policies."""

    kind = "storage#bucketAccessControls"
    roles: Sequence[str] = BUCKET_ROLES
    getting = "Cannot use ACL API to get bucket policy"
    changing = "Cannot use ACL API to update bucket policy"

    def read(self, cloud: StorageCloud, reader: Reader, call: Call) -> AccessControlList:
        """Return the list of a bucket."""
        name = found(reader, call.path["bucket"])["name"]
        return bucket_policies.list_of(_bindings(cloud, name), cloud.project)

    def write(
        self, cloud: StorageCloud, tx: Transaction, call: Call, acl: AccessControlList
    ) -> None:
        """Change the policy of a bucket."""
        bucket = found(tx, call.path["bucket"])
        name = bucket["name"]
        bindings = bucket_policies.with_list(_bindings(cloud, name), acl, cloud.project)
        cloud.policies.put(tx, resource_name(name), bindings)
        tx.put(bucket_name(name), touched(bucket, cloud.clock()))

    def entries(self, cloud: StorageCloud, call: Call) -> list[Document]:
        """Return the entries of a bucket's list."""
        bucket = found(cloud.store, call.path["bucket"])
        return access_entries.bucket_entries(call, bucket, self.read(cloud, cloud.store, call))


class DefaultObjectLists:
    """Lists that new objects of a bucket get."""

    kind = "storage#objectAccessControls"
    roles: Sequence[str] = OBJECT_ROLES
    getting = "Cannot use ACL API to get bucket policy"
    changing = "Cannot use ACL API to update bucket policy"

    def read(self, cloud: StorageCloud, reader: Reader, call: Call) -> AccessControlList:  # noqa: ARG002
        """Return the list for new objects of a bucket."""
        bucket = found(reader, call.path["bucket"])
        preconditions.check(preconditions.given_in(call.query), bucket, reading=True)
        return dict(bucket[DEFAULT_OBJECT_ACL])

    def write(
        self, cloud: StorageCloud, tx: Transaction, call: Call, acl: AccessControlList
    ) -> None:
        """Change the bucket's document."""
        bucket = found(tx, call.path["bucket"]) | {DEFAULT_OBJECT_ACL: acl}
        tx.put(bucket_name(bucket["name"]), touched(bucket, cloud.clock()))

    def entries(self, cloud: StorageCloud, call: Call) -> list[Document]:
        """Return the entries of the list for new objects."""
        return access_entries.default_object_entries(found(cloud.store, call.path["bucket"]))


class ObjectLists:
    """Lists of versions of objects."""

    kind = "storage#objectAccessControls"
    roles: Sequence[str] = OBJECT_ROLES
    getting = "Cannot get legacy ACL for an object"
    changing = "Cannot update access control for an object"

    def read(self, cloud: StorageCloud, reader: Reader, call: Call) -> AccessControlList:  # noqa: ARG002
        """Return the list of an object."""
        return dict(_version(reader, call)[OBJECT_ACL])

    def write(
        self, cloud: StorageCloud, tx: Transaction, call: Call, acl: AccessControlList
    ) -> None:
        """Change the document of a version."""
        version = _version(tx, call)
        changed = version | {
            OBJECT_ACL: acl,
            "metageneration": str(int(version["metageneration"]) + 1),
            "updated": timestamp(cloud.clock()),
        }
        tx.put(place_of(version, live=is_live(tx, version)), changed)

    def entries(self, cloud: StorageCloud, call: Call) -> list[Document]:
        """Return the entries of an object's list."""
        version = _version(cloud.store, call)
        return access_entries.object_entries(call, version, version[OBJECT_ACL])


def check_counts(lists: AccessLists, reader: Reader, call: Call, *, changes: bool) -> None:
    """Refuse a call about a list that does not count.

    Raises:
        ApiError: 400 in a bucket with uniform access, 404 without a bucket.
    """
    bucket = found(reader, call.path["bucket"])
    check_lists_apply(bucket, lists.changing if changes else lists.getting)


def check_prevention(reader: Reader, call: Call, acl: AccessControlList) -> None:
    """Refuse a list that lets in everybody where the bucket prevents that (412)."""
    check_not_public(found(reader, call.path["bucket"]), acl)


def _bindings(cloud: StorageCloud, bucket: str) -> bucket_policies.Bindings:
    return bucket_policies.bindings_of(cloud.policies, bucket)


def _version(reader: Reader, call: Call) -> Document:
    return found_object(
        reader, call.path["bucket"], call.path["object"], call.query.get("generation")
    )
