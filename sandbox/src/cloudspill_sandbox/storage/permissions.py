# SPDX-License-Identifier: GPL-3.0-or-later
"""What each method of Cloud Storage needs permission for, and how a refusal reads.

https://cloud.google.com/storage/docs/access-control/iam-json. In buckets with fine-grained access
an object's access control list may grant what no policy does. A bucket's own list needs no care
here: it is part of the bucket's policy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cloudspill_sandbox.engine.access import AccessRules, Requirement
from cloudspill_sandbox.engine.call import Call, Document, Principal
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.storage.access_control import PUBLIC, Project, Projects, role_of
from cloudspill_sandbox.storage.bucket_documents import is_full
from cloudspill_sandbox.storage.bucket_policies import teams_of
from cloudspill_sandbox.storage.buckets import (
    Reader,
    is_uniform,
    prevents_public_access,
    project_of,
    resource_name,
)
from cloudspill_sandbox.storage.interface import AllowPolicies
from cloudspill_sandbox.storage.names import bucket_name, generation_name, object_name
from cloudspill_sandbox.storage.object_access import OBJECT_ACL
from cloudspill_sandbox.storage.refusals import no_such_bucket

SERVICE = "storage.googleapis.com"
BUCKET_TYPE = "storage.googleapis.com/Bucket"
OBJECT_TYPE = "storage.googleapis.com/Object"
PROJECT_TYPE = "cloudresourcemanager.googleapis.com/Project"

_GET_LIST = "getIamPolicy"
_SET_LIST = "setIamPolicy"
_ENTRIES = ("get", "list")

_ON_BUCKETS: Mapping[str, tuple[str, ...]] = {
    "buckets.delete": ("buckets.delete",),
    "buckets.get": ("buckets.get",),
    "buckets.getIamPolicy": ("buckets.getIamPolicy",),
    "buckets.getStorageLayout": ("objects.list",),
    "buckets.lockRetentionPolicy": ("buckets.update",),
    "buckets.patch": ("buckets.get", "buckets.update"),
    "buckets.setIamPolicy": ("buckets.setIamPolicy",),
    "buckets.testIamPermissions": (),
    "buckets.update": ("buckets.get", "buckets.update"),
    "managedFolders.list": ("managedFolders.list",),
    "objects.list": ("objects.list",),
}
"""Permissions by method; `projection=full` and access control lists in the request add to them."""

_ON_PROJECTS: Mapping[str, str] = {
    "buckets.insert": "storage.buckets.create",
    "buckets.list": "storage.buckets.list",
    "projects.serviceAccount.get": "resourcemanager.projects.get",
}

_ON_OBJECTS: Mapping[str, tuple[str, ...]] = {
    "objects.delete": ("objects.delete",),
    "objects.get": ("objects.get",),
    "objects.patch": ("objects.get", "objects.update"),
    "objects.update": ("objects.get", "objects.update"),
}

_BY_LIST = {
    "OWNER": frozenset(
        f"storage.objects.{verb}" for verb in ("get", "update", _GET_LIST, _SET_LIST)
    ),
    "READER": frozenset({"storage.objects.get"}),
}
"""What an object's access control list grants.

