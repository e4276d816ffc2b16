# SPDX-License-Identifier: GPL-3.0-or-later
"""New versions of objects, and what becomes of those that they take the place of.

https://cloud.google.com/storage/docs/object-versioning
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cloudspill_sandbox.engine.call import Call, Document, Principal
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.store import Transaction
from cloudspill_sandbox.storage import preconditions
from cloudspill_sandbox.storage.buckets import found, is_versioned
from cloudspill_sandbox.storage.cloud import StorageCloud
from cloudspill_sandbox.storage.names import generation_name, object_name
from cloudspill_sandbox.storage.objects import CONTENT, checked_name, retained_until
from cloudspill_sandbox.storage.permissions import denied, overwriting
from cloudspill_sandbox.storage.refusals import retained
from cloudspill_sandbox.storage.timestamps import seconds_of, timestamp

_HOLDS = {"temporaryHold": "Temporary", "eventBasedHold": "Event-Based"}


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a version is to be written: settled when that begins, held on to until it is done.

    Attributes:
        bucket: its name.
        bucket_generation: of the bucket; another one of its name is another bucket.
        name: of the object.
        conditions: on what has that name, as `preconditions.given_in` returns them.
        writer: whose permission to overwrite counts.
    """

    bucket: str
    bucket_generation: str
    name: str
    conditions: Mapping[str, str]
    writer: Principal


def destination(cloud: StorageCloud, call: Call, bucket: str, name: str | None) -> Destination:
    """Return where a call is about to write.

    Raises:
        ApiError: 400 for the name, 404 for the bucket, 412 for a precondition that does not hold.
    """
    generation = found(cloud.store, bucket)["generation"]
    name = checked_name(name)
    conditions = preconditions.given_in(call.query)
    preconditions.check(conditions, cloud.store.get(object_name(bucket, name)))
    return Destination(bucket, generation, name, conditions, call.principal)


def new_version(
    cloud: StorageCloud, target: Destination, settings: Document, content: Document
) -> Document:
    """Return the document of a version that is not written yet.

    Args:
        settings: what the client decides, and the access control list.
        content: size, checksums and id of the bytes.
    """
    moment = timestamp(cloud.clock())
    times = ("timeCreated", "updated", "timeStorageClassUpdated", "timeFinalized")
    return {
        "name": target.name,
        "bucket": target.bucket,
        "generation": cloud.generations.next(),
        "metageneration": "1",
        **dict.fromkeys(times, moment),
        **settings,
        **content,
    }


def write(
    cloud: StorageCloud, tx: Transaction, target: Destination, version: Document
) -> list[str]:
    """Make a version the live one; return the contents that are to be removed after the commit.

    Whether there is a live one to be overwritten is known for certain only now that the bytes are
    here; so only now can be said whether the writer may do that.

    Raises:
        ApiError: 404, the bucket is gone, also if there is another one of its name; 412 for a
            precondition, 403 for a live version that is kept or that the writer may not delete.
    """
    bucket = found(tx, target.bucket, target.bucket_generation)
    place = object_name(target.bucket, target.name)
    live = tx.get(place)
    preconditions.check(target.conditions, live)
    removed: list[str] = []
    if live is not None:
        needed = overwriting(cloud.project, bucket, target.name)
        if not cloud.permissions.permits(target.writer, needed):
            raise denied(target.writer, [needed])
        removed = retire(cloud, tx, bucket, live)
    tx.put(place, version)
    return removed


def retire(cloud: StorageCloud, tx: Transaction, bucket: Document, live: Document) -> list[str]:
    """Take a live version out of its place: noncurrent with versioning, gone without.

    Returns the contents that are to be removed after the commit.

    Raises:
        ApiError: 403, a hold or the retention policy keeps it.
    """
    if is_versioned(bucket):
        _check_holds(live)
        place = generation_name(live["bucket"], live["name"], live["generation"])
        tx.put(place, live | {"timeDeleted": timestamp(cloud.clock())})
        tx.delete(object_name(live["bucket"], live["name"]))
        return []
    check_not_kept(cloud, bucket, live)
    tx.delete(object_name(live["bucket"], live["name"]))
    return [live[CONTENT]]


def check_not_kept(cloud: StorageCloud, bucket: Document, version: Document) -> None:
    """Refuse to remove a version for good that must be kept.

    https://cloud.google.com/storage/docs/object-holds, https://cloud.google.com/storage/docs/bucket-lock

    Raises:
        ApiError: 403.
    """
    _check_holds(version)
    until = retained_until(version, bucket)
    if until is not None and seconds_of(until) > cloud.clock():
        raise retained(
            f"Object '{version['bucket']}/{version['name']}' is subject to bucket's retention "
            f"policy or object retention and cannot be deleted or overwritten until {until}"
        )


def _check_holds(version: Document) -> None:
    for field, name in _HOLDS.items():
        if version.get(field):
            raise ApiError(
                403,
                "objectUnderActiveHold",
                f"Object '{version['bucket']}/{version['name']}' is under active {name} hold and "
                "cannot be deleted, overwritten or archived until hold is removed.",
            )
