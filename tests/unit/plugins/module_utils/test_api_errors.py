# SPDX-License-Identifier: GPL-3.0-or-later
"""What a refusal says that concerns an API as a whole."""

from __future__ import annotations

import pytest
from ansible_collections.cloudspill.gcp.plugins.module_utils.api_errors import (
    ServiceDisabledError,
    error_from_response,
)

# https://cloud.google.com/apis/design/errors and, with `errors`, Compute Engine's older form.
TEXT = (
    "{title} API has not been used in project 42 before or it is disabled. Enable it by visiting "
    "https://console.developers.google.com/apis/api/{service}/overview?project=42 then retry."
)


@pytest.mark.parametrize(
    ("title", "service", "form"),
    [
        (
            "Compute Engine",
            "compute.googleapis.com",
            {"errors": [{"reason": "accessNotConfigured"}]},
        ),
        (
            "Identity and Access Management (IAM)",
            "iam.googleapis.com",
            {"status": "PERMISSION_DENIED", "details": [{"reason": "SERVICE_DISABLED"}]},
        ),
    ],
)
def test_an_api_that_is_not_enabled_is_named(
    title: str, service: str, form: dict[str, object]
) -> None:
    message = TEXT.format(title=title, service=service)
    refusal = error_from_response(403, {"error": {"message": message, **form}}, "the thing")
    assert isinstance(refusal, ServiceDisabledError)
    assert refusal.sentence == (
        f"the thing: the API {service} is not enabled in this project; enable it with "
        f"`gcloud services enable {service}` and wait a minute"
    )
