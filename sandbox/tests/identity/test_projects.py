# SPDX-License-Identifier: GPL-3.0-or-later
"""Cloud Resource Manager: what a caller learns of a project."""

from __future__ import annotations

import pytest

from cloudspill_sandbox.engine.call import Call, Document, Principal
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.identity.authorizer import ProjectAuthorizer
from cloudspill_sandbox.identity.projects import resource_manager_service

MEMBER = Principal("owner@acme.iam.gserviceaccount.com")
STRANGER = Principal("other@elsewhere.iam.gserviceaccount.com")
GET = "cloudresourcemanager.projects.get"
TEST = "cloudresourcemanager.projects.testIamPermissions"


@pytest.fixture
def store() -> Store:
    """One project, `acme`, with one account."""
    documents = Store()
    documents.put("projects/acme", {"name": "acme", "creationTimestamp": "2026-01-01T00:00:00Z"})
    documents.put(f"projects/acme/serviceAccounts/{MEMBER.email}", {})
    return documents


async def ask(store: Store, method: str, principal: Principal, project: str) -> Document:
    """Make one call."""
    service = resource_manager_service(store, ProjectAuthorizer(store), 42)
    field = "projectId" if method == GET else "resource"
    body = {"permissions": ["compute.instances.create", "compute.images.create"]}
    answer = await service[method](
        Call(method, {field: project}, {}, body if method == TEST else {}, principal)
    )
    assert isinstance(answer, dict)
    return answer


async def test_a_member_sees_the_project_and_holds_what_it_asks_for(store: Store) -> None:
    assert (await ask(store, GET, MEMBER, "acme"))["projectNumber"] == "42"
    held = await ask(store, TEST, MEMBER, "acme")
    assert held == {"permissions": ["compute.instances.create", "compute.images.create"]}


@pytest.mark.parametrize("method", [GET, TEST])
@pytest.mark.parametrize("project", ["acme", "absent"])
async def test_a_stranger_is_not_even_told_whether_a_project_exists(
    store: Store, method: str, project: str
) -> None:
    with pytest.raises(ApiError, match="does not have permission") as refused:
        await ask(store, method, STRANGER, project)
    assert refused.value.status == 403
