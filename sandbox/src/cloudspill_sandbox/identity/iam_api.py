# SPDX-License-Identifier: GPL-3.0-or-later
"""IAM v1 as a whole: what it asks of its callers, and its methods.

https://cloud.google.com/iam/docs/reference/rest
"""

from __future__ import annotations

from collections.abc import Sequence

from cloudspill_sandbox.engine.access import AccessRules, Requirement
from cloudspill_sandbox.engine.call import Call, Service
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.identity.account_keys_api import AccountKeyMethods
from cloudspill_sandbox.identity.accounts import ServiceAccounts
from cloudspill_sandbox.identity.iam import Iam
from cloudspill_sandbox.identity.projects import ProjectNames
from cloudspill_sandbox.identity.roles_api import roles_requirements, roles_service
from cloudspill_sandbox.identity.service_account_access import (
    COLLECTION,
    ServiceAccountRequirements,
    denied,
)
from cloudspill_sandbox.identity.service_accounts_api import ServiceAccountMethods


def iam_access(accounts: ServiceAccounts, projects: ProjectNames) -> AccessRules:
    """Return what IAM asks of its callers."""
    of_accounts = ServiceAccountRequirements(accounts, projects)

    def requirements(call: Call) -> Sequence[Requirement]:
        if call.method.startswith(COLLECTION):
            return of_accounts(call)
        return roles_requirements(projects, call)

    return AccessRules(requirements, denied)


def iam_service(store: Store, iam: Iam) -> Service:
    """Return the implemented methods."""
    return {
        **ServiceAccountMethods(store, iam).service(),
        **AccountKeyMethods(iam.accounts).service(),
        **roles_service(iam),
    }
