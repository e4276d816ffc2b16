# SPDX-License-Identifier: GPL-3.0-or-later
"""Service accounts attached to instances.

https://cloud.google.com/compute/docs/access/service-accounts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import beginnings, refusals
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.store import Transaction

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud

_SCOPE = re.compile(r"https://www\.googleapis\.com/auth/\S+")
"""Their form alone: https://developers.google.com/identity/protocols/oauth2/scopes is no list of
all that Compute Engine takes. Their short names (`cloud-platform`) are gcloud's own."""


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
    return [_checked_one(cloud, tx, each) for each in accounts]


def _checked_one(cloud: Cloud, tx: Transaction, body: Document) -> Document:
    """The words about scopes: https://github.com/GoogleCloudPlatform/cloud-build-local/pull/49."""
    email = body["email"]
    if email == "default":
        email = beginnings.default_account(cloud)
    name = f"{cloud.project}/serviceAccounts/{email}"
    if tx.get(name) is None:
        raise ApiError(
            404, "notFound", f"The resource '{name}' of type 'serviceAccount' was not found."
        )
    scopes = list(body.get("scopes") or ())
    if bad := [scope for scope in scopes if not _SCOPE.fullmatch(scope)]:
        raise refusals.bad_request(
            f"One or more of the service account scopes are invalid: '{bad[0]}'"
        )
    return {"email": email, "scopes": scopes}
