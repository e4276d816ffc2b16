# SPDX-License-Identifier: GPL-3.0-or-later
"""A project's own roles, as documents `projects/P/roles/ID`.

https://cloud.google.com/iam/docs/reference/rest/v1/projects.roles. A deleted role can be undeleted
for a week, and its id is free again after 37 days.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable, Mapping, Sequence

from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.identity.permissions import NOT_IN_CUSTOM_ROLES, plausible
from cloudspill_sandbox.identity.refusals import invalid, refused, too_long, unmasked

MOST_ROLES = 300
MOST_PERMISSIONS = 3000
"""https://cloud.google.com/iam/quotas"""

DELETED_AT = "deletedAt"
"""Field of a stored role that is no part of the API: seconds since the epoch."""

_DAY = 86_400.0
_TO_UNDELETE = 7 * _DAY
_TO_FREE = 37 * _DAY
_ID = re.compile(r"[a-zA-Z0-9_.]{3,64}")
_LENGTHS = {"title": 100, "description": 300}
_FIELDS = ("title", "description", "includedPermissions", "stage")


class CustomRoles:
    """Makes and changes custom roles.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    def create(self, project: str, role_id: str, role: Document) -> Document:
        """Make a role of a project (relative name); return its document.

        Raises:
            ApiError: 400 for what cannot be, 409 for an id that is taken.
        """
        if not _ID.fullmatch(role_id):
            raise invalid(
                f"The role_id ({role_id}) must have 3 to 64 characters of letters, digits, "
                "underscores and periods.",
            )
        name = f"{project}/roles/{role_id}"
        if (known := self._known(name)) is not None:
            if known.get("deleted"):
                raise refused(
                    "FAILED_PRECONDITION",
                    f"You can't create a role with role_id ({role_id}) where there is an existing "
                    "role with that role_id in a deleted state.",
                )
            raise refused("ALREADY_EXISTS", f"A role named {role_id} in {project} already exists.")
        if len(self._all(project)) >= MOST_ROLES:
            raise refused(
                "RESOURCE_EXHAUSTED", f"Maximum number of roles reached. Maximum is: {MOST_ROLES}"
            )
        return self._put({"name": name, "stage": "ALPHA"} | _checked(role, _FIELDS))

    def of(self, project: str, *, deleted: bool = False) -> list[Document]:
        """Return the roles of a project (relative name), on request deleted ones, too."""
        found = map(self._known, [f"{project}/roles/{key}" for key in self._all(project)])
        return [role for role in found if role and (deleted or not role.get("deleted"))]

    def existing(self, name: str) -> Document:
        """Return a role, deleted or not. Raises ApiError 404 when there is none."""
        role = self._known(name)
        if role is None:
            raise _unknown(name)
        return role

    def update(self, name: str, role: Document, mask: str | None) -> Document:
        """Change fields of a role: those of the mask, without one those that are given.

        Raises:
            ApiError: 404; 409 for an etag that is not the current one; 400 for what cannot be.
        """
        current = self.existing(name)
        _check_etag(role.get("etag"), current)
        if current.get("deleted"):
            raise refused("FAILED_PRECONDITION", f"You can't update a deleted role ({name}).")
        fields = [field.strip() for field in mask.split(",")] if mask else [*role]
        if mask and (wrong := next((each for each in fields if each not in _FIELDS), None)):
            raise unmasked(wrong, _FIELDS)
        chosen = [field for field in fields if field in _FIELDS]
        kept = {key: value for key, value in current.items() if key not in chosen}
        return self._put({"stage": "ALPHA"} | kept | _checked(role, chosen))

    def delete(self, name: str, etag: str | None) -> Document:
        """Mark a role as deleted: bindings keep it and grant nothing. Raises as `update`."""
        current = self.existing(name)
        _check_etag(etag, current)
        if current.get("deleted"):
            raise refused("FAILED_PRECONDITION", f"The role ({name}) is already deleted.")
        return self._put(current | {"deleted": True, DELETED_AT: self._clock()})

    def undelete(self, name: str, etag: str | None) -> Document:
        """Take a deletion back, within a week. Raises as `update`."""
        current = self.existing(name)
        _check_etag(etag, current)
        if not current.get("deleted"):
            raise refused("FAILED_PRECONDITION", f"The role ({name}) is not deleted.")
        if self._clock() >= current[DELETED_AT] + _TO_UNDELETE:
            raise _unknown(name)
        return self._put(
            {key: value for key, value in current.items() if key not in ("deleted", DELETED_AT)}
        )

    def _all(self, project: str) -> Mapping[str, Document]:
        return self._store.children(f"{project}/roles")

    def _known(self, name: str) -> Document | None:
        role = self._store.get(name)
        if role is not None and self._clock() >= role.get(DELETED_AT, float("inf")) + _TO_FREE:
            return None
        return role

    def _put(self, role: Document) -> Document:
        etag = base64.b64encode(b"\x07" + secrets.token_bytes(7)).decode()
        written = role | {"etag": etag}
        self._store.put(role["name"], written)
        return written


def _checked(role: Document, fields: Sequence[str]) -> Document:
    """Return those of the fields that have a value, checked."""
    checked = {field: role[field] for field in fields if role.get(field)}
    for field, limit in _LENGTHS.items():
        if len(checked.get(field, "").encode()) > limit:
            raise too_long(field, limit)
    if "includedPermissions" in checked:
        checked["includedPermissions"] = _checked_permissions(checked["includedPermissions"])
    return checked


def _checked_permissions(permissions: Sequence[str]) -> list[str]:
    """https://cloud.google.com/iam/docs/custom-roles-permissions-support"""
    for permission in permissions:
        if not plausible(permission) or permission in NOT_IN_CUSTOM_ROLES:
            raise invalid(f"Permission {permission} is not valid.")
    if len(set(permissions)) > MOST_PERMISSIONS:
        raise invalid(
            f"The role has {len(set(permissions))} permissions, at most {MOST_PERMISSIONS} are "
            "allowed.",
        )
    return sorted(set(permissions))


def _check_etag(sent: str | None, role: Document) -> None:
    if sent and sent.rstrip("=") != role["etag"].rstrip("="):
        raise refused(
            "ABORTED",
            "There were concurrent changes of the role. Please retry the whole read-modify-write "
            "with exponential backoff.",
        )


def _unknown(name: str) -> ApiError:
    return refused("NOT_FOUND", f"The role named {name} was not found.")
