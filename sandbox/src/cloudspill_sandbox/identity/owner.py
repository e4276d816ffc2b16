# SPDX-License-Identifier: GPL-3.0-or-later
"""The account that `up` hands to clients on the host."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.identity.account_keys import LIMIT, KeyFile
from cloudspill_sandbox.identity.accounts import ServiceAccounts
from cloudspill_sandbox.identity.policies import Policies

ACCOUNT_ID = "cloudspill-owner"


def owner_email(project: str) -> str:
    """Return the address of the owner account of a project, by the project's id."""
    return f"{ACCOUNT_ID}@{project}.iam.gserviceaccount.com"


def ensure_owned(store: Store, accounts: ServiceAccounts, policies: Policies, project: str) -> None:
    """Let the owner account own its project when it is about to be made again.

    One that was deleted took its roles along, and nobody else could give them back.
    """
    email, name = owner_email(project), f"projects/{project}"
    if accounts.find(email) is None:
        binding = {"role": "roles/owner", "members": [f"serviceAccount:{email}"]}
        bindings = (policies.find(name) or {}).get("bindings", [])
        with store.transaction() as transaction:
            policies.put(transaction, name, [*bindings, binding])


def ensure_owner(
    accounts: ServiceAccounts, project: str, key_file: Path, owner: tuple[int, int] | None = None
) -> Document:
    """Make the owner account and its key file where they are missing; return the account.

    A key file whose key still holds stays as it is, so clients survive a restart. Whoever disabled
    the account, or used up its keys and lost them, is let in again: the oldest key makes room.

    Args:
        key_file: written with mode 0600.
        owner: (uid, gid) that may read it, for a sandbox started by sudo; None for us.
    """
    email = owner_email(project)
    account = accounts.find(email) or accounts.create(
        project, ACCOUNT_ID, display_name="Owner of the sandbox"
    )
    if account.get("disabled"):
        account = accounts.set_disabled(account, False)
    if not accounts.keys.usable(email, _key_id(key_file)):
        if len(keys := accounts.keys.of(email)) >= LIMIT:
            accounts.keys.delete(email, next(iter(keys)))
        _write(key_file, accounts.keys.create(email))
    if owner is not None:
        os.chown(key_file, *owner)
    return account


def _key_id(key_file: Path) -> str:
    try:
        content = json.loads(key_file.read_bytes())
    except (OSError, ValueError):
        return ""
    return str(content.get("private_key_id", "")) if isinstance(content, dict) else ""


def _write(key_file: Path, content: KeyFile) -> None:
    key_file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, scratch = tempfile.mkstemp(dir=key_file.parent)  # mode 0600
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file, indent=2)
    Path(scratch).replace(key_file)
