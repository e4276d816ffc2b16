# SPDX-License-Identifier: GPL-3.0-or-later
"""Cloud Resource Manager v1: what a project is, and who may do what in it.

https://cloud.google.com/resource-manager/reference/rest/v1/projects
"""

from __future__ import annotations

from collections.abc import Sequence

from cloudspill_sandbox.engine.access import AccessRules, Requirement
from cloudspill_sandbox.engine.call import Call, Document, Principal, Service
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.identity.iam import Iam
from cloudspill_sandbox.identity.policy_methods import policy_methods
from cloudspill_sandbox.identity.projects import ProjectNames, on_project

_PREFIX = "cloudresourcemanager.projects"


def resource_manager_access(names: ProjectNames) -> AccessRules:
    """Return what Cloud Resource Manager asks of its callers."""

    def requirements(call: Call) -> Sequence[Requirement]:
        project = _named(names, call)
        verb = call.method.rpartition(".")[2]
        if verb == "testIamPermissions":
            return ()
        return [on_project(f"resourcemanager.projects.{verb}", project)]

    return AccessRules(requirements, _denied)


def resource_manager_service(store: Store, iam: Iam) -> Service:
    """Return the implemented methods."""

    def resource_of(call: Call) -> Requirement:
        return on_project("", _named(iam.projects, call))

    async def get(call: Call) -> Document:
        name = _named(iam.projects, call)
        document = store.get(name) or {}
        project = name.removeprefix("projects/")
        return {
            "projectId": project,
            "projectNumber": iam.projects.number(project),
            "name": project,
            "lifecycleState": "ACTIVE",
            "createTime": document["creationTimestamp"],
        }

    methods = policy_methods(_PREFIX, iam.policies, iam.authorizer, resource_of)
    return {**methods, f"{_PREFIX}.get": get}


def _named(names: ProjectNames, call: Call) -> str:
    """Return the relative name of the project that a call names."""
    name = names.find(call.path.get("projectId") or call.path.get("resource") or "")
    if name is None:
        # Google tells strangers nothing, not even that there is no such project.
        raise _denied(call.principal, ())
    return name


def _denied(_: Principal, missing: Sequence[Requirement]) -> ApiError:  # noqa: ARG001
    return ApiError(
        403, "forbidden", "The caller does not have permission", code="PERMISSION_DENIED"
    )
