# SPDX-License-Identifier: GPL-3.0-or-later
"""Allow policies of buckets, and the access control list that is another view of the same.

Of a bucket's list nothing is stored: its entries are the policy's bindings of the three legacy
bucket roles, as on Google Cloud, so neither can say what the other does not.
https://cloud.google.com/storage/docs/access-control/iam#acls
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.storage.access_control import (
    BUCKET_ROLES,
    PUBLIC,
    AccessControlList,
    Project,
    project_private,
    user_entity,
)
from cloudspill_sandbox.storage.buckets import resource_name
from cloudspill_sandbox.storage.interface import AllowPolicies

Bindings = list[Document]
"""`[{"role": …, "members": […], "condition": …}]`, in Google's form."""

_LEGACY_BUCKET_ROLES = {
    "OWNER": "roles/storage.legacyBucketOwner",
    "WRITER": "roles/storage.legacyBucketWriter",
    "READER": "roles/storage.legacyBucketReader",
}
_LEGACY_OBJECT_ROLES = {
    "OWNER": "roles/storage.legacyObjectOwner",
    "READER": "roles/storage.legacyObjectReader",
}
_TEAM_MEMBERS = {"owners": "projectOwner", "editors": "projectEditor", "viewers": "projectViewer"}
_SERVICE_ACCOUNTS = ".gserviceaccount.com"


def bindings_of(policies: AllowPolicies, bucket: str) -> Bindings:
    """Return the bindings of a bucket's policy."""
    policy = policies.find(resource_name(bucket)) or {}
    return list(policy.get("bindings", ()))


def first_bindings(acl: AccessControlList, project: Project, *, uniform: bool) -> Bindings:
    """Return the policy of a new bucket.

    Args:
        acl: the bucket's access control list.
        uniform: whether IAM alone will decide about its objects too.
    """
    bindings = _bindings(acl, _LEGACY_BUCKET_ROLES, project)
    if uniform:
        bindings += _bindings(project_private(project), _LEGACY_OBJECT_ROLES, project)
    return bindings


def list_of(bindings: Iterable[Document], project: Project) -> AccessControlList:
    """Return the access control list of a bucket with this policy."""
    members = {
        role: [
            member
            for binding in bindings
            if binding["role"] == _LEGACY_BUCKET_ROLES[role]
            for member in binding["members"]
        ]
        for role in BUCKET_ROLES
    }
    entries: AccessControlList = {}
    for role in BUCKET_ROLES:  # who has several roles is listed with the highest
        for member in members[role]:
            entries.setdefault(_entity(member, project), role)
    return entries


def with_list(bindings: Iterable[Document], acl: AccessControlList, project: Project) -> Bindings:
    """Return a policy that says what an access control list does of its bucket."""
    legacy = set(_LEGACY_BUCKET_ROLES.values())
    others = [binding for binding in bindings if binding["role"] not in legacy]
    return _bindings(acl, _LEGACY_BUCKET_ROLES, project) + others


def teams_of(project_bindings: Iterable[Document], email: str, project: Project) -> frozenset[str]:
    """Return the entities of the project teams that somebody is in.

    Args:
        project_bindings: of the project's policy, whose basic roles make the teams.
        email: of a user or service account; "" is in none.
    """
    member = _member(user_entity(email), project)
    return frozenset(
        project.team(team)
        for binding in project_bindings
        for team in _TEAM_MEMBERS
        if binding["role"] == f"roles/{team.removesuffix('s')}" and member in binding["members"]
    )


def has_conditions(bindings: Iterable[Document]) -> bool:
    """Whether a policy has conditional bindings, which buckets with lists cannot have."""
    return any(binding.get("condition") for binding in bindings)


def is_public_policy(bindings: Iterable[Document]) -> bool:
    """Whether a policy lets in everybody to something."""
    return any(not PUBLIC.isdisjoint(binding["members"]) for binding in bindings)


def _bindings(acl: AccessControlList, roles: Mapping[str, str], project: Project) -> Bindings:
    members = {
        role: sorted(_member(entity, project) for entity, held in acl.items() if held == role)
        for role in roles
    }
    return [{"role": roles[role], "members": held} for role, held in members.items() if held]


def _member(entity: str, project: Project) -> str:
    """Return an entity as members of policies are written."""
    if entity in PUBLIC:
        return entity
    kind, _, rest = entity.partition("-")
    if kind == "project":
        team, _, number = rest.partition("-")
        owner = project.id if number == str(project.number) else number
        return f"{_TEAM_MEMBERS[team]}:{owner}"
    if kind == "user" and rest.endswith(_SERVICE_ACCOUNTS):
        return f"serviceAccount:{rest}"
    return f"{kind}:{rest}"


def _entity(member: str, project: Project) -> str:
    """Return a member as access control lists write it."""
    if member in PUBLIC:
        return member
    kind, _, rest = member.partition(":")
    for team, convenience in _TEAM_MEMBERS.items():
        if kind == convenience:
            return f"project-{team}-{project.number if rest == project.id else rest}"
    return f"{'user' if kind == 'serviceAccount' else kind}-{rest}"
