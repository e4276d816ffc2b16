# SPDX-License-Identifier: GPL-3.0-or-later
"""What a call needs permission for: asked by the services, answered by identity.

A service says what each call requires, and identity whether the caller has it by the policies that
apply. Neither knows the other: both know this file.
https://cloud.google.com/iam/docs/overview
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from cloudspill_sandbox.engine.call import Call, Principal
from cloudspill_sandbox.engine.errors import ApiError


@dataclass(frozen=True, slots=True)
class Requirement:
    """One permission on one resource.

    Attributes:
        permission: `compute.instances.create`.
        resource: relative name, as conditions (`resource.name`) and refusals have it:
            `projects/p/zones/z/instances/i`, `projects/_/buckets/b/objects/o`.
        type: `compute.googleapis.com/Instance`
            (https://cloud.google.com/iam/docs/conditions-resource-attributes#resource-type).
        service: `compute.googleapis.com`.
        policies: resources whose allow policies apply, nearest first: `projects/_/buckets/b`,
            then `projects/p`. Project ids, never numbers.
        granted: whether something other than a policy grants it already: an access control list
            of Cloud Storage, a public project.
        public: whether bindings of allUsers and allAuthenticatedUsers count; not in a bucket that
            prevents public access.
    """

    permission: str
    resource: str
    type: str
    service: str
    policies: tuple[str, ...]
    granted: bool = False
    public: bool = True


Requirements = Callable[[Call], Sequence[Requirement]]
"""Returns what a call needs, all of it; raises ApiError where Google tells a stranger more than
that it is refused (a project that does not exist)."""

Denial = Callable[[Principal, Sequence[Requirement]], ApiError]
"""Words a refusal, given what is missing (at least one)."""


class Permissions(Protocol):
    """Answers whether somebody may do something."""

    def permits(self, principal: Principal, requirement: Requirement) -> bool:
        """Whether the policies let a principal (anonymous: email "") do this."""


def denied(principal: Principal, missing: Sequence[Requirement]) -> ApiError:  # noqa: ARG001
    """403 in the words of newer APIs; https://cloud.google.com/iam/docs/permission-error-messages."""
    first = missing[0]
    full = f"//{first.service}/{first.resource}"
    return ApiError(
        403,
        "forbidden",
        f"Permission '{first.permission}' denied on resource '{full}' (or it may not exist).",
        code="PERMISSION_DENIED",
        details=[
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "IAM_PERMISSION_DENIED",
                "domain": first.service,
                "metadata": {"permission": first.permission, "resource": first.resource},
            }
        ],
    )


@dataclass(frozen=True, slots=True)
class AccessRules:
    """What an API asks of its callers.

    Attributes:
        requirements: what a call needs; an empty sequence lets anyone in.
        denied: words the refusal.
    """

    requirements: Requirements
    denied: Denial = denied
