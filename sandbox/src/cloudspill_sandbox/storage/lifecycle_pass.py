# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying out lifecycle rules: one pass over all buckets that have any.

Google Cloud acts within a day of a condition holding; the sandbox as soon as a pass comes by (see
`upkeep`). AbortIncompleteMultipartUpload has nothing to act on: it is about uploads by the XML API,
which the sandbox does not take.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.store import Transaction
from cloudspill_sandbox.storage import versions
from cloudspill_sandbox.storage.cloud import StorageCloud
from cloudspill_sandbox.storage.lifecycle import Version, wanted_action
from cloudspill_sandbox.storage.lifecycle_rules import DELETE
from cloudspill_sandbox.storage.names import BUCKETS, bucket_name, generations_of, objects_of
from cloudspill_sandbox.storage.objects import CONTENT, place_of
from cloudspill_sandbox.storage.timestamps import timestamp

AT_ONCE = 200
"""Versions that are looked at before other work gets its turn."""


@dataclass(slots=True)
class Outcome:
    """What a pass did.

    Attributes:
        deleted: versions that are gone, or noncurrent if they were live in a versioned bucket.
        moved: versions whose storage class is another one.
        kept: versions that a hold or a retention policy kept from being deleted.
    """

    deleted: int = 0
    moved: int = 0
    kept: int = 0


async def act_on_all(cloud: StorageCloud) -> Outcome:
    """Do to every version of every object what the rules of its bucket want by now."""
    outcome = Outcome()
    now = cloud.clock()
    buckets = cloud.store.children(BUCKETS).items()
    for name in [name for name, bucket in buckets if "lifecycle" in bucket]:
        candidates = [*_versions(cloud, name, now)][::-1]  # oldest first
        for start in range(0, len(candidates), AT_ONCE):
            _act(cloud, name, candidates[start : start + AT_ONCE], outcome)
            await asyncio.sleep(0)
    return outcome


def _versions(cloud: StorageCloud, bucket: str, now: float) -> Iterator[Version]:
    """Yield every version, newest first."""
    live = list(cloud.store.children(objects_of(bucket)).values())
    noncurrent = list(cloud.store.children(generations_of(bucket)).values())
    newer: Counter[str] = Counter()
    for is_live, document in sorted(
        [*((True, each) for each in live), *((False, each) for each in noncurrent)],
        key=lambda pair: -int(pair[1]["generation"]),
    ):
        yield Version(document, is_live, newer[document["name"]], now)
        newer[document["name"]] += 1


def _act(cloud: StorageCloud, name: str, candidates: Sequence[Version], outcome: Outcome) -> None:
    """Act on some versions in one transaction, as their bucket says by now.

    What changed since they were listed is left.
    """
    removed: list[str] = []
    with cloud.store.transaction() as tx:
        bucket = tx.get(bucket_name(name)) or {}
        rules = bucket.get("lifecycle", {}).get("rule", ())
        for version in candidates:
            action = wanted_action(rules, version)
            place = place_of(version.document, live=version.is_live)
            if action is None or tx.get(place) is not version.document:
                continue
            if action["type"] == DELETE:
                removed += _delete(cloud, tx, bucket, version, outcome)
            else:
                tx.put(place, _moved(version, action["storageClass"]))
                outcome.moved += 1
    cloud.blobs.remove(*removed)


def _delete(
    cloud: StorageCloud, tx: Transaction, bucket: Document, version: Version, outcome: Outcome
) -> list[str]:
    """Delete a version unless it is kept; return the contents to remove after the commit."""
    document = version.document
    try:
        if version.is_live:
            removed = versions.retire(cloud, tx, bucket, document)
        else:
            versions.check_not_kept(cloud, bucket, document)
            tx.delete(place_of(document, live=False))
            removed = [document[CONTENT]]
    except ApiError:
        outcome.kept += 1
        return []
    outcome.deleted += 1
    return removed


def _moved(version: Version, storage_class: str) -> Document:
    moment = timestamp(version.now)
    return version.document | {
        "storageClass": storage_class,
        "timeStorageClassUpdated": moment,
        "updated": moment,
        "metageneration": str(int(version.document["metageneration"]) + 1),
    }
