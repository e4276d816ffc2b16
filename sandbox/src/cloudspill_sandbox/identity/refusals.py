# SPDX-License-Identifier: GPL-3.0-or-later
"""Refusals of the newer APIs: a canonical code, a sentence, typed details.

https://google.aip.dev/193, https://cloud.google.com/apis/design/errors#handling_errors
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.errors import ApiError

_HTTP = {
    "INVALID_ARGUMENT": (400, "badRequest"),
    "FAILED_PRECONDITION": (400, "failedPrecondition"),
    "PERMISSION_DENIED": (403, "forbidden"),
    "NOT_FOUND": (404, "notFound"),
    "ALREADY_EXISTS": (409, "alreadyExists"),
    "ABORTED": (409, "aborted"),
    "RESOURCE_EXHAUSTED": (429, "rateLimitExceeded"),
}


def refused(code: str, message: str, *details: Mapping[str, Any]) -> ApiError:
    """Return the refusal of a canonical code, one of those above."""
    status, reason = _HTTP[code]
    return ApiError(status, reason, message, code=code, details=details)


def invalid(message: str) -> ApiError:
    """400 INVALID_ARGUMENT."""
    return refused("INVALID_ARGUMENT", message)


def error_info(reason: str, domain: str, **metadata: str) -> Document:
    """Return a google.rpc.ErrorInfo."""
    info: Document = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": domain,
    }
    return info | ({"metadata": metadata} if metadata else {})


def unknown_account() -> ApiError:
    """404 for a service account that is not there."""
    return refused("NOT_FOUND", "Unknown service account")


def unknown_key(key_id: str) -> ApiError:
    """404 for a key that is not there."""
    return refused("NOT_FOUND", f"Service account key {key_id} does not exist.")


def account_exists(project: str, account_id: str, name: str) -> ApiError:
    """409 for an account id that is taken."""
    return refused(
        "ALREADY_EXISTS",
        f"Service account {account_id} already exists within project projects/{project}.",
        {"@type": "type.googleapis.com/google.rpc.ResourceInfo", "resourceName": name},
    )


def too_long(field: str, limit: int) -> ApiError:
    """400 for a text of more than `limit` bytes of UTF-8."""
    return refused("INVALID_ARGUMENT", f"The {field} must not be longer than {limit} bytes.")


def unmasked(path: str, known: Sequence[str]) -> ApiError:
    """400 for an update mask with a field that is not the caller's to change."""
    return refused(
        "INVALID_ARGUMENT",
        f"Invalid field in update_mask: '{path}'. Fields that can be updated: {', '.join(known)}.",
    )
