# SPDX-License-Identifier: GPL-3.0-or-later
"""google.cloud's failures as sentences."""

from __future__ import annotations

from typing import Any

from ansible_collections.cloudspill.gcp.plugins.filter.refusal import refusal


def api_failure(status: int, reason: str, message: str) -> dict[str, Any]:
    errors = [{"reason": reason, "message": message}]
    error = {"error": {"code": status, "message": message, "errors": errors}}
    return {"msg": f"GCP returned error: {error}", "request": {"body": "…"}}


def test_a_lack_of_permission_names_it() -> None:
    message = "Required 'compute.images.create' permission for 'projects/acme/global/images/x'"
    sentence = refusal(api_failure(403, "forbidden", message), "the image x")
    assert sentence.startswith("the image x: Required 'compute.images.create' permission")
    assert sentence.endswith("grant a role that holds compute.images.create")


def test_a_failed_operation_gives_every_reason() -> None:
    errors = [
        {"code": "ZONE_RESOURCE_POOL_EXHAUSTED", "message": "The zone has not enough resources."},
        {"code": "QUOTA_EXCEEDED", "message": "Quota exceeded."},
    ]
    sentence = (
        "the instance a: The zone has not enough resources (ZONE_RESOURCE_POOL_EXHAUSTED); "
        "Quota exceeded (QUOTA_EXCEEDED)"
    )
    assert refusal({"msg": errors}, "the instance a") == sentence
    assert refusal({"msg": str(errors)}, "the instance a") == sentence  # as ansible-core gives it


def test_an_endpoint_that_does_not_answer_is_no_python_error() -> None:
    failure = {
        "msg": "Module failed",
        "exception": "'ProxyError' object has no attribute 'message'",
    }
    assert "the endpoint does not answer" in refusal(failure, "the image x")


def test_any_other_failure_keeps_its_text_on_one_line() -> None:
    assert refusal({"msg": "Unable to read\n  the file"}, "the image x") == (
        "the image x: Unable to read the file"
    )
