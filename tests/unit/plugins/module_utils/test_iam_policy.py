# SPDX-License-Identifier: GPL-3.0-or-later
"""A policy with one binding more or less is otherwise what it was."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cloudspill.gcp.plugins.module_utils.api_errors import (
    ApiError,
    error_from_response,
)
from ansible_collections.cloudspill.gcp.plugins.module_utils.iam_policy import (
    Binding,
    Policy,
    revise_policy,
    with_binding,
    without_binding,
)
from hypothesis import assume, given
from hypothesis import strategies as st

CONDITIONS: list[dict[str, str] | None] = [
    None,
    {"title": "a", "expression": "x == 1"},
    {"title": "a", "expression": "x == 2", "description": "b"},
]
members = st.sampled_from([f"user:{name}@example.com" for name in "abc"])
roles = st.sampled_from(["roles/viewer", "roles/editor"])
bindings = st.builds(Binding, roles, members, st.sampled_from(CONDITIONS))


def held(policy: Policy) -> set[tuple[str, str, str]]:
    """All of a policy's bindings, one a member."""
    return {
        (entry["role"], member, str(sorted((entry.get("condition") or {}).items())))
        for entry in policy["bindings"]
        for member in entry["members"]
    }


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Policies as Google returns them: no entry twice, none empty."""
    policy: Policy = {"etag": "BwX=", "auditConfigs": [{"service": "allServices"}], "bindings": []}
    for binding in draw(st.lists(bindings, max_size=6)):
        if not binding.is_in(policy):
            policy = with_binding(policy, binding)
    return policy


@given(policies(), bindings)
def test_one_binding_more_and_nothing_else(policy: Policy, binding: Binding) -> None:
    assume(not binding.is_in(policy))
    before = held(policy)
    after = with_binding(policy, binding)
    assert binding.is_in(after)
    assert held(after) > before
    assert len(held(after)) == len(before) + 1
    assert held(policy) == before, "the policy that was read is not touched"
    assert (after["etag"], after["auditConfigs"]) == (policy["etag"], policy["auditConfigs"])


@given(policies(), bindings)
def test_one_binding_less_and_nothing_else(policy: Policy, binding: Binding) -> None:
    before = held(policy)
    after = without_binding(policy, binding)
    assert not binding.is_in(after)
    assert len(held(after)) == len(before) - binding.is_in(policy)
    assert held(after) <= before
    assert all(entry["members"] for entry in after["bindings"]), "Google refuses empty entries"


def test_a_policy_with_conditions_is_written_in_the_version_that_keeps_them() -> None:
    binding = Binding("roles/viewer", "user:a@example.com")
    assert with_binding({"version": 1}, binding)["version"] == 3
    assert without_binding({"version": 1}, binding)["version"] == 3


class Shared:
    """A policy that somebody else changes before each of the first writes."""

    def __init__(self, changes: int) -> None:
        self.policy: Policy = {"etag": "0", "bindings": []}
        self.changes = changes
        self.pauses: list[int] = []

    def read(self) -> Policy:
        return dict(self.policy)

    def write(self, policy: Policy) -> Any:
        if self.changes:
            self.changes -= 1
            other = Binding("roles/viewer", f"user:{self.changes}@example.com")
            etag = str(int(self.policy["etag"]) + 1)
            self.policy = with_binding(self.policy, other) | {"etag": etag}
        if policy["etag"] != self.policy["etag"]:
            error = {"status": "ABORTED", "message": "There were concurrent policy changes."}
            raise error_from_response(409, {"error": error}, "the policy")
        self.policy = policy

    def revise(self, *, dry_run: bool = False) -> bool:
        """Add a binding of ours."""
        binding = Binding("roles/editor", "user:ours@example.com")
        pause = self.pauses.append
        return revise_policy(
            self.read, self.write, binding, wanted=True, pauses=pause, dry_run=dry_run
        )


def test_what_others_change_meanwhile_is_kept() -> None:
    shared = Shared(changes=3)
    assert shared.revise()
    assert {member for _, member, _ in held(shared.policy)} == {
        f"user:{name}@example.com" for name in ("0", "1", "2", "ours")
    }
    assert shared.pauses == [1, 2, 3]


def test_it_gives_up_where_others_never_stop() -> None:
    shared = Shared(changes=100)
    with pytest.raises(ApiError, match="concurrent policy changes"):
        shared.revise()
    assert shared.changes == 92


def test_a_dry_run_writes_nothing() -> None:
    shared = Shared(changes=0)
    assert shared.revise(dry_run=True)
    assert shared.policy["bindings"] == []
