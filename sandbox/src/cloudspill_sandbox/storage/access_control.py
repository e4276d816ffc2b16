# SPDX-License-Identifier: GPL-3.0-or-later
"""Access control lists: who may read, write and own a bucket or an object.

A list maps an entity (`user-jane@example.com`, `project-owners-123456`, `allUsers`) to its one
role. https://cloud.google.com/storage/docs/access-control/lists
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cloudspill_sandbox.engine.call import Document, Principal
from cloudspill_sandbox.engine.errors import required_parameter
from cloudspill_sandbox.storage.refusals import invalid

AccessControlList = dict[str, str]
"""Roles (`OWNER`, `WRITER`, `READER`) by entity."""

BUCKET_ROLES = ("OWNER", "WRITER", "READER")
OBJECT_ROLES = ("OWNER", "READER")
ALL_USERS = "allUsers"
ALL_AUTHENTICATED_USERS = "allAuthenticatedUsers"
PUBLIC = frozenset({ALL_USERS, ALL_AUTHENTICATED_USERS})

_TEAMS = ("owners", "editors", "viewers")
_TEAM = re.compile(r"project-(owners|editors|viewers)-(.+)")
_PERSON = re.compile(r"(user|group)-([^@\s]+(?:@[^@\s]+)?)")
_DOMAIN = re.compile(r"domain-([^@\s]+\.[^@\s]+)")


@dataclass(frozen=True, slots=True)
class Project:
    """The project of a bucket.

    Attributes:
        id: `my-project`.
        number: by which access control lists name its teams.
    """

    id: str
    number: int

    def team(self, name: str) -> str:
        """Return the entity of a team: `owners`, `editors` or `viewers`."""
        return f"project-{name}-{self.number}"


Projects = Mapping[str, Project]
"""The projects that exist, by id and by number."""


def checked_entity(text: str | None, project: Project) -> str:
    """Return an entity in the form in which Google keeps it.

    Raises:
        ApiError: 400, it is none.
    """
    if not text:
        raise required_parameter("entity")
    if text in PUBLIC:
        return text
    if match := _TEAM.fullmatch(text):
        team, owner = match.groups()
        return project.team(team) if owner in (project.id, str(project.number)) else text
    if _PERSON.fullmatch(text) or _DOMAIN.fullmatch(text):
        return text.lower()
    raise invalid(f"Invalid argument. '{text}' is no entity of an access control list.")


def checked_role(text: str | None, roles: Iterable[str]) -> str:
    """Return one of the roles that a list knows.

    Raises:
        ApiError: 400, it is none of them.
    """
    if not text:
        raise required_parameter("role")
    if text not in roles:
        raise invalid(f"Invalid argument. '{text}' is no role here, only {', '.join(roles)} are.")
    return text


def checked_list(
    entries: Iterable[Document], roles: Iterable[str], project: Project
) -> AccessControlList:
    """Return the list that the entries of a request make.

    Raises:
        ApiError: 400, an entry has no or no valid entity or role.
    """
    return {
        checked_entity(entry.get("entity"), project): checked_role(entry.get("role"), roles)
        for entry in entries
    }


def predefined_bucket_list(name: str, project: Project) -> AccessControlList:
    """Return what a `predefinedAcl` of a bucket stands for.

    https://cloud.google.com/storage/docs/access-control/lists#predefined-acl

    Args:
        name: one of the discovery document's values.
    """
    owners = {project.team("owners"): "OWNER"}
    return {
        "private": owners,
        "projectPrivate": project_private(project),
        "authenticatedRead": owners | {ALL_AUTHENTICATED_USERS: "READER"},
        "publicRead": owners | {ALL_USERS: "READER"},
        "publicReadWrite": owners | {ALL_USERS: "WRITER"},
    }[name]


def predefined_object_list(name: str, project: Project, creator: str) -> AccessControlList:
    """Return what a `predefinedAcl` of an object, or one for its bucket's defaults, stands for.

    Args:
        name: one of the discovery document's values.
        creator: email of who asks; "" for a bucket's defaults, where the uploader is added later.
    """
    own = {user_entity(creator): "OWNER"} if creator else {}
    owners = {project.team("owners"): "OWNER"}
    return {
        "private": own,
        "projectPrivate": own | project_private(project),
        "authenticatedRead": own | {ALL_AUTHENTICATED_USERS: "READER"},
        "publicRead": own | {ALL_USERS: "READER"},
        "bucketOwnerRead": own | {project.team("owners"): "READER"},
        "bucketOwnerFullControl": own | owners,
    }[name]


def project_private(project: Project) -> AccessControlList:
    """Return what buckets and their objects get when nothing is said."""
    roles = ("OWNER", "OWNER", "READER")
    return {project.team(team): role for team, role in zip(_TEAMS, roles, strict=True)}


def user_entity(email: str) -> str:
    """Return the entity of a user or service account."""
    return f"user-{email}"


def is_public(entries: Mapping[str, str]) -> bool:
    """Whether a list lets in everybody."""
    return not PUBLIC.isdisjoint(entries)


def role_of(entries: Mapping[str, str], principal: Principal, teams: Iterable[str]) -> str | None:
    """Return the highest role that a list gives a principal, None for none.

    Args:
        teams: entities of the project teams that the principal is in.
    """
    entities = [ALL_USERS, *teams]
    if principal.email:
        entities += [ALL_AUTHENTICATED_USERS, user_entity(principal.email)]
    held = {entries[entity] for entity in entities if entity in entries}
    return next((role for role in BUCKET_ROLES if role in held), None)


def described_entity(entity: str) -> Document:
    """Return what an answer says of an entity beside its name."""
    kind, _, rest = entity.partition("-")
    if match := _TEAM.fullmatch(entity):
        return {"projectTeam": {"team": match[1], "projectNumber": match[2]}}
    if kind == "domain":
        return {"domain": rest}
    return {"email": rest} if "@" in rest else {}
