# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks are read once a method, and only so many are kept."""

from __future__ import annotations

import pytest

from cloudspill_sandbox.engine.discovery import Api, load_api
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.front.views import Views


@pytest.fixture(scope="module")
def compute() -> Api:
    return load_api("compute", "v1")


def test_a_mask_is_read_once_for_a_method(compute: Api) -> None:
    views = Views()
    instances = compute.methods["compute.instances.list"]
    query = {"fields": "items/name"}
    first = views.of(compute, instances, query)
    assert first.mask == {"items": {"name": {}}}
    assert views.of(compute, instances, query).mask is first.mask
    with pytest.raises(ApiError, match="Invalid field selection items"):
        views.of(compute, compute.methods["compute.instances.get"], query)


def test_masks_do_not_pile_up(compute: Api) -> None:
    views = Views()
    disks = compute.methods["compute.disks.list"]
    for number in range(2500):
        views.of(compute, disks, {"fields": f"items/labels/key-{number}"})
    views.of(compute, disks, {"fields": "items/labels/" + "k" * 5000})
    assert len(views._masks) <= 1000
    assert max(len(fields) for *_, fields in views._masks) < 5000
