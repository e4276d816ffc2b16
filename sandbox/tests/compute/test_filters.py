# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter language does what Google documents; random expressions against a naive evaluator."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudspill_sandbox.compute.filters import compile_filter
from cloudspill_sandbox.engine.discovery import Api
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.shapes import Shape


@pytest.fixture(scope="session")
def instance(compute: Api) -> Shape:
    """What an instance is, by the discovery document."""
    return Shape(compute.schemas["Instance"], compute.schemas)


WEB: dict[str, Any] = {
    "name": "web-1",
    "id": "4000",
    "status": "RUNNING",
    "creationTimestamp": "2026-01-02T03:04:05.000-08:00",
    "machineType": "https://www.googleapis.com/compute/v1/projects/p/zones/z/machineTypes/f1-micro",
    "zone": "https://www.googleapis.com/compute/v1/projects/p/zones/us-west1-b",
    "labels": {"env": "prod", "cloudspill-run": "default", "dotted.key": "x"},
    "tags": {"items": ["allow-5000", "web"], "fingerprint": "QQ=="},
    "scheduling": {"automaticRestart": True, "preemptible": False},
    "disks": [{"boot": True, "diskSizeGb": "10"}, {"boot": False, "diskSizeGb": "200"}],
    "networkInterfaces": [{"networkIP": "10.138.0.2"}],
    "description": 'it\'s "quoted"',
}


@pytest.mark.parametrize(
    "expression",
    [
        "name=web-1",
        "name = web-1",
        'name = "web-1"',
        "name='web-1'",
        "name != web-2",
        "name = web-*",
        "name = *",
        "name : WEB",
        "name:web*",
        "-name=other",
        "-(name=other)",
        "status = RUNNING -(name=other OR name=third)",
        "NOT name=other",
        "NOT (name=other OR status=TERMINATED)",
        "status = RUNNING name = web-1",
        "status = RUNNING AND name = web-1",
        "(status = RUNNING) (name != other)",
        "(status = TERMINATED) OR (name = web-1)",
        # OR binds tighter than AND: the whole is (A OR B) AND C
        "name = web-1 OR name = x AND status = RUNNING",
        "labels.env = prod",
        "labels.env:*",
        "labels.env:prod",
        "labels.cloudspill-run = default",
        "labels.dotted.key = x",
        "labels:env",
        "NOT labels.owner:*",
        "labels.owner != me",
        "tags.fingerprint:*",
        "scheduling.automaticRestart = true",
        "scheduling.preemptible = False",
        "id >= 4000",
        "id = 4000",
        "machineType = f1-micro",
        "machineType:f1-micro",
        "zone : us-west1-*",
        'zone = "https://www.googleapis.com/compute/v1/projects/p/zones/us-west1-b"',
        'creationTimestamp > "2026-01-01T00:00:00+00:00"',
        'creationTimestamp <= "2026-01-02T11:04:05Z"',
        'description = "it\'s \\"quoted\\""',
        "name eq web-1",
        "name eq 'web-.*'",
        'name eq "(web|db)-[0-9]"',
        "name ne .*instance",
        "labels.env eq pro.",
        "(name eq web-1) (status ne TERMINATED)",
        "scheduling.automaticRestart eq true",
    ],
)
def test_holds(instance: Shape, expression: str) -> None:
    assert compile_filter(expression, instance)(WEB)


@pytest.mark.parametrize(
    "expression",
    [
        "name = web",
        "name = WEB-1",
        "name != web-1",
        "name:db",
        "status = RUNNING name = x",
        "status = TERMINATED AND (name = web-1 OR name = x)",
        "name = web-1 OR name = x AND status = TERMINATED",
        "labels.env = dev",
        "labels.owner = me",
        "labels.owner:*",
        "scheduling.automaticRestart = false",
        "id > 4000",
        "name eq web",
        "name eq eb-1",
        "name ne web-1",
        "(name eq web-1) (status eq TERMINATED)",
        "machineType = micro",
        'creationTimestamp > "2026-01-02T11:04:05Z"',
    ],
)
def test_does_not_hold(instance: Shape, expression: str) -> None:
    assert not compile_filter(expression, instance)(WEB)


@pytest.mark.parametrize(
    "expression",
    [
        "name",
        "name =",
        "= x",
        "name = = x",
        "(name = x",
        "name = x)",
        "name = x AND",
        "OR name = x",
        "NOT",
        "name = 'x",
        "name ! x",
        "()",
        "name eq (",
        "-",
        "-)",
        "(name eq x) (status = y)",
        "name = " + "x" * 3000,
        "(" * 60 + "name = x" + ")" * 60,
    ],
)
def test_what_is_not_in_the_language_is_refused(instance: Shape, expression: str) -> None:
    with pytest.raises(ApiError) as caught:
        compile_filter(expression, instance)
    assert caught.value.status == 400
    assert caught.value.message.startswith("Invalid value for field 'filter': '")
    assert "Invalid list filter expression." in caught.value.message


