# SPDX-License-Identifier: GPL-3.0-or-later
"""What IAM asks of those who call it about service accounts and their keys.

https://cloud.google.com/iam/docs/service-account-permissions; each method's page names its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from cloudspill_sandbox.engine.access import Requirement
from cloudspill_sandbox.engine.call import Call, Document, Principal
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.identity import refusals
from cloudspill_sandbox.identity.accounts import ServiceAccounts
from cloudspill_sandbox.identity.predefined_roles import ACCOUNT
from cloudspill_sandbox.identity.projects import ProjectNames, on_project

COLLECTION = "iam.projects.serviceAccounts"

_SERVICE = "iam.googleapis.com"
_OF_PROJECTS = frozenset({"create", "list"})
_PERMISSIONS = {"patch": "update", "upload": "create"}
"""Verbs that ask for another permission than their own."""


def on_account(permission: str, account: Document) -> Requirement:
    """Require a permission on an account, or on a deleted one."""
    project = f"projects/{account['projectId']}"
    return Requirement(permission, account["name"], ACCOUNT, _SERVICE, (account["name"], project))


class ServiceAccountRequirements:
    """Says what a call of `iam.projects.serviceAccounts` needs; an `engine.access.Requirements`."""

    def __init__(self, accounts: ServiceAccounts, projects: ProjectNames) -> None:
        self._accounts = accounts
        self._projects = projects

    def __call__(self, call: Call) -> Sequence[Requirement]:
        """Return what a call needs."""
        kind, _, verb = call.method.removeprefix(f"{COLLECTION}.").rpartition(".")
        name = call.path["resource"] if "resource" in call.path else call.path["name"]
        permission = f"iam.serviceAccount{'Key' if kind else ''}s.{_PERMISSIONS.get(verb, verb)}"
        if verb == "testIamPermissions":
            return ()
        if not kind and verb in _OF_PROJECTS:
            return (self._on_project(permission, name),)
        account_name = "/".join(name.split("/")[:4])
        find = self._accounts.deleted if verb == "undelete" else self._accounts.resolve
        account = find(account_name)
        if account is not None:
            return (on_account(permission, account),)
        # Of an account that is not there the project's policy decides who is told so; without a
        # project (`projects/-`) nobody is, as each method's page says.
        return (self._on_project(permission, account_name.partition("/serviceAccounts/")[0]),)

    def _on_project(self, permission: str, name: str) -> Requirement:
        return on_project(permission, self._projects.find(name) or name)


def denied(principal: Principal, missing: Sequence[Requirement]) -> ApiError:  # noqa: ARG001
    """403 in the words of IAM; https://cloud.google.com/iam/docs/permission-error-messages."""
    permission = missing[0].permission
    return refusals.refused(
        "PERMISSION_DENIED",
        f"Permission '{permission}' denied on resource (or it may not exist).",
        refusals.error_info("IAM_PERMISSION_DENIED", _SERVICE, permission=permission),
    )
