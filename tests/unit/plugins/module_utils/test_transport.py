# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests: what is repeated, what is not, and what a refusal says."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from ansible_collections.cloudspill.gcp.plugins.module_utils.api_errors import (
    PermissionDeniedError,
    QuotaError,
    ServerError,
    ServiceDisabledError,
    UnauthenticatedError,
    UnreachableError,
)
from ansible_collections.cloudspill.gcp.plugins.module_utils.compute import Compute
from ansible_collections.cloudspill.gcp.plugins.module_utils.transport import Transport
from google.auth.credentials import AnonymousCredentials


def refusal(status: int, reason: str, message: str) -> tuple[int, object]:
    errors = [{"reason": reason, "message": message}]
    return status, {"error": {"code": status, "message": message, "errors": errors}}


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_an_answer_that_asks_for_another_try_is_repeated_with_growing_pauses(
    google: Any, compute: Compute, time: Any, status: int
) -> None:
    google.add("global/networks/default")
    google.answers = [refusal(status, "backendError", "later")] * 3
    assert compute.get("global/networks/default")["name"] == "default"
    assert len(google.requests) == 4
    assert time.pauses == sorted(time.pauses)
    assert len(time.pauses) == 3


def test_a_fault_that_stays_is_reported_after_the_last_attempt(
    google: Any, compute: Compute
) -> None:
    google.answers = [refusal(503, "backendError", "Backend error")] * 9
    with pytest.raises(ServerError, match=r"global/networks/default: Backend error.*run again"):
        compute.get("global/networks/default")
    assert len(google.requests) == 5


def test_a_rate_limit_is_waited_for_whichever_status_it_comes_with(
    google: Any, compute: Compute
) -> None:
    google.add("global/networks/default")
    google.answers = [refusal(403, "rateLimitExceeded", "Rate Limit Exceeded")] * 2
    assert compute.get("global/networks/default")["name"] == "default"
    assert len(google.requests) == 3


def test_a_refusal_is_not_repeated(google: Any, compute: Compute) -> None:
    google.answers = [refusal(403, "forbidden", "Required 'compute.networks.get' permission")]
    with pytest.raises(PermissionDeniedError) as caught:
        compute.get("global/networks/default")
    assert caught.value.permission == "compute.networks.get"
    assert "grant a role that holds compute.networks.get" in caught.value.sentence
    assert len(google.requests) == 1


def test_a_disabled_api_says_how_to_enable_it(google: Any, compute: Compute) -> None:
    google.answers = [refusal(403, "accessNotConfigured", "Compute Engine API has not been used")]
    with pytest.raises(ServiceDisabledError, match="gcloud services enable compute"):
        compute.get("global/networks/default")


def test_the_reason_of_a_newer_error_form_is_found(google: Any, compute: Compute) -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED"}]
    error = {"code": 403, "message": "…", "status": "PERMISSION_DENIED", "details": details}
    google.answers = [(403, {"error": error})]
    with pytest.raises(ServiceDisabledError):
        compute.get("global/networks/default")


def test_a_used_up_quota_is_told_apart_from_a_lack_of_permission(
    google: Any, compute: Compute
) -> None:
    google.answers = [refusal(403, "quotaExceeded", "Quota 'CPUS' exceeded. Limit: 8.0")]
    with pytest.raises(QuotaError, match=r"Quota 'CPUS' exceeded. Limit: 8.0 \(quotaExceeded\)"):
        compute.get("global/networks/default")


def test_bad_credentials_say_which_variables_to_look_at(google: Any, compute: Compute) -> None:
    google.answers = [refusal(401, "authError", "Invalid Credentials")]
    with pytest.raises(UnauthenticatedError, match="gcp_service_account_file"):
        compute.get("global/networks/default")


def test_an_answer_that_is_no_json_is_quoted_in_short(google: Any, compute: Compute) -> None:
    google.answers = [(400, "<html>\n" + "no " * 500)]
    with pytest.raises(Exception, match="<html> no no") as caught:
        compute.get("global/networks/default")
    assert len(str(caught.value)) < 300


def test_an_endpoint_that_does_not_answer_is_named_with_its_reason(time: Any) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    credentials = AnonymousCredentials()
    transport = Transport(credentials, sleep=time.sleep)
    with pytest.raises(UnreachableError) as caught:
        transport.request("GET", f"http://127.0.0.1:{port}/x")
    assert str(caught.value) == f"cannot reach 127.0.0.1:{port}: the connection is refused"
    assert len(time.pauses) == 4
    transport.close()


def test_a_proxy_that_does_not_answer_is_blamed_itself(
    time: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    credentials = AnonymousCredentials()
    transport = Transport(credentials, sleep=time.sleep)
    with pytest.raises(UnreachableError, match="the proxy named by HTTPS_PROXY does not answer"):
        transport.request("GET", "https://compute.googleapis.com/x")
    transport.close()
