# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a principal may do what a call asks.

For now membership decides: the service accounts of a project may do everything in it. Roles ask
the same two things, a permission and a resource, and take the place of `holds`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from cloudspill_sandbox.engine.call import Call, Principal
from cloudspill_sandbox.engine.errors import ApiError, not_found
from cloudspill_sandbox.engine.store import Store

_VERBS = {
    "insert": "create",
    "bulkInsert": "create",
    "aggregatedList": "list",
    "patch": "update",
    "getFromFamily": "getFromFamily",
    "wait": "get",
}
_READING = frozenset({"get", "list", "getFromFamily"})


class ProjectAuthorizer:
    """Lets each project's service accounts do everything in it, and all read public projects.

    Args:
        public_projects: ids of projects whose images everybody may read.
        numbers: ids of projects by their numbers, which clients may write in their place.
    """

    def __init__(
        self,
        store: Store,
        public_projects: Collection[str] = (),
        numbers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._store = store
        self._public = frozenset(public_projects)
        self._numbers = dict(numbers)

    def authorize(self, call: Call) -> None:
        """Return when allowed.

        Raises:
            ApiError: 404 for a project that does not exist, 403 for one of somebody else.
        """
        project = call.path.get("project")
        if project is None:
            return
        permission = permission_of(call.method)
        if project in self._public and permission.rpartition(".")[2] in _READING:
            return
        name = f"projects/{self._numbers.get(project, project)}"
        if self._store.get(name) is None:
            raise not_found(name)
        if not self.holds(call.principal, permission, name):
            raise ApiError(
                403, "forbidden", f"Required '{permission}' permission for '{_resource(call)}'"
            )

    def holds(self, principal: Principal, permission: str, project: str) -> bool:  # noqa: ARG002
        """Whether a principal has a permission in a project (relative name)."""
        return self.is_member(principal, project)

    def is_member(self, principal: Principal, project: str) -> bool:
        """Whether a principal has anything to do with a project (relative name)."""
        return self._store.get(f"{project}/serviceAccounts/{principal.email}") is not None


def permission_of(method: str) -> str:
    """Return the IAM permission behind a method: `compute.instances.insert` → `….create`.

    https://cloud.google.com/compute/docs/access/iam-permissions
    """
    resource, _, verb = method.rpartition(".")
    return f"{resource}.{_VERBS.get(verb, verb)}"


def _resource(call: Call) -> str:
    """Return the relative name that Google puts into a refusal."""
    collection = call.method.split(".")[-2]
    parts = [f"projects/{call.path['project']}"]
    if "zone" in call.path:
        parts.append(f"zones/{call.path['zone']}")
    elif "region" in call.path:
        parts.append(f"regions/{call.path['region']}")
    last = list(call.path)[-1]
    if last not in ("project", "zone", "region"):
        parts.append(f"{collection}/{call.path[last]}")
    return "/".join(parts)
