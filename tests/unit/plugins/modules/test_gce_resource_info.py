# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading resources: what there is, what is absent, and which permissions are missing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cloudspill.gcp.plugins.module_utils.api_errors import (
    ServiceDisabledError,
)
from ansible_collections.cloudspill.gcp.plugins.module_utils.compute import Compute
from ansible_collections.cloudspill.gcp.plugins.modules import gce_resource_info


def read(compute: Compute, *resources: str, permissions: tuple[str, ...] = ()) -> dict[str, Any]:
    options = {"resources": list(resources), "permissions": list(permissions)}
    module: Any = SimpleNamespace(params=options, check_mode=False)
    return gce_resource_info.run(module, compute)


def test_each_reference_comes_back_with_its_document_or_nothing(
    google: Any, compute: Compute
) -> None:
    network = google.add("global/networks/default")
    found = read(compute, "global/networks/default", "zones/z/instances/a")
    assert found["resources"] == {"global/networks/default": network, "zones/z/instances/a": None}
    assert found["changed"] is False


def test_permissions_that_are_not_granted_are_missing(google: Any, compute: Compute) -> None:
    google.answers = [(200, {"permissions": ["compute.images.create"]})]
    wanted = ("compute.images.create", "compute.images.delete")
    assert read(compute, permissions=wanted)["missing_permissions"] == ["compute.images.delete"]
    (asked,) = google.requests
    assert asked.path == "/projects/acme:testIamPermissions"
    assert asked.body == {"permissions": [*wanted]}


def test_where_the_project_cannot_be_asked_nothing_is_claimed(
    google: Any, compute: Compute
) -> None:
    errors = [{"reason": "accessNotConfigured"}]
    google.answers = [(403, {"error": {"code": 403, "message": "disabled", "errors": errors}})]
    assert read(compute, permissions=("compute.images.create",))["missing_permissions"] is None


def test_without_permissions_to_test_the_project_is_not_asked(
    google: Any, compute: Compute
) -> None:
    assert read(compute)["missing_permissions"] == []
    assert google.requests == []


def test_a_disabled_api_is_no_absent_resource(google: Any, compute: Compute) -> None:
    errors = [{"reason": "accessNotConfigured"}]
    google.answers = [(403, {"error": {"code": 403, "message": "disabled", "errors": errors}})]
    with pytest.raises(ServiceDisabledError):
        read(compute, "global/networks/default")
