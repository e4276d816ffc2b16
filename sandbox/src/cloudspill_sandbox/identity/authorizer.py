# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a principal may do what a call asks: by the allow policies of what it touches.

A policy is inherited by what lies below, so a permission holds when any of the policies that apply
grants it: https://cloud.google.com/iam/docs/resource-hierarchy-access-control.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from cloudspill_sandbox.engine.access import AccessRules, Requirement
from cloudspill_sandbox.engine.call import Call, Document, Principal
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.identity import conditions
from cloudspill_sandbox.identity.conditions import Condition
from cloudspill_sandbox.identity.members import CONVENIENCE, PUBLIC, direct_members
from cloudspill_sandbox.identity.policies import Policies
from cloudspill_sandbox.identity.roles import Role, Roles

_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class _Grants:
    """What one policy gives to one principal.

    Attributes:
        policies: the documents that this was read from, by resource; None for no policy.
        roles: those that count, as they were defined then.
        always: permissions without a condition.
        sometimes: permissions by condition.
    """

    policies: tuple[tuple[str, Document | None], ...]
    roles: tuple[Role, ...]
    always: frozenset[str]
    sometimes: tuple[tuple[frozenset[str], Condition], ...]


class PolicyAuthorizer:
    """Answers by policies and roles; implements `front.interface.Authorizer` and `Permissions`.

    Args:
        clock: seconds since the epoch, for conditions on `request.time`.
        rules: what each API asks of its callers, by the name that its methods begin with.
    """

    def __init__(
        self,
        policies: Policies,
        roles: Roles,
        clock: Callable[[], float],
        rules: Mapping[str, AccessRules],
    ) -> None:
        self._policies = policies
        self._roles = roles
        self._clock = clock
        self._rules = rules
        self._grants: dict[tuple[str, str, bool], _Grants] = {}

    def authorize(self, call: Call) -> None:
        """Return when allowed.

        Raises:
            ApiError: as the API words it, 403 in general.
        """
        rules = self._rules[call.method.partition(".")[0]]
        missing = [
            requirement
            for requirement in rules.requirements(call)
            if not self.permits(call.principal, requirement)
        ]
        if missing:
            raise rules.denied(call.principal, missing)

    def denial(self, call: Call) -> ApiError:
        """Return the refusal of a call as if its caller lacked what it first of all needs."""
        rules = self._rules[call.method.partition(".")[0]]
        required = rules.requirements(call)
        if not required:
            return ApiError(403, "forbidden", f"Permission to call '{call.method}' denied.")
        return rules.denied(call.principal, required[:1])

    def permits(self, principal: Principal, requirement: Requirement) -> bool:
        """Whether the policies let a principal (anonymous: email "") do this."""
        if requirement.granted:
            return True
        granted = [
            self._granted(principal, resource, requirement.public)
            for resource in requirement.policies
        ]
        permission = requirement.permission
        return any(permission in each.always for each in granted) or any(
            permission in permissions and condition.holds(requirement, self._clock())
            for each in granted
            for permissions, condition in each.sometimes
        )

    def held(
        self, principal: Principal, permissions: Iterable[str], requirement: Requirement
    ) -> list[str]:
        """Return those of the permissions that a principal has on a resource.

        Args:
            requirement: the resource; its permission does not matter.
        """
        return [
            permission
            for permission in permissions
            if self.permits(principal, replace(requirement, permission=permission))
        ]

    def _granted(self, principal: Principal, resource: str, public: bool) -> _Grants:
        """Return what a policy gives, remembered while nothing that it was read from changed."""
        key = (principal.email, resource, public)
        known = self._grants.get(key)
        if known is None or not self._holds_still(known):
            if len(self._grants) >= _REMEMBERED:
                self._grants.clear()
            known = self._grants[key] = self._read(principal, resource, public)
        return known

    def _holds_still(self, known: _Grants) -> bool:
        return all(
            self._policies.find(resource) is policy for resource, policy in known.policies
        ) and all(self._roles.find(role.name) is role for role in known.roles)

    def _read(self, principal: Principal, resource: str, public: bool) -> _Grants:
        policy = self._policies.find(resource)
        read = {resource: policy}
        own = direct_members(principal) - (frozenset() if public else PUBLIC)
        roles: list[Role] = []
        always: set[str] = set()
        sometimes: list[tuple[frozenset[str], Condition]] = []
        for binding in (policy or {}).get("bindings", ()):
            role = self._roles.find(binding["role"])
            if role is None or not self._is_member(own, binding["members"], read):
                continue
            roles.append(role)
            if "condition" in binding:
                condition = conditions.parse(binding["condition"]["expression"])
                sometimes.append((role.permissions, condition))
            else:
                always |= role.permissions
        return _Grants(tuple(read.items()), tuple(roles), frozenset(always), tuple(sometimes))

    def _is_member(
        self, own: frozenset[str], members: Sequence[str], read: dict[str, Document | None]
    ) -> bool:
        """Whether a binding means a principal, by name or by its basic role in a project.

        Args:
            read: every policy that is read for the answer is added.
        """
        if not own.isdisjoint(members):
            return True
        for text in members:
            kind, _, project = text.partition(":")
            if kind in CONVENIENCE:
                name = f"projects/{project}"
                policy = read.setdefault(name, self._policies.find(name)) or {}
                for binding in policy.get("bindings", ()):
                    if binding["role"] == CONVENIENCE[kind] and not own.isdisjoint(
                        binding["members"]
                    ):
                        return True
        return False
