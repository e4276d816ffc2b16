# SPDX-License-Identifier: GPL-3.0-or-later
"""Bucket documents: finding one, and what it decides for its objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.storage.access_control import Project, Projects, is_public
from cloudspill_sandbox.storage.names import bucket_name
from cloudspill_sandbox.storage.refusals import (
    condition_not_met,
    no_such_bucket,
    not_with_uniform_access,
)
from cloudspill_sandbox.storage.timestamps import seconds_of, timestamp

DEFAULT_OBJECT_ACL = "_defaultObjectAcl"
"""Key of the list that new objects get: roles by entity."""


class Reader(Protocol):
    """The store, or a transaction on it."""

    def get(self, name: str) -> Document | None:
        """Return the document of this name, or None."""


class NotModifiedError(ApiError):
    """304: the version that the client has is the current one."""

    def __init__(self) -> None:
        super().__init__(304, "notModified", "Not Modified")


def found(reader: Reader, bucket: str, generation: str | None = None) -> Document:
    """Return a bucket's document.

    Args:
        generation: of the bucket that is meant, if another one may have its name by now.

    Raises:
        ApiError: 404, there is none.
    """
    document = reader.get(bucket_name(bucket))
    if document is None or generation not in (None, document["generation"]):
        raise no_such_bucket()
    return document


def resource_name(bucket: str) -> str:
    """Return the name by which policies and conditions know a bucket: `projects/_/buckets/b`."""
    return f"projects/_/buckets/{bucket}"


def is_versioned(bucket: Document) -> bool:
    """Whether what is deleted or overwritten stays as a noncurrent version."""
    return bool(bucket.get("versioning", {}).get("enabled"))


def is_uniform(bucket: Document) -> bool:
    """Whether IAM alone decides about access, and no access control list."""
    return bool(bucket["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"])


def prevents_public_access(bucket: Document) -> bool:
    """Whether nobody unnamed is let in, whatever lists and policies say."""
    return bool(bucket["iamConfiguration"]["publicAccessPrevention"] == "enforced")


def check_lists_apply(bucket: Document, doing: str) -> None:
    """Refuse what is about access control lists where they do not count.

    Args:
        doing: see `refusals.not_with_uniform_access`.

    Raises:
        ApiError: 400, the bucket has uniform access.
    """
    if is_uniform(bucket):
        raise not_with_uniform_access(doing)


def check_not_public(bucket: Document, entries: Mapping[str, str]) -> None:
    """Refuse a list that lets in everybody where the bucket prevents that.

    Raises:
        ApiError: 412.
    """
    if prevents_public_access(bucket) and is_public(entries):
        raise condition_not_met(
            "The object or bucket access control list cannot contain allUsers or "
            "allAuthenticatedUsers since public access prevention is enforced."
        )


def retention_expires(bucket: Document, created: str) -> str | None:
    """Return until when the bucket's retention policy keeps an object, None without a policy.

    https://cloud.google.com/storage/docs/bucket-lock

    Args:
        created: RFC 3339 time of the object's creation, or of the release of its event-based hold.
    """
    policy = bucket.get("retentionPolicy")
    if policy is None:
        return None
    return timestamp(seconds_of(created) + int(policy["retentionPeriod"]))


def project_of(call: Call, reader: Reader, projects: Projects) -> Project | None:
    """Return the project of the bucket that a call is about, or that it names; None for none."""
    name = call.path.get("bucket") or call.path.get("destinationBucket")
    if name is not None:
        bucket = reader.get(bucket_name(name))
        return projects.get(bucket["projectNumber"]) if bucket else None
    return projects.get(call.path.get("projectId") or call.query.get("project") or "")
