# SPDX-License-Identifier: GPL-3.0-or-later
"""Conditions of role bindings: CEL over attributes of the resource and of the request.

Known are `resource.name`, `resource.type`, `resource.service` and `request.time`, with the
operators and functions that IAM has for them; anything else is refused when a policy is set.
https://cloud.google.com/iam/docs/conditions-attribute-reference. The interpreter (cel-python, some
20 MB) is loaded with the first condition.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cloudspill_sandbox.engine.access import Requirement

if TYPE_CHECKING:
    import celpy
    import lark

MOST_OPERATORS = 12
"""https://cloud.google.com/iam/quotas"""

LONGEST = 8192
"""Characters. A limit of the sandbox, as the next: whoever sets a policy must not stop it."""

DEEPEST = 200
"""Levels of the syntax tree; a pair of parentheses takes ten. Far from where Python's stack ends,
so that what can be set can be asked, from wherever it is asked."""

_ATTRIBUTES = frozenset({"resource.name", "resource.type", "resource.service", "request.time"})
_FUNCTIONS = frozenset({"duration", "timestamp"})
_TIME_METHODS = frozenset(
    f"get{part}"
    for part in (
        "Date",
        "DayOfMonth",
        "DayOfWeek",
        "DayOfYear",
        "FullYear",
        "Hours",
        "Milliseconds",
        "Minutes",
        "Month",
        "Seconds",
    )
)
_METHODS = frozenset({"startsWith", "endsWith", "extract"}) | _TIME_METHODS
_LOGICAL = frozenset({"conditionalor", "conditionaland", "unary_not"})
_NOT_IN_IAM = frozenset({"member_index", "member_object", "map_lit", "dot_ident", "dot_ident_arg"})
_TEMPLATE = re.compile(r"([^{}]*)\{[A-Za-z_][A-Za-z0-9_]*\}([^{}]*)")
_SAMPLE = Requirement("", "projects/p", "cloudresourcemanager.googleapis.com/Project", "", ())


class ConditionError(ValueError):
    """An expression that is no condition; the message says why."""


@dataclass(frozen=True, slots=True)
class Condition:
    """An expression, ready to be asked."""

    expression: str
    _program: celpy.Runner

    def holds(self, requirement: Requirement, now: float) -> bool:
        """Whether it is true of a resource at a time (seconds since the epoch).

        What cannot be computed is not true.
        """
        try:
            return self._evaluate(requirement, now) is True
        except ConditionError:
            return False

    def _evaluate(self, requirement: Requirement, now: float) -> object:
        from celpy import celtypes
        from celpy.adapter import json_to_cel
        from celpy.evaluation import CELEvalError

        resource = json_to_cel(
            {
                "name": requirement.resource,
                "type": requirement.type,
                "service": requirement.service,
            }
        )
        moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
        time = celtypes.TimestampType(moment)
        request = celtypes.MapType({celtypes.StringType("time"): time})
        try:
            result = self._program.evaluate({"resource": resource, "request": request})
        except (CELEvalError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise ConditionError(_sentence(error)) from None
        return bool(result) if isinstance(result, celtypes.BoolType) else result


def parse(expression: str) -> Condition:
    """Return the condition that an expression is.

    Raises:
        ConditionError: it is none.
    """
    import celpy
    from celpy.celparser import CELParseError

    if len(expression) > LONGEST:
        raise ConditionError(f"the expression has more than {LONGEST} characters")
    environment = celpy.Environment()
    try:
        tree = environment.compile(expression)
        _check_depth(tree)
        _check(tree)
        condition = Condition(expression, environment.program(tree, {"extract": _extract}))
        if not isinstance(condition._evaluate(_SAMPLE, 0.0), bool):
            raise ConditionError("the expression must be of type bool")
    except CELParseError as error:
        raise ConditionError(f"{error.line}:{error.column}: syntax error") from None
    except RecursionError:
        raise _too_deep() from None
    return condition


def _check_depth(tree: lark.Tree[Any]) -> None:
    level = [tree]
    for _ in range(DEEPEST):
        level = [child for node in level for child in node.children if hasattr(child, "children")]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> ConditionError:
    return ConditionError("the expression is nested too deeply")


def _check(tree: lark.Tree[Any]) -> None:
    """Refuse what CEL has and conditions of IAM have not, and names that mean nothing."""
    operators = 0
    for node in tree.iter_subtrees():
        kind = str(node.data)
        if kind in _NOT_IN_IAM:
            raise ConditionError(f"unsupported expression: {kind.replace('_', ' ')}")
        operators += kind in _LOGICAL and len(node.children) > (kind != "unary_not")
        for name, known, what in _names(node):
            if name not in known:
                raise ConditionError(f"undeclared reference to '{name}' ({what})")
    if operators > MOST_OPERATORS:
        raise ConditionError(
            f"the expression has {operators} logical operators, at most {MOST_OPERATORS} are "
            "allowed"
        )


def _names(node: lark.Tree[Any]) -> Iterator[tuple[str, frozenset[str], str]]:
    """Yield the name that a node uses, with those that it may be."""
    kind = str(node.data)
    if kind == "ident_arg":
        yield str(node.children[0]), _FUNCTIONS, "function"
    elif kind == "member_dot_arg":
        yield str(node.children[1]), _METHODS, "method"
    elif kind == "member_dot":
        yield f"{_root(node.children[0])}.{node.children[1]}", _ATTRIBUTES, "attribute"
    elif kind == "ident":
        yield str(node.children[0]), frozenset({"resource", "request"}), "attribute"


def _root(node: lark.Tree[Any]) -> str:
    """Return the name of which an attribute is taken, "" for what is more than a name."""
    while len(node.children) == 1 and hasattr(node.children[0], "children"):
        node = node.children[0]
    return str(node.children[0]) if str(node.data) == "ident" else ""


def _extract(text: str, template: str) -> Any:
    """Return the part of a text that stands for the variable of a template, "" when none does.

    https://cloud.google.com/iam/docs/conditions-attribute-reference#extract
    """
    from celpy import celtypes

    match = _TEMPLATE.fullmatch(template)
    if match is None:
        raise ValueError(f"extract: '{template}' is not a text with one variable in braces")
    before, after = match.groups()
    start = text.find(before)
    if start < 0:
        return celtypes.StringType("")
    start += len(before)
    end = text.find(after, start) if after else len(text)
    return celtypes.StringType(text[start:end] if end >= 0 else "")


def _sentence(error: BaseException) -> str:
    """Return what went wrong, without the interpreter's own types."""
    first, *rest = error.args or (str(error),)
    if "no matching overload" in str(first) or "no such overload" in str(first):
        return "no matching overload for the types of an operator or function"
    cause = rest[1][0] if len(rest) > 1 and rest[1] else first
    return str(cause)
