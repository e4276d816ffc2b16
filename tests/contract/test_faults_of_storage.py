# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of Cloud Storage, as google-cloud-storage meets them with its own retries.

https://cloud.google.com/storage/docs/retry-strategy
"""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions

from .faults import Faults
from .target import Target


@pytest.fixture
def noted(bucket: Any) -> Any:
    """The bucket with an object, `note`."""
    bucket.blob("note").upload_from_string("kept")
    return bucket


@pytest.mark.parametrize(
    "order",
    [{"kind": "unavailable"}, {"kind": "rate-limit"}, {"kind": "reset"}],
    ids=lambda order: order["kind"],
)
def test_the_client_s_own_retries_get_through(
    faults: Faults, noted: Any, order: dict[str, Any]
) -> None:
    fault = faults.add(**order, method="storage.objects.get", match="note")
    assert noted.get_blob("note").size == 4
    assert faults.get(fault)["fired"] == 1
    faults.clear()
    fault = faults.add(**order, method="storage.objects.*", match=noted.name)
    assert noted.blob("note").download_as_bytes() == b"kept"
    assert faults.get(fault)["firings"][0]["target"].endswith("/note")


def test_a_permission_that_is_missing_is_told_in_storage_s_words(
    faults: Faults, noted: Any, target: Target
) -> None:
    faults.add("forbidden", method="storage.objects.*", match="note")
    with pytest.raises(exceptions.Forbidden) as caught:
        noted.blob("note").download_as_bytes()
    assert (
        f"{target.email} does not have storage.objects.get access to the Google Cloud Storage "
        "object." in str(caught.value)
    )


def test_an_upload_that_is_refused_leaves_what_was_there(faults: Faults, noted: Any) -> None:
    faults.add("error", method="storage.objects.insert", error="400:invalid:Not this one")
    with pytest.raises(exceptions.BadRequest, match="Not this one"):
        noted.blob("note").upload_from_string("other")
    assert noted.blob("note").download_as_bytes() == b"kept"