@pytest.mark.parametrize(
    "expression",
    [
        # Lists: https://github.com/prometheus/prometheus/issues/8233,
        # https://github.com/googleapis/google-cloud-go/issues/11318; gcloud sends none for that
        # reason (googlecloudsdk/api_lib/compute/filter_rewrite.py, b/73454982).
        "tags.items = mytargets",
        "tags.items:*",
        "tags.items eq allow-.*",
        "networkInterfaces.network:vpc1",
        "disks.diskSizeGb > 9",
        "NOT disks:*",
        # Objects and what is no field: https://github.com/prometheus/prometheus/issues/5499,
        # https://github.com/cycloidio/terracognita/pull/237.
        "tags = mytags",
        "items[*].tags=mytags",
        "networkInterfaces[0].network = x",
        "nosuch = 1",
        "NOT nosuch:*",
        "nosuch eq 1",
        "Name = web-1",
        "name.first = web-1",
        "scheduling.nosuch = true",
        "status = RUNNING AND (name = web-1 OR metadata.drtype = active)",
        # Two regular expressions: https://github.com/googleapis/nodejs-compute/issues/48.
        "status eq RUNNING AND name eq web-1",
        "status eq RUNNING OR name eq web-1",
        "status eq RUNNING name eq web-1",
        "(status eq RUNNING) AND (name eq web-1)",
        'status eq "RUNNING" AND name eq "web-1"',
        # A bad one: https://github.com/prometheus/prometheus/issues/5499.
        "name eq *collector*",
    ],
)
def test_what_google_does_not_filter_by_is_refused(instance: Shape, expression: str) -> None:
    with pytest.raises(ApiError) as caught:
        compile_filter(expression, instance)
    assert caught.value.status == 400
    assert caught.value.message.startswith(
        f"Invalid value for field 'filter': '{expression}'. Invalid list filter expression."
    )


def test_labels_of_a_resource_without_labels_are_refused(compute: Api) -> None:
    """https://github.com/cycloidio/terracognita/pull/237"""
    network = Shape(compute.schemas["Network"], compute.schemas)
    assert compile_filter("routingConfig.routingMode = REGIONAL", network)(
        {"routingConfig": {"routingMode": "REGIONAL"}}
    )
    with pytest.raises(ApiError, match="Invalid list filter expression"):
        compile_filter("NOT labels.env:*", network)


def test_a_hostile_regular_expression_takes_no_time(instance: Shape) -> None:
    assert not compile_filter("name eq (a+)+b", instance)({"name": "a" * 63})


FIELDS = ("name", "status", "labels.env", "scheduling.preemptible", "id")
VALUES = ("alpha", "beta", "al*", "true", "false", "7", "30")
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["alpha", "beta", "alpine"]),
        "status": st.sampled_from(["alpha", "true"]),
        "id": st.sampled_from(["7", "30", "100"]),
        "labels": st.dictionaries(st.just("env"), st.sampled_from(["alpha", "beta"])),
        "scheduling": st.fixed_dictionaries({"preemptible": st.booleans()}),
    },
)

Tree = tuple[Any, ...]


def _trees() -> st.SearchStrategy[Tree]:
    leaf = st.tuples(
        st.just("is"),
        st.sampled_from(FIELDS),
        st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
        st.sampled_from(VALUES),
    )
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.tuples(st.sampled_from(["AND", "OR", " "]), inner, inner),
            st.tuples(st.just("NOT"), inner),
        ),
        max_leaves=8,
    )


def _write(tree: Tree) -> str:
    match tree:
        case ("is", field, operator, value):
            return f"{field} {operator} {value}"
        case ("NOT", inner):
            return f"NOT ({_write(inner)})"
        case (operator, left, right):
            return f"({_write(left)}) {operator} ({_write(right)})"
    raise AssertionError(tree)


def _holds(tree: Tree, document: dict[str, Any]) -> bool:
    match tree:
        case ("is", field, operator, value):
            return _compare(document, field, operator, value)
        case ("NOT", inner):
            return not _holds(inner, document)
        case ("OR", left, right):
            return _holds(left, document) or _holds(right, document)
        case (_, left, right):
            return _holds(left, document) and _holds(right, document)
    raise AssertionError(tree)


def _compare(document: dict[str, Any], field: str, operator: str, value: str) -> bool:
    found: Any = document
    for part in field.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    equal = (
        str(found).lower() == value
        if isinstance(found, bool)
        else found is not None and (found.startswith("al") if value == "al*" else found == value)
    )
    if operator in ("=", "!="):
        return equal if operator == "=" else not equal
    if found is None or isinstance(found, bool):
        return False
    numeric = found.isdigit() and value.isdigit()
    left, right = (f"{found:0>9}", f"{value:0>9}") if numeric else (found, value)
    outcomes = {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}
    return bool(outcomes[operator])


@given(tree=_trees(), document=DOCUMENTS)
def test_any_expression_means_what_a_naive_evaluator_says(
    instance: Shape, tree: Tree, document: dict[str, Any]
) -> None:
    holds = compile_filter(_write(tree), instance)
    assert holds(document) == _holds(tree, document), _write(tree)


@given(text=st.text(max_size=60))
def test_any_text_is_taken_or_refused_with_400(instance: Shape, text: str) -> None:
    status = 400
    try:
        compile_filter(text, instance)(WEB)
    except ApiError as refusal:
        status = refusal.status
    assert status == 400
