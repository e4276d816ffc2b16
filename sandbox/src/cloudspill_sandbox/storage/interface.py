# SPDX-License-Identifier: GPL-3.0-or-later
"""What Cloud Storage needs of those who keep allow policies."""

from __future__ import annotations

from typing import Protocol

from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.store import Transaction


class AllowPolicies(Protocol):
    """The allow policies of all resources, by relative name (`projects/_/buckets/b`)."""

    def find(self, resource: str) -> Document | None:
        """Return the policy of a resource, None when it has none."""

    def read(self, resource: str, version: int = 0) -> Document:
        """Answer getIamPolicy in the version that a client knows; raises ApiError 400."""

    def write(
        self, resource: str, kind: str, policy: Document, *, transaction: Transaction
    ) -> Document:
        """Answer setIamPolicy for a type of resource; raises ApiError for a bad policy."""

    def put(self, transaction: Transaction, resource: str, granted: list[Document]) -> None:
        """Give a resource a policy of these bindings, unchecked."""

    def forget(self, transaction: Transaction, resource: str) -> None:
        """Remove the policy of a resource that goes."""
