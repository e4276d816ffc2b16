# SPDX-License-Identifier: GPL-3.0-or-later
"""Bucket documents: how they are made and changed, and how an answer shows them.

https://cloud.google.com/storage/docs/json_api/v1/buckets#resource
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.storage import access_control, bucket_policies, locations
from cloudspill_sandbox.storage.access_control import (
    BUCKET_ROLES,
    OBJECT_ROLES,
    AccessControlList,
    Project,
)
from cloudspill_sandbox.storage.access_entries import bucket_entries, default_object_entries
from cloudspill_sandbox.storage.bucket_settings import checked_settings
from cloudspill_sandbox.storage.buckets import (
    BINDINGS,
    DEFAULT_OBJECT_ACL,
    POLICY_VERSION,
    check_not_public,
    is_uniform,
)
from cloudspill_sandbox.storage.entity_tags import entity_tag
from cloudspill_sandbox.storage.links import link
from cloudspill_sandbox.storage.merge_patch import merged
from cloudspill_sandbox.storage.refusals import invalid, not_with_uniform_access
from cloudspill_sandbox.storage.timestamps import timestamp

_FIXED = (
    *("name", "projectNumber", "timeCreated", "generation", "location", "locationType"),
    *("customPlacementConfig", "metageneration", BINDINGS, POLICY_VERSION, DEFAULT_OBJECT_ACL),
)
"""What no settings change."""

_OLD_NAME = "bucketPolicyOnly"
_SET_POLICY = "Cannot use ACL API to set bucket policy"


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
            POLICY_VERSION: 1,
        }
    )
    uniform = is_uniform(bucket)
    acl = _asked_list(call, bucket, project) or access_control.project_private(project)
    objects = _asked_object_list(call, bucket, project)
    if objects is None:
        objects = access_control.project_private(project)
    bindings = bucket_policies.first_bindings(acl, project, uniform=uniform)
    return bucket | {BINDINGS: bindings, DEFAULT_OBJECT_ACL: objects}


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
    if (acl := _asked_list(call, result, project)) is not None:
        result[BINDINGS] = bucket_policies.with_list(bucket[BINDINGS], acl, project)
    if (objects := _asked_object_list(call, result, project)) is not None:
        result[DEFAULT_OBJECT_ACL] = objects
    return touched(result, now)


def touched(bucket: Document, now: float) -> Document:
    """Return a changed bucket with its next metageneration."""
    return bucket | {
        "metageneration": str(int(bucket["metageneration"]) + 1),
        "updated": timestamp(now),
    }


def resource(call: Call, bucket: Document, project: Project, *, full: bool) -> Document:
    """Return a bucket as an answer shows it.

    Args:
        full: whether with owner and access control lists (`projection`), where those count.
    """
    uniform = bucket["iamConfiguration"]["uniformBucketLevelAccess"]
    shown = {key: value for key, value in bucket.items() if not key.startswith("_")} | {
        "kind": "storage#bucket",
        "id": bucket["name"],
        "selfLink": link(call, f"b/{bucket['name']}"),
        "etag": etag(bucket),
        "iamConfiguration": bucket["iamConfiguration"] | {_OLD_NAME: uniform},
    }
    if full and not is_uniform(bucket):
        shown |= {
            "owner": {"entity": project.team("owners")},
            "acl": bucket_entries(call, bucket, bucket_policies.list_of(bucket[BINDINGS], project)),
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


def _asked_list(call: Call, bucket: Document, project: Project) -> AccessControlList | None:
    """Return the bucket's list that a call asks for, None when it says nothing of it."""
    predefined, given = call.query.get("predefinedAcl"), call.body.get("acl")
    if predefined is None and not given:
        return None
    _check_lists_can_be_set(bucket)
    if predefined is not None:
        acl = access_control.predefined_bucket_list(predefined, project)
    else:
        # The project's owners cannot be shut out.
        owners = {project.team("owners"): "OWNER"}
        acl = access_control.checked_list(given or [], BUCKET_ROLES, project) | owners
    check_not_public(bucket, acl)
    return acl


def _asked_object_list(call: Call, bucket: Document, project: Project) -> AccessControlList | None:
    """Return the list for new objects that a call asks for, None when it says nothing of it."""
    predefined = call.query.get("predefinedDefaultObjectAcl")
    given = call.body.get("defaultObjectAcl")
    if predefined is None and given is None:
        return None
    if given == [] and is_uniform(bucket):
        return None
    _check_lists_can_be_set(bucket)
    if predefined is not None:
        acl = access_control.predefined_object_list(predefined, project, "")
    else:
        acl = access_control.checked_list(given or [], OBJECT_ROLES, project)
    check_not_public(bucket, acl)
    return acl


def _check_lists_can_be_set(bucket: Document) -> None:
    if is_uniform(bucket):
        raise not_with_uniform_access(_SET_POLICY)
