# SPDX-License-Identifier: GPL-3.0-or-later
"""Service accounts attached to instances.

https://cloud.google.com/compute/docs/access/service-accounts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import beginnings, refusals
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.store import Transaction

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud

_SCOPE_PREFIX = "https://www.googleapis.com/auth/"


def checked(
    cloud: Cloud, tx: Transaction, field: str, body: list[Document] | None
) -> list[Document]:
    """Return the accounts of an instance: none or one, `default` as its email.

    Raises:
        ApiError: 400 for more than one, or a scope that is no scope; 404 for an unknown account.
    """
    accounts = [account for account in body or () if account.get("email")]
    if len(accounts) > 1:
        raise refusals.invalid_value(
            field, "", "At most one service account can be attached to an instance."
        )
    return [_checked_one(cloud, tx, f"{field}[{at}]", each) for at, each in enumerate(accounts)]


def _checked_one(cloud: Cloud, tx: Transaction, field: str, body: Document) -> Document:
    email = body["email"]
    if email == "default":
        email = beginnings.default_account(cloud)
    name = f"{cloud.project}/serviceAccounts/{email}"
    if tx.get(name) is None:
        raise ApiError(
            404, "notFound", f"The resource '{name}' of type 'serviceAccount' was not found."
        )
    scopes = list(body.get("scopes") or ())
    for at, scope in enumerate(scopes):
        if not scope.startswith(_SCOPE_PREFIX):
            raise refusals.invalid_value(
                f"{field}.scopes[{at}]", scope, f"A scope starts with {_SCOPE_PREFIX}."
            )
    return {"email": email, "scopes": scopes}
