# SPDX-License-Identifier: GPL-3.0-or-later
"""Partial responses select what the `fields` parameter names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudspill_sandbox.engine.discovery import load_api
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.fields import check_mask, parse_fields, select
from cloudspill_sandbox.engine.shapes import Shape

LIST = {
    "kind": "k",
    "nextPageToken": "t",
    "items": [
        {"name": "a", "zone": "z", "disks": [{"boot": True, "type": "P"}]},
        {"name": "b", "zone": "y"},
    ],
}
AGGREGATED = {
    "items": {
        "zones/a": {"instances": [{"name": "x", "id": "1"}]},
        "zones/b": {"warning": {"code": "NO_RESULTS_ON_PAGE"}},
    }
}


@pytest.mark.parametrize(
    ("fields", "document", "selected"),
    [
        (
            "items(name,zone),nextPageToken",
            LIST,
            {
                "nextPageToken": "t",
                "items": [{"name": "a", "zone": "z"}, {"name": "b", "zone": "y"}],
            },
        ),
        ("items/name", LIST, {"items": [{"name": "a"}, {"name": "b"}]}),
        ("items/disks/boot", LIST, {"items": [{"disks": [{"boot": True}]}, {}]}),
        ("*", LIST, LIST),
        (
            "items/*/instances/name",
            AGGREGATED,
            {"items": {"zones/a": {"instances": [{"name": "x"}]}, "zones/b": {}}},
        ),
        (
            "items(name),items(zone), kind",
            LIST,
            {
                "kind": "k",
                "items": [{"name": "a", "zone": "z"}, {"name": "b", "zone": "y"}],
            },
        ),
        ("items,items/name", LIST, {"items": LIST["items"]}),
        ("nothing", LIST, {}),
    ],
)
def test_selection(fields: str, document: Any, selected: Any) -> None:
    assert select(parse_fields(fields), document) == selected


DEEP = "a/" * 40 + "a"


@pytest.mark.parametrize(
    "fields",
    ["", "a(", "a)", "a,,b", "a/", "(a)", "a()", "(" * 500, f"{DEEP}({DEEP}),{DEEP}({DEEP})"],
)
def test_a_broken_selection_is_refused(fields: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_fields(fields)
    assert caught.value.message == f"Invalid field selection {fields}"
    assert (caught.value.status, caught.value.location) == (400, "fields")


@pytest.fixture(scope="module")
def answers() -> Callable[[str], Shape]:
    """Return what a method answers with."""
    apis = {name: load_api(name, "v1") for name in ("compute", "storage", "iam")}
    return lambda method: Shape.of_answer(apis[method.partition(".")[0]], method)


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("compute.instances.get", "status"),
        ("compute.instances.get", "*"),
        ("compute.instances.get", "disks(boot,initializeParams/labels/any-key),tags/items"),
        ("compute.instances.list", "items(name,labels/env),nextPageToken,kind"),
        ("compute.instances.list", "*/name"),
        ("compute.instances.list", "items/*/natIP,items/networkInterfaces/*/natIP"),
        # gce, the inventory plugin
        (
            "compute.instances.aggregatedList",
            "items/*/instances(name,networkInterfaces(networkIP,accessConfigs/natIP)),nextPageToken",
        ),
        ("compute.instances.aggregatedList", "items(zones/warning)"),
        # gcloud storage and google-cloud-storage
        ("storage.objects.list", "prefixes,items/name,items/metadata/goog-reserved-file-mtime"),
        ("storage.objects.get", "bucket,name,size,generation"),
        ("storage.buckets.getIamPolicy", "bindings,etag"),
        ("storage.objects.delete", "nothing,is/answered"),
        ("iam.projects.serviceAccounts.list", "accounts/email,nextPageToken"),
    ],
)
def test_what_an_answer_can_have_may_be_asked_for(
    answers: Callable[[str], Shape], method: str, fields: str
) -> None:
    check_mask(parse_fields(fields), answers(method))


@pytest.mark.parametrize(
    ("method", "fields", "unknown"),
    [
        ("compute.instances.get", "nosuch", "nosuch"),
        ("compute.instances.get", "Status", "Status"),
        ("compute.instances.list", "items(name,bogus)", "bogus"),
        ("compute.instances.list", "items/disks/bogus,kind", "bogus"),
        ("compute.instances.list", "pagetoken,items(id)", "pagetoken"),
        ("compute.instances.aggregatedList", "items/*/name", "name"),
        # https://github.com/googleapis/google-cloud-php/issues/6636: a list, not the object
        ("storage.objects.list", "name", "name"),
        # https://github.com/googleapis/java-storage-nio/issues/1646
        ("storage.objects.list", "bucket,name,id", "bucket"),
    ],
)
def test_a_name_that_an_answer_cannot_have_is_refused(
    answers: Callable[[str], Shape], method: str, fields: str, unknown: str
) -> None:
    with pytest.raises(ApiError) as caught:
        check_mask(parse_fields(fields), answers(method))
    refusal = caught.value
    assert refusal.message == f"Invalid field selection {unknown}"
    assert (refusal.status, refusal.reason, refusal.location) == (400, "invalidParameter", "fields")


@given(st.text(alphabet="ab,/()* ", max_size=30))
def test_no_selection_is_an_accident_and_nothing_is_added(fields: str) -> None:
    document = {"a": {"b": [1, {"a": 2}]}, "b": "x"}
    try:
        mask = parse_fields(fields)
    except ApiError:
        return
    selected = select(mask, document)
    assert selected.items() <= document.items() or set(selected) <= set(document)
    assert select(mask, selected) == selected