https://cloud.google.com/storage/docs/access-control/iam#acls
"""


def on_bucket(project: Project, bucket: Document, permission: str) -> Requirement:
    """Return the requirement of a permission on a bucket."""
    name = resource_name(bucket["name"])
    return Requirement(
        permission,
        name,
        BUCKET_TYPE,
        SERVICE,
        (name, f"projects/{project.id}"),
        public=not prevents_public_access(bucket),
    )


def access_rules(
    store: Reader, policies: AllowPolicies, project: Project, projects: Projects
) -> AccessRules:
    """Return what Cloud Storage asks of its callers.

    Args:
        project: that a call is about which names none.
    """
    return AccessRules(_Rules(store, policies, project, projects).requirements, denied)


def denied(principal: Principal, missing: Sequence[Requirement]) -> ApiError:
    """403, or 401 for who did not say who they are, in the words of Cloud Storage."""
    first = missing[0]
    thing = {
        BUCKET_TYPE: "Google Cloud Storage bucket",
        OBJECT_TYPE: "Google Cloud Storage object",
        PROJECT_TYPE: "Google Cloud project",
    }[first.type]
    sentence = (
        f"does not have {first.permission} access to the {thing}. "
        f"Permission '{first.permission}' denied on resource (or it may not exist)."
    )
    if principal.email:
        return ApiError(403, "forbidden", f"{principal.email} {sentence}")
    return ApiError(
        401,
        "required",
        f"Anonymous caller {sentence}",
        location="Authorization",
        headers={"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/"'},
    )


@dataclass(frozen=True, slots=True)
class _Rules:
    """Finds what a call touches."""

    store: Reader
    policies: AllowPolicies
    project: Project
    projects: Projects

    def requirements(self, call: Call) -> list[Requirement]:
        """Return everything that a call needs."""
        return list(self._needed(call, call.method.removeprefix("storage.")))

    def _needed(self, call: Call, method: str) -> Iterator[Requirement]:
        resource, _, verb = method.rpartition(".")
        if method in _ON_PROJECTS:
            yield self._on_project(call, _ON_PROJECTS[method])
        elif method in _ON_BUCKETS:
            lists = _bucket_lists(call, verb, self._bucket(call, call.path["bucket"]))
            yield from self._on_buckets(call, (*_ON_BUCKETS[method], *lists))
        elif resource in ("bucketAccessControls", "defaultObjectAccessControls"):
            yield from self._on_buckets(call, _entries("buckets", verb))
        elif resource == "objectAccessControls":
            yield from self._on_object(call, _entries("objects", verb))
        elif method in _ON_OBJECTS:
            yield from self._on_object(call, (*_ON_OBJECTS[method], *_object_lists(call, verb)))
        else:
            yield from self._writes(call, method)

    def _writes(self, call: Call, method: str) -> Iterator[Requirement]:
        """Yield what the methods need that write whole objects."""
        if method == "objects.insert":
            if call.query.get("upload_id"):
                return  # who has the session's address may go on with it
            name = call.query.get("name") or call.body.get("name") or ""
            yield from self._new_object(call, call.path["bucket"], name)
        elif method in ("objects.copy", "objects.rewrite"):
            source = (call.path["sourceBucket"], call.path["sourceObject"])
            generation = call.query.get("sourceGeneration")
            yield from self._existing(call, *source, generation, ("objects.get",))
            target = (call.path["destinationBucket"], call.path["destinationObject"])
            yield from self._new_object(call, *target)
        elif method == "objects.compose":
            bucket = call.path["destinationBucket"]
            deletes = call.body.get("deleteSourceObjects")
            needed = ("objects.get", "objects.delete") if deletes else ("objects.get",)
            for part in call.body.get("sourceObjects") or ():
                place = (bucket, part.get("name") or "", part.get("generation"))
                yield from self._existing(call, *place, needed)
            yield from self._new_object(call, bucket, call.path["destinationObject"])
        else:
            raise LookupError(f"what {call.method} needs permission for is not known")

    def _on_project(self, call: Call, permission: str) -> Requirement:
        project = project_of(call, self.store, self.projects) or self.project
        name = f"projects/{project.id}"
        return Requirement(permission, name, PROJECT_TYPE, SERVICE, (name,))

    def _on_buckets(self, call: Call, permissions: Sequence[str]) -> Iterator[Requirement]:
        bucket = self._bucket(call, call.path["bucket"])
        for permission in permissions:
            yield on_bucket(self._owner(bucket), bucket, f"storage.{permission}")

    def _on_object(self, call: Call, permissions: Sequence[str]) -> Iterator[Requirement]:
        place = (call.path["bucket"], call.path["object"], call.query.get("generation"))
        yield from self._existing(call, *place, permissions)

    def _existing(
        self,
        call: Call,
        bucket: str,
        name: str,
        generation: str | None,
        permissions: Sequence[str],
    ) -> Iterator[Requirement]:
        """Yield what is needed of a version; who may not list is not told that there is none."""
        document = self._bucket(call, bucket)
        version = self._version(bucket, name, generation)
        if version is None:
            yield on_bucket(self._owner(document), document, "storage.objects.list")
            return
        for permission in permissions:
            yield self._object(call, document, name, version, f"storage.{permission}")

    def _new_object(self, call: Call, bucket: str, name: str) -> Iterator[Requirement]:
        document = self._bucket(call, bucket)
        live = self._version(bucket, name, None)
        yield self._object(call, document, name, None, "storage.objects.create")
        if live is not None:
            yield self._object(call, document, name, live, "storage.objects.delete")

    def _object(
        self, call: Call, bucket: Document, name: str, version: Document | None, permission: str
    ) -> Requirement:
        return replace(
            _on_object(self._owner(bucket), bucket, name, permission),
            granted=self._listed(call.principal, bucket, version, permission),
        )

    def _listed(
        self, principal: Principal, bucket: Document, version: Document | None, permission: str
    ) -> bool:
        """Whether the access control list of a version grants a permission."""
        if version is None or is_uniform(bucket):
            return False
        acl: Mapping[str, str] = version[OBJECT_ACL]
        if prevents_public_access(bucket):
            acl = {entity: role for entity, role in acl.items() if entity not in PUBLIC}
        project = self._owner(bucket)
        policy = self.policies.find(f"projects/{project.id}") or {}
        teams = teams_of(policy.get("bindings", ()), principal.email, project)
        role = role_of(acl, principal, teams)
        return role is not None and permission in _BY_LIST[role]

    def _bucket(self, call: Call, name: str) -> Document:
        bucket = self.store.get(bucket_name(name))
        if bucket is not None:
            return bucket
        if call.principal.email:
            raise no_such_bucket()
        missing = Requirement("storage.buckets.get", resource_name(name), BUCKET_TYPE, SERVICE, ())
        raise denied(call.principal, [missing])

    def _owner(self, bucket: Document) -> Project:
        return self.projects.get(bucket["projectNumber"], self.project)

    def _version(self, bucket: str, name: str, generation: str | None) -> Document | None:
        live = self.store.get(object_name(bucket, name))
        if generation is None or (live is not None and live["generation"] == generation):
            return live
        return self.store.get(generation_name(bucket, name, generation))


def _entries(resource: str, verb: str) -> tuple[str, ...]:
    """Return what the methods on entries of access control lists need."""
    reading = (f"{resource}.get", f"{resource}.{_GET_LIST}")
    if verb in _ENTRIES:
        return reading
    return (*reading, f"{resource}.{_SET_LIST}", f"{resource}.update")


def overwriting(project: Project, bucket: Document, name: str) -> Requirement:
    """Return what the writer of an object needs when there is one of its name."""
    return _on_object(project, bucket, name, "storage.objects.delete")


def _on_object(project: Project, bucket: Document, name: str, permission: str) -> Requirement:
    below = on_bucket(project, bucket, permission)
    return replace(below, resource=f"{below.resource}/objects/{name}", type=OBJECT_TYPE)


def _bucket_lists(call: Call, verb: str, bucket: Document) -> Iterator[str]:
    """Yield what a call about buckets needs for access control lists that it reads or sets."""
    if verb not in ("get", "patch", "update"):
        return
    if is_full(call, by_default=verb != "get"):
        yield f"buckets.{_GET_LIST}"
    sets = ("acl", "defaultObjectAcl")
    if _sets_prevention(call, verb, bucket) or _sets_lists(call.body, call.query, *sets):
        yield f"buckets.{_SET_LIST}"


def _sets_prevention(call: Call, verb: str, bucket: Document) -> bool:
    """Whether a call sets the prevention of public access, or resets it by its silence."""
    given = call.body.get("iamConfiguration", {} if verb == "patch" else None)
    if given is not None and "publicAccessPrevention" in given:
        return True
    return (given is None or verb == "update") and prevents_public_access(bucket)


def _object_lists(call: Call, verb: str) -> Iterator[str]:
    """Yield what a call about an object needs for the access control list that it reads or sets."""
    if verb == "delete":
        return
    if is_full(call, by_default=verb != "get"):
        yield f"objects.{_GET_LIST}"
    if _sets_lists(call.body, call.query, "acl"):
        yield f"objects.{_SET_LIST}"


def _sets_lists(body: Document, query: Mapping[str, Any], *fields: str) -> bool:
    return any(body.get(field) is not None for field in fields) or any(
        query.get(f"predefined{field[0].upper()}{field[1:]}") is not None for field in fields
    )
