# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of an object's metadata: patch merges, update replaces.

https://cloud.google.com/storage/docs/json_api/v1/objects/patch
"""

from __future__ import annotations

from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.merge_patch import merged
from cloudspill_sandbox.storage import preconditions
from cloudspill_sandbox.storage.buckets import found
from cloudspill_sandbox.storage.cloud import StorageCloud
from cloudspill_sandbox.storage.object_access import OBJECT_ACL, asked_list
from cloudspill_sandbox.storage.objects import (
    RETAINED_FROM,
    SETTABLE,
    check_encryption,
    checked_settings,
    found_object,
    is_full,
    is_live,
    place_of,
    resource,
)
from cloudspill_sandbox.storage.refusals import invalid
from cloudspill_sandbox.storage.timestamps import seconds_of, timestamp


async def patch(cloud: StorageCloud, call: Call) -> Document:
    """Change what is given, null removes; the rest stays."""
    return _change(cloud, call, keeping=True)


async def update(cloud: StorageCloud, call: Call) -> Document:
    """Set what is given and reset the rest."""
    return _change(cloud, call, keeping=False)


def _change(cloud: StorageCloud, call: Call, *, keeping: bool) -> Document:
    check_encryption(call)
    generation = call.query.get("generation")
    with cloud.store.transaction() as tx:
        bucket = found(tx, call.path["bucket"])
        version = found_object(tx, call.path["bucket"], call.path["object"], generation)
        preconditions.check(preconditions.given_in(call.query), version)
        settings = {key: version[key] for key in SETTABLE if key in version}
        wanted = merged(settings, call.body) if keeping else call.body
        changed = _changed(cloud, version, checked_settings(wanted, bucket | _own(version)))
        if (acl := asked_list(call, bucket, cloud.project)) is not None:
            changed[OBJECT_ACL] = acl
        tx.put(place_of(version, live=is_live(tx, version)), changed)
    return resource(call, changed, bucket, full=is_full(call, call.body))


def _own(version: Document) -> Document:
    """Return what an object keeps where a new one would take its bucket's default."""
    return {"storageClass": version["storageClass"], "defaultEventBasedHold": False}


def _changed(cloud: StorageCloud, version: Document, settings: Document) -> Document:
    if settings["storageClass"] != version["storageClass"]:
        raise invalid(
            "Invalid argument. The storage class of an object is changed by rewriting it, not by "
            "changing its metadata."
        )
    _check_custom_time(version.get("customTime"), settings.get("customTime"))
    now = timestamp(cloud.clock())
    kept = {key: value for key, value in version.items() if key not in SETTABLE}
    if version.get("eventBasedHold") and not settings.get("eventBasedHold"):
        kept[RETAINED_FROM] = now
    metageneration = str(int(version["metageneration"]) + 1)
    return kept | settings | {"metageneration": metageneration, "updated": now}


def _check_custom_time(before: str | None, wanted: str | None) -> None:
    """Refuse to take a custom time back.

    https://cloud.google.com/storage/docs/metadata#custom-time

    Raises:
        ApiError: 400.
    """
    if before is None:
        return
    if wanted is None or seconds_of(wanted) < seconds_of(before):
        raise invalid("Custom time cannot be removed or set to an earlier date-time once set.")
