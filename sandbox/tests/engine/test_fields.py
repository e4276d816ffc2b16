# SPDX-License-Identifier: GPL-3.0-or-later
"""Partial responses select what the `fields` parameter names."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.fields import parse_fields, select

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


@pytest.mark.parametrize("fields", ["", "a(", "a)", "a,,b", "a/", "(a)", "a()", "(" * 500])
def test_a_broken_selection_is_refused(fields: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_fields(fields)
    assert caught.value.message == f"Invalid field selection {fields}"
    assert (caught.value.status, caught.value.location) == (400, "fields")


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
