# SPDX-License-Identifier: GPL-3.0-or-later
"""Role bindings of a policy: what Google refuses of them, and the form in which it keeps them.

https://cloud.google.com/iam/docs/reference/rest/v1/Policy, limits:
https://cloud.google.com/iam/quotas.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.identity import conditions
from cloudspill_sandbox.identity.members import CONVENIENCE, PUBLIC, SERVICE_ACCOUNT, Member
from cloudspill_sandbox.identity.predefined_roles import BUCKET, PROJECT
from cloudspill_sandbox.identity.refusals import invalid, refused
from cloudspill_sandbox.identity.roles import BASIC, Roles

MOST_MEMBERS = 1500
MOST_GROUPS = 250
_GOOGLES_OWN = (
    "@cloudservices.gserviceaccount.com",
    "@cloudbuild.gserviceaccount.com",
    "@containerregistry.iam.gserviceaccount.com",
)


class Checks:
    """Checks the bindings that a client sends.

    Args:
        account_exists: whether a service account with an address exists.
    """

    def __init__(self, roles: Roles, account_exists: Callable[[str], bool]) -> None:
        self._roles = roles
        self._account_exists = account_exists

    def checked(self, kind: str, sent: Sequence[Document]) -> list[Document]:
        """Return bindings in the form in which they are kept.

        Args:
            kind: type of the resource, which decides what roles and members it may have.

        Raises:
            ApiError: 400.
        """
        kept = canonical([self._checked_one(kind, binding) for binding in sent])
        _check_sizes(kept)
        return kept

    def _checked_one(self, kind: str, binding: Document) -> Document:
        role = binding.get("role") or ""
        self._check_role(kind, role)
        checked: Document = {
            "role": role,
            "members": [self._member(kind, text) for text in binding.get("members") or ()],
        }
        if condition := binding.get("condition"):
            checked["condition"] = _checked_condition(role, condition, checked["members"])
        return checked

    def _check_role(self, kind: str, name: str) -> None:
        role = self._roles.find(name)
        if role is None and name.startswith(("projects/", "organizations/")):
            raise invalid(f"Role ({name}) does not exist in the resource's hierarchy.")
        if role is None or kind not in role.resources:
            raise invalid(f"Role {name} is not supported for this resource.")

    def _member(self, kind: str, text: str) -> str:
        member = Member.parse(text)
        if member is None:
            raise invalid(
                f"The member {text} is of an unknown type. Please set a valid type prefix for the "
                "member."
            )
        if kind != BUCKET and member.kind in CONVENIENCE:
            raise invalid(f"The member {text} is supported for Cloud Storage buckets only.")
        if kind == PROJECT and member.kind in PUBLIC:
            raise invalid(f"Members of type {text} are not supported for projects.")
        if member.kind == SERVICE_ACCOUNT and not self._exists(member.value):
            raise invalid(f"Service account {member.value} does not exist.")
        return str(member)

    def _exists(self, email: str) -> bool:
        """Google's own agents are taken at their word: the sandbox has none of them."""
        agent = email.startswith("service-") or email.endswith(_GOOGLES_OWN)
        return agent or self._account_exists(email)


def canonical(bindings: Iterable[Document]) -> list[Document]:
    """Return bindings with each role and condition once, its members once and in order."""
    merged: dict[tuple[str, str], Document] = {}
    for binding in bindings:
        key = (binding["role"], str(binding.get("condition", "")))
        known = merged.setdefault(key, {**binding, "members": []})
        known["members"] = sorted({*known["members"], *binding["members"]})
    return [merged[key] for key in sorted(merged) if merged[key]["members"]]


def renamed(bindings: Sequence[Document], old: str, new: str) -> list[Document] | None:
    """Return bindings with one member in the place of another, None when it has none."""
    if all(old not in binding["members"] for binding in bindings):
        return None
    return canonical(
        binding | {"members": [new if member == old else member for member in binding["members"]]}
        for binding in bindings
    )


def unconditional(policy: Document) -> Document:
    """Return bindings and version of a policy as versions below 3 show them.

    https://cloud.google.com/iam/docs/troubleshooting-withcond
    """
    shown = [
        {"role": _with_condition(binding), "members": binding["members"]}
        for binding in policy.get("bindings", ())
    ]
    return {"version": 1} | ({"bindings": shown} if shown else {})


def _with_condition(binding: Document) -> str:
    if "condition" not in binding:
        return str(binding["role"])
    digest = hashlib.sha256(str(binding["condition"]).encode()).hexdigest()[:20]
    return f"{binding['role']}_withcond_{digest}"


def check_version(policy: Document, current: Document) -> None:
    """Refuse conditions, or the loss of such, by who does not know of them.

    Without an etag they may be overwritten: https://cloud.google.com/iam/docs/policies#versions.

    Raises:
        ApiError: 400.
    """
    if policy.get("version") == 3:
        return
    if any("condition" in each for each in policy.get("bindings") or ()):
        raise invalid("Policies with conditional role bindings must specify version 3.")
    if current.get("version") == 3 and policy.get("etag"):
        raise invalid(
            "The current policy has conditional role bindings: read it with "
            "requestedPolicyVersion 3, and specify version 3 in the new one."
        )


def check_owner(policy: Document, current: Document) -> None:
    """Refuse to leave a project without an owner: nobody could ever change its policy again.

    Google Cloud does so for projects outside of organizations:
    https://cloud.google.com/resource-manager/reference/rest/v1/projects/setIamPolicy.

    Raises:
        ApiError: 400.
    """
    if _has_owner(current) and not _has_owner(policy):
        raise refused(
            "INVALID_ARGUMENT",
            "The project must keep at least one user or service account as its owner "
            "(roles/owner).",
            {
                "@type": "type.googleapis.com/google.cloudresourcemanager.v1.ProjectIamPolicyError",
                "type": "SOLO_REQUIRE_TOS_ACCEPTOR",
                "role": "roles/owner",
            },
        )


def _has_owner(policy: Document) -> bool:
    """Whether a user or a service account is an owner; one that was deleted is none."""
    return any(
        member.startswith(("user:", "serviceAccount:"))
        for binding in policy.get("bindings", ())
        if binding["role"] == "roles/owner"
        for member in binding["members"]
    )


def _check_sizes(bindings: Sequence[Document]) -> None:
    members = [member for binding in bindings for member in binding["members"]]
    if len(members) > MOST_MEMBERS:
        raise invalid(
            f"The number of members in the policy ({len(members):,}) is larger than the maximum "
            f"allowed size {MOST_MEMBERS:,}."
        )
    groups = {member for member in members if member.startswith(("group:", "domain:"))}
    if len(groups) > MOST_GROUPS:
        raise invalid(
            f"The number of groups and domains in the policy ({len(groups)}) is larger than the "
            f"maximum allowed size {MOST_GROUPS}."
        )


def _checked_condition(role: str, condition: Document, members: Sequence[str]) -> Document:
    title, expression = condition.get("title"), condition.get("expression")
    if not title or not expression:
        raise invalid("A condition must have a title and an expression.")
    if role in BASIC:
        raise invalid(f"Conditions can't be set on basic roles; {role} is one.")
    if PUBLIC.intersection(members):
        raise invalid("Conditions can't be set for allUsers and allAuthenticatedUsers.")
    try:
        conditions.parse(expression)
    except conditions.ConditionError as error:
        raise invalid(f"Condition expression compilation failed: {error}") from None
    return {
        key: condition[key] for key in ("title", "description", "expression") if condition.get(key)
    }
