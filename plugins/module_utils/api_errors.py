# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Google's answers mean when they are refusals: one type a cause, one sentence each.

The forms of error bodies: https://cloud.google.com/apis/design/errors and, for Compute Engine's
older form, https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-using-the-apis.
"""

from __future__ import annotations

import re
import sys
from typing import Any

_PERMISSION = re.compile(r"'(?P<permission>[a-z]+\.[A-Za-z]+\.[A-Za-z]+)'")
_ACTIVATION_LINK = re.compile(r"/apis/api/(?P<service>[a-z0-9.-]+)/overview")
_REFUSED_REASONS = {"quotaExceeded", "QUOTA_EXCEEDED", "limitExceeded"}
_RATE_REASONS = {"rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED"}
_DISABLED_REASONS = {"accessNotConfigured", "SERVICE_DISABLED"}


class CloudError(Exception):
    """Something that Google Cloud, or the way to it, refused; `str()` is one sentence.

    Attributes:
        sentence: what happened, to which thing, and what to do.
    """

    def __init__(self, sentence: str) -> None:
        """Keep the sentence."""
        super().__init__(sentence)
        self.sentence = sentence


class MissingLibraryError(CloudError):
    """Python packages that the collection needs are not there."""

    def __init__(self, error: ImportError) -> None:
        """Say which Python lacks what; the packages are asked for together."""
        super().__init__(
            f"{sys.executable} lacks Python packages of this collection ({error}): install them "
            f"with `{sys.executable} -m pip install google-auth requests`"
        )


class CredentialsError(CloudError):
    """No usable credentials: missing, malformed, readable by others, or turned down."""


class UnreachableError(CloudError):
    """No answer from the endpoint: refused, timed out, not resolved, not trusted."""


class DeadlineError(CloudError):
    """The caller's deadline passed first."""


class OperationError(CloudError):
    """An operation was accepted and then failed.

    Attributes:
        code: Google's code of the first error, such as ZONE_RESOURCE_POOL_EXHAUSTED.
    """

    def __init__(self, code: str, sentence: str) -> None:
        """Keep the code beside the sentence."""
        super().__init__(sentence)
        self.code = code


class ApiError(CloudError):
    """An HTTP answer of 400 or more.

    Attributes:
        status: HTTP status.
        reason: Google's reason, such as `notFound` or `SERVICE_DISABLED`; may be empty.
        message: Google's own message.
        resource: what the request was about, such as `GET projects/p/global/networks/default`.
    """

    advice = ""

    def __init__(self, status: int, reason: str, message: str, resource: str) -> None:
        """Keep the parts and join them to a sentence."""
        self.status = status
        self.reason = reason
        self.message = message
        self.resource = resource
        super().__init__(self._explain())

    def _explain(self) -> str:
        detail = f" ({self.reason})" if self.reason else ""
        said = self.message.rstrip(".") or f"HTTP {self.status}"
        advice = f"; {self.advice}" if self.advice else ""
        return f"{self.resource}: {said}{detail}{advice}"


class NotFoundError(ApiError):
    """404: the thing, or the project, does not exist or is not visible to the caller."""


class AlreadyExistsError(ApiError):
    """409: the name is taken."""


class PreconditionError(ApiError):
    """412: the fingerprint is stale; somebody changed the resource in between."""

    advice = "something else changed it at the same moment: run again"


class QuotaError(ApiError):
    """A quota of the project is used up."""

    advice = "free resources or ask for more quota"


class RateLimitError(ApiError):
    """429, or 403 with a rate reason: too many requests for now."""

    advice = "too many requests for now: run again in a minute"


class ServerError(ApiError):
    """5xx: Google's side failed; repeating the request may help."""

    advice = "a fault on the service's side: run again"


class UnauthenticatedError(ApiError):
    """401: the token is missing, expired or not accepted."""

    advice = "check which credentials are in use (gcp_auth_kind, gcp_service_account_file)"


class PermissionDeniedError(ApiError):
    """403 for lack of a permission.

    Attributes:
        permission: such as `compute.images.create`; empty where Google does not say.
    """

    @property
    def permission(self) -> str:
        """The permission that is missing, out of Google's message."""
        found = _PERMISSION.search(self.message)
        return found["permission"] if found else ""

    def _explain(self) -> str:
        advice = (
            f"grant a role that holds {self.permission}"
            if self.permission
            else "check the project and the roles of the credentials in use"
        )
        return f"{super()._explain()}; {advice}"


class ServiceDisabledError(ApiError):
    """403 because the API is not enabled in the project."""

    @property
    def service(self) -> str:
        """The API, such as `compute.googleapis.com`, out of the link in Google's message."""
        found = _ACTIVATION_LINK.search(self.message)
        return found["service"] if found else "compute.googleapis.com"

    def _explain(self) -> str:
        # Google's own text is a paragraph with a link; the cause is what counts.
        return (
            f"{self.resource}: the API {self.service} is not enabled in this project; enable it "
            f"with `gcloud services enable {self.service}` and wait a minute"
        )


def error_from_response(status: int, document: object, resource: str) -> ApiError:
    """Build the typed error that an HTTP answer stands for.

    Args:
        status: HTTP status, 400 or more.
        document: the decoded JSON body, or the text where it was none.
        resource: what the request was about; opens the sentence.
    """
    error = document.get("error") if isinstance(document, dict) else None
    if isinstance(error, dict):
        reason, message = _reason(error), str(error.get("message", ""))
    else:
        reason, message = "", _plain(document)
    return _error_type(status, reason)(status, reason, message, resource)


def _reason(error: dict[str, Any]) -> str:
    """Google's most telling reason: ErrorInfo's, else the first error's, else the status."""
    for detail in error.get("details") or []:
        if isinstance(detail, dict) and detail.get("reason"):
            return str(detail["reason"])
    for entry in error.get("errors") or []:
        if isinstance(entry, dict) and entry.get("reason"):
            return str(entry["reason"])
    return str(error.get("status", ""))


def _plain(document: object) -> str:
    """Shorten a body that is not Google's JSON, such as a proxy's page."""
    if isinstance(document, dict):
        document = document.get("error_description") or document.get("error") or ""
    return " ".join(str(document).split())[:200]


def _error_type(status: int, reason: str) -> type[ApiError]:
    if reason in _DISABLED_REASONS:
        return ServiceDisabledError
    if reason in _REFUSED_REASONS:
        return QuotaError
    if status == 429 or reason in _RATE_REASONS:
        return RateLimitError
    if status >= 500:
        return ServerError
    return {
        401: UnauthenticatedError,
        403: PermissionDeniedError,
        404: NotFoundError,
        409: AlreadyExistsError,
        412: PreconditionError,
    }.get(status, ApiError)
