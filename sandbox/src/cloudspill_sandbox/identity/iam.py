# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that decides who may do what, over one store."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cloudspill_sandbox.engine.access import AccessRules
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.identity.accounts import ServiceAccounts
from cloudspill_sandbox.identity.authorizer import PolicyAuthorizer
from cloudspill_sandbox.identity.custom_roles import CustomRoles
from cloudspill_sandbox.identity.policies import Policies
from cloudspill_sandbox.identity.projects import ProjectNames
from cloudspill_sandbox.identity.roles import Roles


class Iam:
    """Identity and Access Management.

    Args:
        projects: finds projects by id or number.
        clock: seconds since the epoch.
        rules: what each API asks of its callers, by the name that its methods begin with.

    Attributes:
        accounts: the service accounts.
        projects: finds projects by id or number.
        roles: predefined and custom ones, by name.
        custom_roles: makes and changes the latter.
        policies: who has which roles, by resource.
        authorizer: whether somebody may do something, by all of these.
    """

    def __init__(
        self,
        store: Store,
        accounts: ServiceAccounts,
        projects: ProjectNames,
        clock: Callable[[], float],
        rules: Mapping[str, AccessRules],
    ) -> None:
        self.accounts = accounts
        self.projects = projects
        self.roles = Roles(store)
        self.custom_roles = CustomRoles(store, clock)
        self.policies = Policies(store, self.roles, lambda email: accounts.find(email) is not None)
        self.authorizer = PolicyAuthorizer(self.policies, self.roles, clock, rules)
