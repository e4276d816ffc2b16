# SPDX-License-Identifier: GPL-3.0-or-later
"""Bucket documents: how they are made and changed, and how an answer shows them.

https://cloud.google.com/storage/docs/json_api/v1/buckets#resource
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.merge_patch import merged
from cloudspill_sandbox.storage import locations
from cloudspill_sandbox.storage.access_control import AccessControlList, Project, project_private
from cloudspill_sandbox.storage.access_entries import bucket_entries, default_object_entries
from cloudspill_sandbox.storage.bucket_access import asked_object_list
from cloudspill_sandbox.storage.bucket_settings import checked_settings
from cloudspill_sandbox.storage.buckets import DEFAULT_OBJECT_ACL, is_uniform
from cloudspill_sandbox.storage.entity_tags import entity_tag
from cloudspill_sandbox.storage.links import link
from cloudspill_sandbox.storage.refusals import invalid
from cloudspill_sandbox.storage.timestamps import timestamp

_FIXED = (
    *("name", "projectNumber", "timeCreated", "generation", "location", "locationType"),
    *("customPlacementConfig", "metageneration", DEFAULT_OBJECT_ACL),
)
"""What no settings change."""

DocumentChange = Callable[[Call, Document, Project, float], Document]
"""`patched` or `replaced`: makes a bucket's new document out of a call and the old one."""

_OLD_NAME = "bucketPolicyOnly"


def created(call: Call, project: Project, generation: str, now: float) -> Document:
    """Return the document of a new bucket as an insert asks for it.

    Raises:
        ApiError: 400 for settings that cannot be, 501 for what the sandbox does not have.
    """
    body = _with_present_names(call.body)
    place = {"name": body["name"]} | _placement(body)
    settings = checked_settings(body, {}, place, now)
    moment = timestamp(now)
    bucket = (
        place
        | settings
        | {
            "projectNumber": str(project.number),
            "timeCreated": moment,
            "updated": moment,
            "generation": generation,
            "metageneration": "1",
        }
    )
    objects = asked_object_list(call, bucket, project)
    return bucket | {DEFAULT_OBJECT_ACL: project_private(project) if objects is None else objects}


def patched(call: Call, bucket: Document, project: Project, now: float) -> Document:
    """Return the document of a bucket as a patch leaves it: what is not given stays.

    Raises:
        ApiError: as `created`, and 403 for what may not be changed any more.
    """
    patch = _with_present_names(call.body)
    wanted = merged({key: value for key, value in bucket.items() if key not in _FIXED}, patch)
    return _changed(call, bucket, wanted, project, now)


def replaced(call: Call, bucket: Document, project: Project, now: float) -> Document:
    """Return the document of a bucket as an update leaves it: what is not given is reset.

    Access control lists are the exception: they are bindings of the bucket's policy too, which an
    update does not touch.

    Raises:
        ApiError: as `patched`.
    """
    return _changed(call, bucket, _with_present_names(call.body), project, now)


def _changed(
    call: Call, bucket: Document, wanted: Document, project: Project, now: float
) -> Document:
    _check_place(call.body, bucket)
    settings = checked_settings(wanted, bucket, bucket, now)
    result = {key: bucket[key] for key in _FIXED if key in bucket} | settings
    if (objects := asked_object_list(call, result, project)) is not None:
        result[DEFAULT_OBJECT_ACL] = objects
    return touched(result, now)


def touched(bucket: Document, now: float) -> Document:
    """Return a changed bucket with its next metageneration."""
    return bucket | {
        "metageneration": str(int(bucket["metageneration"]) + 1),
        "updated": timestamp(now),
    }


def resource(
    call: Call, bucket: Document, project: Project, acl: AccessControlList | None
) -> Document:
    """Return a bucket as an answer shows it.

    Args:
        acl: the bucket's access control list, None for an answer without owner and lists; they are
            left out where they do not count, too.
    """
    uniform = bucket["iamConfiguration"]["uniformBucketLevelAccess"]
    shown = {key: value for key, value in bucket.items() if not key.startswith("_")} | {
        "kind": "storage#bucket",
        "id": bucket["name"],
        "selfLink": link(call, f"b/{bucket['name']}"),
        "etag": etag(bucket),
        "iamConfiguration": bucket["iamConfiguration"] | {_OLD_NAME: uniform},
    }
    if acl is not None and not is_uniform(bucket):
        shown |= {
            "owner": {"entity": project.team("owners")},
            "acl": bucket_entries(call, bucket, acl),
            "defaultObjectAcl": default_object_entries(bucket),
        }
    return shown


def is_full(call: Call, *, by_default: bool) -> bool:
    """Whether a call asks for the projection with access control lists."""
    asked = call.query.get("projection")
    return by_default if asked is None else bool(asked == "full")


def etag(bucket: Document) -> str:
    """Return the entity tag of a bucket, of its policy and of the entries of its lists."""
    return entity_tag(int(bucket["metageneration"]))


def _with_present_names(body: Mapping[str, Any]) -> Document:
    """Return a body in which uniform access is not called by its old name any more."""
    configuration = body.get("iamConfiguration")
    if not configuration or _OLD_NAME not in configuration:
        return dict(body)
    configuration = dict(configuration)
    old = configuration.pop(_OLD_NAME)
    configuration.setdefault("uniformBucketLevelAccess", old)
    return {**body, "iamConfiguration": configuration}


def _placement(body: Document) -> Document:
    location = locations.checked_location(body.get("location") or locations.DEFAULT_LOCATION)
    regions = (body.get("customPlacementConfig") or {}).get("dataLocations")
    if not regions:
        return {"location": location, "locationType": locations.location_type(location)}
    regions = [locations.checked_location(region) for region in regions]
    kinds = {locations.location_type(region) for region in regions}
    if location not in locations.MULTI_REGIONS or len(set(regions)) != 2 or kinds != {"region"}:
        raise invalid("Invalid argument. A custom placement is two regions in US, EU or ASIA.")
    return {
        "location": location,
        "locationType": "dual-region",
        "customPlacementConfig": {"dataLocations": regions},
    }


def _check_place(body: Document, bucket: Document) -> None:
    if body.get("name", bucket["name"]) != bucket["name"]:
        raise invalid(f"Invalid argument. The name of bucket {bucket['name']} cannot be changed.")
    if (body.get("location") or bucket["location"]).upper() != bucket["location"]:
        raise invalid(
            f"Invalid argument. The location of bucket {bucket['name']} cannot be changed."
        )
