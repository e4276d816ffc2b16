# SPDX-License-Identifier: GPL-3.0-or-later
"""Conditions of role bindings. https://cloud.google.com/iam/docs/conditions-attribute-reference"""

from __future__ import annotations

import subprocess
import sys

import pytest

from cloudspill_sandbox.engine.access import Requirement
from cloudspill_sandbox.identity.conditions import ConditionError, parse

NOON = 1_798_804_800.0  # 2027-01-01T12:00:00Z, a Friday
INSTANCES = "projects/p/zones/us-west1-b/instances"


def instance(name: str) -> Requirement:
    resource = f"{INSTANCES}/{name}"
    kind = "compute.googleapis.com/Instance"
    return Requirement("", resource, kind, "compute.googleapis.com", ())


@pytest.mark.parametrize(
    ("expression", "burst", "web"),
    [
        (f'resource.name.startsWith("{INSTANCES}/burst-")', True, False),
        (f"resource.name == '{INSTANCES}/web'", False, True),
        ("!resource.name.endsWith('web')", True, False),
        ('resource.name.extract("/instances/{name}").startsWith("burst-")', True, False),
        ('resource.name.extract("zones/{zone}/") == "us-west1-b"', True, True),
        ('resource.name.extract("/disks/{name}") == ""', True, True),
        ('resource.name.extract("{name}/instances") == "projects/p/zones/us-west1-b"', True, True),
        ('resource.type == "compute.googleapis.com/Instance" && 1 == 1', True, True),
        ('resource.type in ["a", "compute.googleapis.com/Instance"]', True, True),
        ('resource.service != "storage.googleapis.com" || false', True, True),
        ('request.time < timestamp("2027-01-01T12:00:00Z")', False, False),
        ('request.time <= timestamp("2027-01-01T12:00:00Z")', True, True),
        ('request.time - duration("24h") < timestamp("2027-01-01T00:00:00Z")', True, True),
        ('request.time.getHours("Europe/Berlin") == 13', True, True),
        ("request.time.getDayOfWeek() == 5 && request.time.getMonth() == 0", True, True),
    ],
)
def test_a_condition_holds_of_some_resources(expression: str, burst: bool, web: bool) -> None:
    condition = parse(expression)
    assert condition.holds(instance("burst-1"), NOON) is burst
    assert condition.holds(instance("web"), NOON) is web


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "1:1: syntax error"),
        ("resource.name <", "1:15: syntax error"),
        ("resource.name", "must be of type bool"),
        ("resource.nam == 'x'", "undeclared reference to 'resource.nam'"),
        ("true || name == 'x'", "undeclared reference to 'name'"),
        ("request.path == 'x'", "undeclared reference to 'request.path'"),
        ("destination.port == 22", "undeclared reference to 'destination"),
        ("resource.name.matches('a')", "undeclared reference to 'matches'"),
        ("resource.matchTag('a/b', 'c')", "undeclared reference to 'matchTag'"),
        ("['a'].all(x, x == 'a')", "undeclared reference to"),
        ("size(resource.name) > 3", "undeclared reference to 'size'"),
        ("resource['name'] == 'x'", "unsupported expression: member index"),
        ("resource.name == 3", "no matching overload"),
        ("resource.name.startsWith(3)", "no matching overload"),
        ("resource.name.extract('x') == ''", "one variable in braces"),
        ("request.time < timestamp('soon')", "soon"),
        (" || ".join(["true"] * 14), "13 logical operators, at most 12"),
        ("(" * 500 + "true" + ")" * 500, "nested too deeply"),
        ("(" * 30 + "true" + ")" * 30, "nested too deeply"),
        ("1" + "+1" * 300 + " == 301", "nested too deeply"),
        (f"resource.name == '{'x' * 10_000}'", "more than 8192 characters"),
    ],
)
def test_what_is_no_condition_is_refused(expression: str, message: str) -> None:
    with pytest.raises(ConditionError) as caught:
        parse(expression)
    assert message in str(caught.value)


def test_what_can_be_set_can_be_asked_from_deep_within_other_calls() -> None:
    def nested(levels: int) -> str:
        return "(" * levels + f"resource.name == '{INSTANCES}/web'" + ")" * levels

    def accepted(levels: int) -> bool:
        try:
            return parse(nested(levels)) is not None
        except ConditionError:
            return False

    def below(calls: int, expression: str) -> bool:
        if calls:
            return below(calls - 1, expression)
        return parse(expression).holds(instance("web"), NOON)

    assert below(300, nested(max(filter(accepted, range(60)))))


def test_the_interpreter_is_loaded_with_the_first_condition_only() -> None:
    """It takes 20 MB, and most projects have no condition."""
    program = """
import sys
from cloudspill_sandbox.identity import authorizer, conditions, iam, policies, resource_manager
assert "celpy" not in sys.modules
conditions.parse("true")
assert "celpy" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
