# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""One binding of an allow policy, changed under the policy's etag.

https://cloud.google.com/iam/docs/allow-policies: a policy is read, changed and written as a whole;
a write under an etag that is not the newest is a 409, and then all three are done again. A policy
with conditions is shown and kept as such only by those who ask for version 3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .api_errors import ApiError

Policy = dict[str, Any]

POLICY_VERSION = 3
_ATTEMPTS = 8
_CONDITION_FIELDS = ("title", "description", "expression")


@dataclass(frozen=True, slots=True)
class Binding:
    """Who has which role, and when.

    Attributes:
        role: `roles/compute.admin`, or the full name of a custom role.
        member: `serviceAccount:ADDRESS`, `user:ADDRESS` and the like.
        condition: title, expression and, maybe, description; None for always.
    """

    role: str
    member: str
    condition: dict[str, str] | None = None

    def is_where(self, entry: Policy) -> bool:
        """Whether an entry of a policy is of this role and this condition."""
        return entry.get("role") == self.role and _plain(entry.get("condition")) == _plain(
            self.condition
        )

    def is_in(self, policy: Policy) -> bool:
        """Whether a policy has it."""
        return any(
            self.is_where(entry) and self.member in entry.get("members", [])
            for entry in policy.get("bindings") or []
        )


def _plain(condition: dict[str, Any] | None) -> dict[str, str]:
    """A condition without what is empty, so that forms of the same one are equal."""
    given = condition or {}
    return {field: str(given[field]) for field in _CONDITION_FIELDS if given.get(field)}


def with_binding(policy: Policy, binding: Binding) -> Policy:
    """The policy with a binding added; everything else as it was."""
    entries = [dict(entry) for entry in policy.get("bindings") or []]
    existing = next((entry for entry in entries if binding.is_where(entry)), None)
    if existing is not None:
        existing["members"] = [*existing.get("members", []), binding.member]
    else:
        made: Policy = {"role": binding.role, "members": [binding.member]}
        if binding.condition:
            made["condition"] = _plain(binding.condition)
        entries.append(made)
    return {**policy, "bindings": entries, "version": POLICY_VERSION}


def without_binding(policy: Policy, binding: Binding) -> Policy:
    """The policy with a binding removed; everything else as it was."""
    entries = []
    for entry in policy.get("bindings") or []:
        members = entry.get("members", [])
        if binding.is_where(entry):
            members = [member for member in members if member != binding.member]
        if members:
            entries.append({**entry, "members": members})
    return {**policy, "bindings": entries, "version": POLICY_VERSION}


def revise_policy(
    read: Callable[[], Policy],
    write: Callable[[Policy], object],
    binding: Binding,
    *,
    wanted: bool,
    pauses: Callable[[int], None],
    dry_run: bool = False,
) -> bool:
    """Add a binding or remove it, whatever others change at the same moment.

    Args:
        read: returns the policy with its etag, in version 3.
        write: sets the policy; raises `ApiError` with 409 when the etag is stale.
        binding: the binding.
        wanted: whether the policy shall have it.
        pauses: waits after the given number of failed attempts.
        dry_run: read only.

    Returns:
        whether the policy was (or would be) changed.

    Raises:
        ApiError: others kept changing it, or it was refused.
    """
    change = with_binding if wanted else without_binding
    tried = 0
    while True:
        policy = read()
        if binding.is_in(policy) == wanted:
            return tried > 0  # a write whose answer was lost, and whose repetition was stale
        if dry_run:
            return True
        try:
            write(change(policy, binding))
        except ApiError as error:
            tried += 1
            if error.status not in (409, 412) or tried == _ATTEMPTS:
                raise
            pauses(tried)
        else:
            return True
