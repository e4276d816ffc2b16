# SPDX-License-Identifier: GPL-3.0-or-later
"""Cloud Resource Manager v1: what a project is, and what the caller may do in it.

https://cloud.google.com/resource-manager/reference/rest/v1/projects
"""

from __future__ import annotations

from cloudspill_sandbox.engine.call import Call, Document, Handler, Service
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.identity.authorizer import ProjectAuthorizer

_DENIED = "The caller does not have permission"


def resource_manager_service(
    store: Store, authorizer: ProjectAuthorizer, project_number: int
) -> Service:
    """Return the implemented methods.

    Args:
        project_number: of the one project that exists.
    """

    def known(call: Call, field: str) -> str:
        project = call.path[field]
        name = f"projects/{project}"
        # Google tells strangers nothing, not even that there is no such project.
        if store.get(name) is None or not authorizer.is_member(call.principal, name):
            raise ApiError(403, "forbidden", _DENIED)
        return project

    async def get(call: Call) -> Document:
        project = known(call, "projectId")
        document = store.get(f"projects/{project}") or {}
        return {
            "projectId": project,
            "projectNumber": str(project_number),
            "name": project,
            "lifecycleState": "ACTIVE",
            "createTime": document["creationTimestamp"],
        }

    async def test_permissions(call: Call) -> Document:
        project = known(call, "resource")
        wanted = call.body.get("permissions", [])
        name = f"projects/{project}"
        return {"permissions": [p for p in wanted if authorizer.holds(call.principal, p, name)]}

    handlers: dict[str, Handler] = {
        "cloudresourcemanager.projects.get": get,
        "cloudresourcemanager.projects.testIamPermissions": test_permissions,
    }
    return handlers
