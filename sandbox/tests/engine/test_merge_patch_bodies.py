# SPDX-License-Identifier: GPL-3.0-or-later
"""In the body of a PATCH null means "remove"; elsewhere it means "not set"."""

from __future__ import annotations

import pytest

from cloudspill_sandbox.engine.discovery import load_api
from cloudspill_sandbox.engine.validation import request_body

STORAGE = load_api("storage", "v1")
BODY = {"website": None, "labels": {"a": None, "b": "c"}, "logging": {"logBucket": None}}


def test_a_patch_keeps_nulls_at_every_depth() -> None:
    assert request_body(STORAGE, STORAGE.methods["storage.buckets.patch"], BODY) == BODY


def test_any_other_method_takes_null_for_not_set() -> None:
    body = {"website": None, "labels": {"b": "c"}, "logging": {"logBucket": None}}
    method = STORAGE.methods["storage.buckets.update"]
    assert request_body(STORAGE, method, body) == {"labels": {"b": "c"}, "logging": {}}


@pytest.mark.parametrize(
    ("api", "method"), [("serviceusage", "services.enable"), ("iam", "projects.roles.patch")]
)
def test_a_method_with_an_update_mask_is_no_merge_patch(api: str, method: str) -> None:
    assert not load_api(api, "v1").methods[f"{api}.{method}"].is_merge_patch
