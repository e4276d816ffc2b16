# SPDX-License-Identifier: GPL-3.0-or-later
"""Projects: how they are called, and who may do what in a new one."""

from __future__ import annotations

from collections.abc import Mapping

from cloudspill_sandbox.engine.access import Requirement
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.identity.policies import Policies
from cloudspill_sandbox.identity.predefined_roles import PROJECT

SERVICE = "cloudresourcemanager.googleapis.com"


def ensure_policy(policies: Policies, store: Store, project: str, bound: Mapping[str, str]) -> None:
    """Give a project that has no policy the one that a new project has.

    Args:
        project: relative name.
        bound: role by member; on Google Cloud the default service account of Compute Engine is an
            editor (https://cloud.google.com/compute/docs/access/service-accounts).
    """
    if policies.find(project) is None:
        bindings = [{"role": role, "members": [member]} for member, role in bound.items()]
        with store.transaction() as transaction:
            policies.put(transaction, project, bindings)


class ProjectNames:
    """Finds projects by what clients call them.

    Args:
        numbers: ids by number.
    """

    def __init__(self, store: Store, numbers: Mapping[str, str]) -> None:
        self._store = store
        self._numbers = dict(numbers)

    def find(self, text: str) -> str | None:
        """Return the relative name of the project with an id or number, None when there is none."""
        project = text.removeprefix("projects/")
        name = f"projects/{self._numbers.get(project, project)}"
        return name if self._store.get(name) is not None else None

    def number(self, project: str) -> str:
        """Return the number of a project by its id, "" when it has none."""
        found = (number for number, known in self._numbers.items() if known == project)
        return next(found, "")


def on_project(permission: str, name: str) -> Requirement:
    """Require a permission on a project, by relative name."""
    return Requirement(permission, name, PROJECT, SERVICE, (name,))
