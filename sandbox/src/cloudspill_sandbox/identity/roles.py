# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles by name: Google's predefined ones, and a project's own.

https://cloud.google.com/iam/docs/roles-overview
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.identity.permissions import matching
from cloudspill_sandbox.identity.predefined_roles import ACCOUNT, BUCKET, PREDEFINED, PROJECT

BASIC = frozenset({"roles/owner", "roles/editor", "roles/viewer"})


@dataclass(frozen=True)
class Role:
    """A role.

    Attributes:
        document: as `iam.roles.get` gives it, without etag and permissions if it is predefined.
        patterns: which permissions it holds, see `permissions.matching`.
        resources: types of the resources whose policies may hold it.
    """

    document: Document
    patterns: tuple[str, ...]
    resources: frozenset[str]

    @property
    def name(self) -> str:
        """`roles/viewer` or `projects/p/roles/mine`."""
        return str(self.document["name"])

    @cached_property
    def permissions(self) -> frozenset[str]:
        """What it permits: nothing while it is disabled or deleted."""
        if self.document.get("deleted") or self.document.get("stage") == "DISABLED":
            return frozenset()
        return matching(*self.patterns)


class Roles:
    """All roles of a cloud.

    Custom roles are the documents `projects/P/roles/ID`; `CustomRoles` writes them.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._predefined = {
            name: Role(
                {"name": name, "title": role.title, "stage": "GA"}, role.patterns, role.resources
            )
            for name, role in PREDEFINED.items()
        }
        self._custom: dict[str, Role] = {}

    def find(self, name: str) -> Role | None:
        """Return the role of this name; one that was deleted still is there, without permissions.

        The same object is returned until the role changes.
        """
        if (predefined := self._predefined.get(name)) is not None:
            return predefined
        document = self._store.get(name) if "/roles/" in name else None
        if document is None:
            return None
        known = self._custom.get(name)
        if known is None or known.document is not document:
            known = self._custom[name] = _custom(document)
        return known

    def predefined(self) -> list[Role]:
        """Return Google's roles, by name."""
        return [self._predefined[name] for name in sorted(self._predefined)]


def _custom(document: Document) -> Role:
    permissions = tuple(document.get("includedPermissions", ()))
    return Role(document, permissions, frozenset({PROJECT, ACCOUNT, BUCKET}))
