# SPDX-License-Identifier: GPL-3.0-or-later
"""getIamPolicy, setIamPolicy and testIamPermissions: the same for every resource with a policy.

https://cloud.google.com/resource-manager/reference/rest/v1/projects/getIamPolicy and its kin.
"""

from __future__ import annotations

from collections.abc import Callable

from cloudspill_sandbox.engine.access import Requirement
from cloudspill_sandbox.engine.call import Call, Document, Service
from cloudspill_sandbox.identity.authorizer import PolicyAuthorizer
from cloudspill_sandbox.identity.permissions import plausible
from cloudspill_sandbox.identity.policies import Policies
from cloudspill_sandbox.identity.refusals import invalid

MOST_TESTED = 100


def policy_methods(
    collection: str,
    policies: Policies,
    authorizer: PolicyAuthorizer,
    resource_of: Callable[[Call], Requirement],
) -> Service:
    """Return the three methods of a collection by their ids.

    Args:
        collection: `cloudresourcemanager.projects`.
        resource_of: the resource that a call names, first in `policies` of the requirement (whose
            permission does not matter); raises ApiError when there is none.
    """

    async def get(call: Call) -> Document:
        options = call.body.get("options") or {}
        version = options.get("requestedPolicyVersion") or call.query.get(
            "options.requestedPolicyVersion", 0
        )
        return policies.read(resource_of(call).policies[0], version)

    async def set_(call: Call) -> Document:
        policy = call.body.get("policy")
        if policy is None:
            raise invalid("The request must have a policy.")
        resource = resource_of(call)
        mask = call.body.get("updateMask")
        return policies.write(resource.policies[0], resource.type, policy, mask=mask)

    async def test(call: Call) -> Document:
        resource = resource_of(call)
        held = authorizer.held(call.principal, tested_permissions(call), resource)
        return {"permissions": held} if held else {}

    return {
        f"{collection}.getIamPolicy": get,
        f"{collection}.setIamPolicy": set_,
        f"{collection}.testIamPermissions": test,
    }


def tested_permissions(call: Call) -> list[str]:
    """Return the permissions that a caller asks about.

    Raises:
        ApiError: 400 for too many, or for one that cannot be.
    """
    wanted = list(dict.fromkeys(call.body.get("permissions") or ()))
    if len(wanted) > MOST_TESTED:
        raise invalid(f"At most {MOST_TESTED} permissions can be tested at once.")
    for permission in wanted:
        if not plausible(permission):
            raise invalid(f"Permission {permission} is not valid for this resource.")
    return wanted
