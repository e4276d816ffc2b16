# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles in the IAM API v1: Google's, and a project's own.

https://cloud.google.com/iam/docs/reference/rest/v1/roles,
https://cloud.google.com/iam/docs/reference/rest/v1/projects.roles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cloudspill_sandbox.engine.access import Requirement
from cloudspill_sandbox.engine.call import Call, Document, Service
from cloudspill_sandbox.identity.custom_roles import DELETED_AT
from cloudspill_sandbox.identity.iam import Iam
from cloudspill_sandbox.identity.paging import page
from cloudspill_sandbox.identity.permissions import NOT_IN_CUSTOM_ROLES, PERMISSIONS
from cloudspill_sandbox.identity.predefined_roles import ACCOUNT, PROJECT
from cloudspill_sandbox.identity.projects import ProjectNames, on_project
from cloudspill_sandbox.identity.refusals import invalid, refused
from cloudspill_sandbox.identity.roles import Role

_SERVICE = "iam.googleapis.com"
_ROLE = "iam.googleapis.com/Role"
_OWN = "iam.projects.roles."
_VERBS: Mapping[str, Sequence[str]] = {"patch": ("update", "get")}
_DEFAULT_PAGE, _LARGEST_PAGE = 300, 1000
_TESTABLE = {
    PROJECT: ("",),
    ACCOUNT: ("iam.serviceAccounts.", "iam.serviceAccountKeys."),
}
"""Beginnings of the permissions that can be tested on a type of resource."""


def roles_requirements(projects: ProjectNames, call: Call) -> Sequence[Requirement]:
    """Return what a call about roles needs; Google's own roles are everybody's to read.

    https://cloud.google.com/iam/docs/creating-custom-roles#required-roles
    """
    if call.method.startswith(_OWN):
        verb = call.method.removeprefix(_OWN)
        name = call.path.get("name") or call.path["parent"]
        project = _project(projects, name)
        resource = f"{project}/roles/{name.split('/')[3]}" if "name" in call.path else project
        kind = _ROLE if "name" in call.path else PROJECT
        return [
            Requirement(f"iam.roles.{each}", resource, kind, _SERVICE, (project,))
            for each in _VERBS.get(verb, (verb,))
        ]
    if parent := call.query.get("parent"):
        return [on_project("iam.roles.list", _project(projects, parent))]
    if "fullResourceName" in call.body:
        project, _ = _resource(projects, call)
        return [on_project("resourcemanager.projects.get", project)]
    return ()


def roles_service(iam: Iam) -> Service:
    """Return the implemented methods."""
    own = _OwnRoles(iam)
    return {
        "iam.permissions.queryTestablePermissions": lambda call: _testable(iam, call),
        "iam.projects.roles.create": own.create,
        "iam.projects.roles.delete": own.delete,
        "iam.projects.roles.get": own.get,
        "iam.projects.roles.list": own.list,
        "iam.projects.roles.patch": own.patch,
        "iam.projects.roles.undelete": own.undelete,
        "iam.roles.get": lambda call: _predefined(iam, call),
        "iam.roles.list": lambda call: _list(iam, call),
        "iam.roles.queryGrantableRoles": lambda call: _grantable(iam, call),
    }


class _OwnRoles:
    """The methods of projects.roles."""

    def __init__(self, iam: Iam) -> None:
        self._iam = iam
        self._custom = iam.custom_roles

    async def create(self, call: Call) -> Document:
        project = _project(self._iam.projects, call.path["parent"])
        role = call.body.get("role") or {}
        return _shown(self._custom.create(project, call.body.get("roleId") or "", role))

    async def get(self, call: Call) -> Document:
        return _shown(self._custom.existing(self._name(call)))

    async def list(self, call: Call) -> Document:
        return _list_own(self._iam, call.path["parent"], call.query)

    async def patch(self, call: Call) -> Document:
        mask = call.query.get("updateMask")
        return _shown(self._custom.update(self._name(call), call.body, mask))

    async def delete(self, call: Call) -> Document:
        return _shown(self._custom.delete(self._name(call), call.query.get("etag")))

    async def undelete(self, call: Call) -> Document:
        return _shown(self._custom.undelete(self._name(call), call.body.get("etag")))

    def _name(self, call: Call) -> str:
        name = call.path["name"]
        return f"{_project(self._iam.projects, name)}/roles/{name.split('/')[3]}"


