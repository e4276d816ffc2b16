# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception that is rendered as Google's error JSON.

Form and reasons: https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-using-http-errors
and https://cloud.google.com/apis/design/errors.
"""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """A refusal as Google words it; raised by handlers, rendered by the front.

    Args:
        status: HTTP status code.
        reason: Google's machine-readable reason, camelCase (`notFound`) or for operations
            UPPER_CASE (`ZONE_RESOURCE_POOL_EXHAUSTED`).
        message: the sentence that clients show.
        location: request field or parameter that was wrong.
        headers: extra response headers, for example WWW-Authenticate.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        location: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.location = location
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """Return Google's error object: `{"error": {"code", "message", "errors": […]}}`."""
        item = {"message": self.message, "domain": "global", "reason": self.reason}
        if self.location is not None:
            item |= {"location": self.location, "locationType": "parameter"}
        return {"error": {"code": self.status, "message": self.message, "errors": [item]}}


def not_found(name: str) -> ApiError:
    """404 for the resource with this relative name (`projects/p/zones/z/instances/i`)."""
    return ApiError(404, "notFound", f"The resource '{name}' was not found")


def already_exists(name: str) -> ApiError:
    """409 for a name that is taken."""
    return ApiError(409, "alreadyExists", f"The resource '{name}' already exists")


def invalid(field: str, message: str) -> ApiError:
    """400 for a value that the schema allows and the resource does not."""
    return ApiError(400, "invalid", f"Invalid value for field '{field}': {message}", location=field)


def required(field: str) -> ApiError:
    """400 for a value that is missing."""
    return ApiError(400, "required", f"Required field '{field}' not specified", location=field)


def in_use(name: str, user: str) -> ApiError:
    """400 for a resource that another one still uses."""
    return ApiError(
        400,
        "resourceInUseByAnotherResource",
        f"The resource '{name}' is already being used by '{user}'",
    )


def condition_not_met(message: str) -> ApiError:
    """412 for a stale fingerprint or etag."""
    return ApiError(412, "conditionNotMet", message, headers={})


def not_implemented(method_id: str) -> ApiError:
    """501 that names the method which the sandbox does not have."""
    return ApiError(
        501, "notImplemented", f"{method_id} is not implemented by this sandbox (docs/fidelity.md)"
    )
