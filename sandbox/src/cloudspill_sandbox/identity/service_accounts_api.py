# SPDX-License-Identifier: GPL-3.0-or-later
"""IAM v1: service accounts.

https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts
"""

from __future__ import annotations

from cloudspill_sandbox.engine.call import Call, Document, Handler, Service
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.identity import paging, refusals
from cloudspill_sandbox.identity.iam import Iam
from cloudspill_sandbox.identity.policy_methods import policy_methods
from cloudspill_sandbox.identity.service_account_access import COLLECTION, on_account

_MASKS = {
    "displayName": "displayName",
    "display_name": "displayName",
    "description": "description",
}


class ServiceAccountMethods:
    """What callers do with service accounts; who may is asked before."""

    def __init__(self, store: Store, iam: Iam) -> None:
        self._store = store
        self._iam = iam
        self._accounts = iam.accounts

    def service(self) -> Service:
        """Return the implemented methods."""
        handlers: dict[str, Handler] = {
            "create": self._create,
            "delete": self._delete,
            "disable": self._disable,
            "enable": self._enable,
            "get": self._get,
            "list": self._list,
            "patch": self._patch,
            "undelete": self._undelete,
            "update": self._update,
        }
        policies = policy_methods(
            COLLECTION,
            self._iam.policies,
            self._iam.authorizer,
            lambda call: on_account("", self._account(call, "resource")),
        )
        return {**policies, **{f"{COLLECTION}.{verb}": each for verb, each in handlers.items()}}

    async def _create(self, call: Call) -> Document:
        described = call.body.get("serviceAccount", {})
        return resource(
            self._accounts.create(
                self._project(call),
                call.body.get("accountId", ""),
                display_name=described.get("displayName", ""),
                description=described.get("description", ""),
            )
        )

    async def _get(self, call: Call) -> Document:
        return resource(self._account(call))

    async def _list(self, call: Call) -> Document:
        accounts = self._accounts.of_project(self._project(call))
        chosen, token = paging.page(accounts, call.query, default=20, maximum=100)
        listed = {"accounts": [resource(account) for account in chosen]} if chosen else {}
        return listed | token

    async def _patch(self, call: Call) -> Document:
        given = call.body.get("serviceAccount", {})
        mask = call.body.get("updateMask") or ",".join(set(given) & set(_MASKS.values()))
        changes = {}
        for path in filter(None, (part.strip() for part in mask.split(","))):
            field = _MASKS.get(path.removeprefix("serviceAccount."))
            if field is None:
                raise refusals.unmasked(path, ("displayName", "description"))
            changes[field] = given.get(field, "")
        return resource(self._accounts.update(self._account(call), changes))

    async def _update(self, call: Call) -> Document:
        """Set the display name, which is all that this deprecated method sets."""
        changes = {"displayName": call.body.get("displayName", "")}
        return resource(self._accounts.update(self._account(call), changes))

    async def _disable(self, call: Call) -> Document:
        self._accounts.set_disabled(self._account(call), True)
        return {}

    async def _enable(self, call: Call) -> Document:
        self._accounts.set_disabled(self._account(call), False)
        return {}

    async def _delete(self, call: Call) -> Document:
        """Remove an account.

        It stays a member of policies, as a deleted one: whoever makes another of its name gets
        none of its roles. https://cloud.google.com/iam/docs/policies#handle-deleted-members
        """
        account = self._account(call)
        with self._store.transaction() as transaction:
            grave = self._accounts.delete(transaction, account)
            self._iam.policies.rename(transaction, *_members(account))
            self._iam.policies.move(transaction, account["name"], grave)
        return {}

    async def _undelete(self, call: Call) -> Document:
        account = self._accounts.deleted(call.path["name"])
        if account is None:
            raise refusals.unknown_account()
        with self._store.transaction() as transaction:
            grave = self._accounts.undelete(transaction, account)
            self._iam.policies.rename(transaction, *reversed(_members(account)))
            self._iam.policies.move(transaction, grave, account["name"])
        return {"restoredAccount": resource(account)}

    def _project(self, call: Call) -> str:
        name = self._iam.projects.find(call.path["name"])
        if name is None:
            raise refusals.refused("NOT_FOUND", f"Unknown project {call.path['name']}.")
        return name.removeprefix("projects/")

    def _account(self, call: Call, parameter: str = "name") -> Document:
        account = self._accounts.resolve(call.path[parameter])
        if account is None:
            raise refusals.unknown_account()
        return account


def resource(account: Document) -> Document:
    """Return an account as Google shows it."""
    return account | {"oauth2ClientId": account["uniqueId"]}


def _members(account: Document) -> tuple[str, str]:
    """Return how policies call an account while it is there, and when it is deleted."""
    email, unique_id = account["email"], account["uniqueId"]
    return f"serviceAccount:{email}", f"deleted:serviceAccount:{email}?uid={unique_id}"