async def _predefined(iam: Iam, call: Call) -> Document:
    role = iam.roles.find(call.path["name"])
    if role is None:
        raise refused("NOT_FOUND", f"The role named {call.path['name']} was not found.")
    return _full(role)


async def _list(iam: Iam, call: Call) -> Document:
    """Google's roles; with a parent, those of that project."""
    if parent := call.query.get("parent"):
        return _list_own(iam, parent, call.query)
    return _listed(iam.roles.predefined(), call.query)


def _list_own(iam: Iam, parent: str, query: Mapping[str, Any]) -> Document:
    project = _project(iam.projects, parent)
    return _listed(_own(iam, project, deleted=query.get("showDeleted", False)), query)


def _own(iam: Iam, project: str, *, deleted: bool = False) -> list[Role]:
    found = (iam.roles.find(role["name"]) for role in iam.custom_roles.of(project, deleted=deleted))
    return [role for role in found if role is not None]


async def _grantable(iam: Iam, call: Call) -> Document:
    project, kind = _resource(iam.projects, call)
    roles = [*iam.roles.predefined(), *_own(iam, project)]
    return _listed([role for role in roles if kind in role.resources], call.body)


async def _testable(iam: Iam, call: Call) -> Document:
    _, kind = _resource(iam.projects, call)
    items = {
        permission: {
            "name": permission,
            "stage": "GA",
            "customRolesSupportLevel": "NOT_SUPPORTED"
            if permission in NOT_IN_CUSTOM_ROLES
            else "SUPPORTED",
        }
        for permission in PERMISSIONS
        if permission.startswith(_TESTABLE[kind])
    }
    chosen, more = page(items, call.body, default=100, maximum=_LARGEST_PAGE)
    return {"permissions": chosen} | more


def _listed(roles: Sequence[Role], query: Mapping[str, Any]) -> Document:
    """Return a page of roles; BASIC, the default, leaves the permissions out."""
    full = query.get("view") == "FULL"
    items = {role.name: _full(role) if full else _basic(role) for role in roles}
    chosen, more = page(items, query, default=_DEFAULT_PAGE, maximum=_LARGEST_PAGE)
    return ({"roles": chosen} if chosen else {}) | more


def _full(role: Role) -> Document:
    held = role.document.get("includedPermissions") or sorted(role.permissions)
    shown = {"etag": "AA=="} | _shown(role.document)
    return shown | ({"includedPermissions": held} if held else {})


def _basic(role: Role) -> Document:
    return {key: value for key, value in _full(role).items() if key != "includedPermissions"}


def _shown(role: Document) -> Document:
    """Return a stored role as the API shows it."""
    return {key: value for key, value in role.items() if key != DELETED_AT}


def _project(projects: ProjectNames, name: str) -> str:
    """Return the relative name of the project of a role or of the parent of roles.

    Raises:
        ApiError: 400, the name is none below a project; 403, there is no such project.
    """
    collection, _, rest = name.partition("/")
    if collection != "projects":
        raise invalid(f"The parent '{name}' is invalid: it must be projects/PROJECT_ID.")
    found = projects.find(rest.partition("/")[0])
    if found is None:
        raise refused("PERMISSION_DENIED", "The caller does not have permission")
    return found


def _resource(projects: ProjectNames, call: Call) -> tuple[str, str]:
    """Return project and type of the resource that `fullResourceName` means.

    https://cloud.google.com/iam/docs/full-resource-names; projects and service accounts alone.
    """
    full = call.body.get("fullResourceName") or ""
    service, _, path = full.removeprefix("//").partition("/")
    segments = path.split("/")
    if full.startswith("//") and segments[0] == "projects" and len(segments) > 1:
        if service == "cloudresourcemanager.googleapis.com" and len(segments) == 2:
            return _project(projects, path), PROJECT
        if service == _SERVICE and len(segments) == 4 and segments[2] == "serviceAccounts":
            return _project(projects, path), ACCOUNT
    raise invalid(f"The full resource name '{full}' is invalid.")
