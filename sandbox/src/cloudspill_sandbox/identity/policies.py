# SPDX-License-Identifier: GPL-3.0-or-later
"""Allow policies: who has which roles on a resource, as documents.

The policy of `projects/p` is the document `projects/p/iamPolicies/allow`; so it is of every
resource that has one: project, service account, bucket. https://cloud.google.com/iam/docs/policies
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Iterator

from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.store import Store, Transaction
from cloudspill_sandbox.identity import bindings
from cloudspill_sandbox.identity.predefined_roles import PROJECT
from cloudspill_sandbox.identity.refusals import invalid, refused
from cloudspill_sandbox.identity.roles import Roles

_BELOW = "/iamPolicies"
_NO_POLICY: Document = {"etag": "ACAB"}
VERSIONS = (0, 1, 3)


class Policies:
    """The policies of all resources.

    Args:
        account_exists: whether a service account with an address exists.
    """

    def __init__(self, store: Store, roles: Roles, account_exists: Callable[[str], bool]) -> None:
        self._store = store
        self._checks = bindings.Checks(roles, account_exists)

    def find(self, resource: str) -> Document | None:
        """Return the stored policy of a resource (relative name), None when none was ever set."""
        return self._store.get(_name(resource))

    def read(self, resource: str, version: int = 0) -> Document:
        """Answer getIamPolicy.

        Args:
            version: `requestedPolicyVersion`. Below 3, conditional bindings come without their
                conditions, under a name that grants nothing
                (https://cloud.google.com/iam/docs/troubleshooting-withcond).

        Raises:
            ApiError: 400 for a version that there is none of.
        """
        _check_version(version)
        policy = self.find(resource)
        if policy is None:
            return _NO_POLICY
        return policy if version == 3 else policy | bindings.unconditional(policy)

    def write(
        self,
        resource: str,
        kind: str,
        policy: Document,
        *,
        mask: str | None = None,
        transaction: Transaction | None = None,
    ) -> Document:
        """Answer setIamPolicy: check a policy and put it in the place of the old one.

        Args:
            kind: type of the resource, `cloudresourcemanager.googleapis.com/Project`.
            mask: `updateMask`; without it bindings and etag count, as on Google Cloud.
            transaction: written in it if given, else in one of its own.

        Returns:
            The policy as it now is.

        Raises:
            ApiError: 409 for an etag that is not the current one; 400 for what Google refuses.
        """
        _check_version(policy.get("version", 0))
        current = self.find(resource) or _NO_POLICY
        _check_etag(policy.get("etag"), current["etag"])
        bindings.check_version(policy, current)
        fields = set((mask or "bindings,etag").replace(" ", "").split(","))
        new = {**current, "etag": _new_etag()}
        if "bindings" in fields:
            new["bindings"] = self._checks.checked(kind, policy.get("bindings") or [])
        if kind == PROJECT:
            bindings.check_owner(new, current)
        if "auditConfigs" in fields:
            new["auditConfigs"] = policy.get("auditConfigs") or []
        written = self._complete(new)
        name = _name(resource)
        if transaction is None:
            self._store.put(name, written)
        else:
            transaction.put(name, written)
        return written

    def put(self, transaction: Transaction, resource: str, granted: list[Document]) -> None:
        """Give a resource these bindings, unchecked: those that a new one has."""
        new = {"etag": _new_etag(), "bindings": bindings.canonical(granted)}
        transaction.put(_name(resource), self._complete((self.find(resource) or {}) | new))

    def forget(self, transaction: Transaction, resource: str) -> None:
        """Remove the policy of a resource that goes."""
        transaction.delete(_name(resource))

    def rename(self, transaction: Transaction, old: str, new: str) -> None:
        """Write one member in the place of another wherever it is bound.

        For an account that is deleted (`deleted:serviceAccount:EMAIL?uid=ID`), or undeleted:
        https://cloud.google.com/iam/docs/policies#handle-deleted-members.
        """
        for name, policy in self._all():
            if (replaced := bindings.renamed(policy.get("bindings", ()), old, new)) is not None:
                written = policy | {"etag": _new_etag(), "bindings": replaced}
                transaction.put(_name(name), written)

    def move(self, transaction: Transaction, old: str, new: str) -> None:
        """Give the policy of a resource, if it has one, to the resource's new name."""
        policy = transaction.get(_name(old))
        if policy is not None:
            transaction.delete(_name(old))
            transaction.put(_name(new), policy)

    def _all(self) -> Iterator[tuple[str, Document]]:
        for collection, policies in self._store.collections("projects", _BELOW[1:]):
            for policy in policies.values():
                yield collection.removesuffix(_BELOW), policy

    def _complete(self, policy: Document) -> Document:
        conditional = any("condition" in each for each in policy.get("bindings", ()))
        given = {key: value for key, value in policy.items() if value}
        return given | {"version": 3 if conditional else 1}


def _name(resource: str) -> str:
    return f"{resource}{_BELOW}/allow"


def _new_etag() -> str:
    return base64.b64encode(b"\x07" + secrets.token_bytes(7)).decode()


def _check_version(version: int) -> None:
    if version not in VERSIONS:
        raise invalid(f"Invalid policy version {version}: valid versions are 0, 1 and 3.")


def _check_etag(sent: str | None, current: str) -> None:
    """Refuse what was read before somebody else wrote; without an etag nothing is compared."""
    if not sent or _bytes(sent) == _bytes(current):
        return
    raise refused(
        "ABORTED",
        "There were concurrent policy changes. Please retry the whole read-modify-write with "
        f"exponential backoff. The request's ETag '{_octal(sent)}' did not match the current "
        f"policy's ETag '{_octal(current)}'.",
    )


def _bytes(etag: str) -> bytes:
    """Return what an etag encodes; clients send it back as base64 or base64url."""
    text = etag.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return etag.encode()


def _octal(etag: str) -> str:
    """Return an etag as Google's sentence quotes it: bytes, the unprintable ones in octal."""
    return "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b"'\\" else f"\\{byte:03o}"
        for byte in _bytes(etag)
    )
