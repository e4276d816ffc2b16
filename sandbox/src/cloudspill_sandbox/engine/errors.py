# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception that is rendered as Google's error JSON.

Form and reasons: https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-using-http-errors
and https://cloud.google.com/apis/design/errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_HEADERS = frozenset({"Authorization", "If-Match", "If-None-Match"})
_OF_USAGE = frozenset({"accessNotConfigured", "quotaExceeded", "rateLimitExceeded"})
"""Reasons that Google counts to the domain `usageLimits`."""

_CANONICAL = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    412: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}
"""https://cloud.google.com/apis/design/errors#handling_errors"""


class ApiError(Exception):
    """A refusal as Google words it; raised by handlers, rendered by the front.

    Attributes:
        logged: the sentence for logs; another than `message` where that quotes a value.
        also: further refusals of the same request, which become items of `errors`.
        bare: whether the answer is the sentence alone, as Google's servers of media give it.

    Args:
        status: HTTP status code.
        reason: Google's machine-readable reason, camelCase (`notFound`) or for operations
            UPPER_CASE (`ZONE_RESOURCE_POOL_EXHAUSTED`).
        message: the sentence that clients show.
        location: request field, parameter or header that was wrong.
        item_message: the sentence inside `errors` where Google's differs from `message`.
        code: canonical status (`INVALID_ARGUMENT`) where Google sends one: for refusals by its
            API front end, not for those of Compute Engine itself.
        details: typed details (https://google.aip.dev/193), `[{"@type": …}]`; of an operation's
            error its `errorDetails`.
        headers: extra response headers, for example WWW-Authenticate.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        location: str | None = None,
        item_message: str | None = None,
        code: str | None = None,
        details: Sequence[Mapping[str, Any]] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.location = location
        self.item_message = item_message or message
        self.code = code
        self.details = details
        self.headers = headers or {}
        self.also: Sequence[ApiError] = ()
        self.bare = False
        self.logged = message

    def body(self) -> dict[str, Any]:
        """Return Google's error object: `{"error": {"code", "message", "errors": […]}}`."""
        error: dict[str, Any] = {
            "code": self.status,
            "message": self.message,
            "errors": [self._item(), *(other._item() for other in self.also)],
        }
        if self.code is not None:
            error["status"] = self.code
        if self.details:
            error["details"] = list(self.details)
        return {"error": error}

    def rpc_body(self) -> dict[str, Any]:
        """Return the error object of newer APIs: a google.rpc.Status, without `errors`.

        https://google.aip.dev/193
        """
        error: dict[str, Any] = {
            "code": self.status,
            "message": self.message,
            "status": self.code or _CANONICAL.get(self.status, "UNKNOWN"),
        }
        if self.details:
            error["details"] = list(self.details)
        return {"error": error}

    def _item(self) -> dict[str, Any]:
        domain = "usageLimits" if self.reason in _OF_USAGE else "global"
        item = {"message": self.item_message, "domain": domain, "reason": self.reason}
        if self.location is not None:
            item |= {"location": self.location, "locationType": _location_type(self.location)}
        return item


class NoAnswerError(Exception):
    """The connection shall be closed without an answer; the front does so."""


def _location_type(location: str) -> str:
    return "header" if location in _HEADERS else "parameter"


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


def required_parameter(name: str) -> ApiError:
    """400 for a parameter that is missing."""
    return ApiError(400, "required", f"Required parameter: {name}", location=name)


def in_use(name: str, user: str) -> ApiError:
    """400 for a resource that another one still uses."""
    return ApiError(
        400,
        "resourceInUseByAnotherResource",
        f"The resource '{name}' is already being used by '{user}'",
    )


def condition_not_met(message: str) -> ApiError:
    """412 for a stale fingerprint or etag."""
    return ApiError(412, "conditionNotMet", message)


def not_implemented(method_id: str) -> ApiError:
    """501 that names the method which the sandbox does not have."""
    return ApiError(
        501, "notImplemented", f"{method_id} is not implemented by this sandbox (docs/fidelity.md)"
    )


@dataclass(frozen=True, slots=True)
class Violation:
    """What of a request does not fit.

    Attributes:
        field: path of the field, "" for the request as a whole.
        sentence: what is wrong.
        quoted: what the sentence ends with: the part of the request that is wrong.
    """

    field: str
    sentence: str
    quoted: str = ""

    def described(self) -> dict[str, str]:
        """Return a google.rpc.BadRequest.FieldViolation."""
        description = {"description": self.sentence + self.quoted}
        return ({"field": self.field} if self.field else {}) | description


def malformed(*violations: Violation) -> ApiError:
    """400 of Google's API front end for a request that does not fit the discovery document.

    Args:
        violations: at least one.
    """
    fields = [violation.described() for violation in violations]
    error = ApiError(
        400,
        "badRequest",
        "\n".join(field["description"] for field in fields),
        code="INVALID_ARGUMENT",
        details=[{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": fields}],
    )
    error.logged = "\n".join(violation.sentence for violation in violations)
    return error


def invalid_parameter(name: str, message: str, *, logged: str | None = None) -> ApiError:
    """400 for a path or query parameter whose value cannot be.

    Args:
        logged: the sentence for logs, without the value; `message` where that quotes none.
    """
    error = ApiError(400, "invalidParameter", message, location=name)
    error.logged = logged or message
    return error


def unauthenticated(error_info: str, *, missing: bool = False) -> ApiError:
    """401 for credentials that are missing or do not hold.

    Form: https://cloud.google.com/docs/authentication/troubleshoot-adc

    Args:
        error_info: reason in google.rpc.ErrorInfo, for example `ACCESS_TOKEN_EXPIRED`.
        missing: no credentials were sent at all.
    """
    complaint = "is missing required authentication credential"
    if not missing:
        complaint = "had invalid authentication credentials"
    challenge = 'Bearer realm="https://accounts.google.com/"'
    return ApiError(
        401,
        "required" if missing else "authError",
        f"Request {complaint}. Expected OAuth 2 access token, login cookie or other valid "
        "authentication credential. See "
        "https://developers.google.com/identity/sign-in/web/devconsole-project.",
        item_message="Login Required." if missing else "Invalid Credentials",
        location="Authorization",
        code="UNAUTHENTICATED",
        details=[
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": error_info,
                "domain": "googleapis.com",
            }
        ],
        headers={"WWW-Authenticate": challenge + ("" if missing else ', error="invalid_token"')},
    )
