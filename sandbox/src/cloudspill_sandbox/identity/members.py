# SPDX-License-Identifier: GPL-3.0-or-later
"""Members of role bindings: how they are written, and whom they mean.

https://cloud.google.com/iam/docs/principal-identifiers
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cloudspill_sandbox.engine.call import Principal

SERVICE_ACCOUNT = "serviceAccount"
EVERYONE = "allUsers"
AUTHENTICATED = "allAuthenticatedUsers"
PUBLIC = frozenset({EVERYONE, AUTHENTICATED})
PUBLIC = frozenset({EVERYONE, AUTHENTICATED})
CONVENIENCE = {
    "projectOwner": "roles/owner",
    "projectEditor": "roles/editor",
    "projectViewer": "roles/viewer",
}
"""Whoever has a basic role in a project, in policies of buckets:
https://cloud.google.com/storage/docs/access-control/iam#convenience-values"""

_KINDS = frozenset({SERVICE_ACCOUNT, "user", "group", "domain", *CONVENIENCE})
_EMAIL = re.compile(r"[^@\s:]+@[^@\s:]+\.[^@\s:]+")
_DOMAIN = re.compile(r"[^@\s:/]+\.[^@\s:/]+")
_DELETED = re.compile(r"deleted:(?:serviceAccount|user|group):[^?\s]+\?uid=\d+")


@dataclass(frozen=True, slots=True)
class Member:
    """A member, taken apart.

    Attributes:
        kind: `serviceAccount`, `user`, `group`, `domain`, `allUsers`, `allAuthenticatedUsers`,
            `projectOwner` and its kin, or `deleted`.
        value: what follows the colon; empty for the two that mean many.
    """

    kind: str
    value: str = ""

    @classmethod
    def parse(cls, text: str) -> Member | None:
        """Return the member that a text names, None when it has no form that Google knows."""
        if text in PUBLIC:
            return cls(text)
        if _DELETED.fullmatch(text):
            return cls("deleted", text.partition(":")[2])
        kind, _, value = text.partition(":")
        if kind not in _KINDS or not value:
            return None
        if kind in CONVENIENCE:
            return cls(kind, value)
        form = _DOMAIN if kind == "domain" else _EMAIL
        return cls(kind, value.lower()) if form.fullmatch(value) else None

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}" if self.value else self.kind


def direct_members(principal: Principal) -> frozenset[str]:
    """Return the members, as texts, that mean a principal whatever the project.

    Groups and domains are in nobody's: the sandbox has no directory of them.
    """
    if not principal.email:
        return frozenset({EVERYONE})
    service_account = principal.email.endswith(".gserviceaccount.com")
    kind = SERVICE_ACCOUNT if service_account else "user"
    return frozenset({EVERYONE, AUTHENTICATED, f"{kind}:{principal.email}"})
