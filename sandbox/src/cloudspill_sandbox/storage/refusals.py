# SPDX-License-Identifier: GPL-3.0-or-later
"""Refusals in the words of Cloud Storage.

https://cloud.google.com/storage/docs/json_api/v1/status-codes
"""

from __future__ import annotations

from cloudspill_sandbox.engine.errors import ApiError

_UNIFORM = (
    "when uniform bucket-level access is enabled. Read more at "
    "https://cloud.google.com/storage/docs/uniform-bucket-level-access"
)


def no_such_bucket() -> ApiError:
    """404 for a bucket that does not exist; Google does not repeat its name."""
    return ApiError(404, "notFound", "The specified bucket does not exist.")


def no_such_object(bucket: str, name: str, *, downloading: bool = False) -> ApiError:
    """404 for an object, or a generation of it, that does not exist.

    Who asks for its bytes is told so without JSON, as shown at
    https://github.com/firebase/firebase-tools/pull/3647.
    """
    error = ApiError(404, "notFound", f"No such object: {bucket}/{name}")
    error.bare = downloading
    return error


def no_such_component(name: str, generation: str | None) -> ApiError:
    """404 for an object of which another is to be composed.

    In these words at https://github.com/GoogleCloudDataproc/hadoop-connectors/issues/571.
    """
    return ApiError(404, "notFound", f"Object {name} (generation: {generation or 0}) not found.")


def not_found() -> ApiError:
    """404 for what is part of a bucket or object: an entry of an access control list."""
    return ApiError(404, "notFound", "Not Found")


def invalid(message: str) -> ApiError:
    """400 for a value that cannot be."""
    return ApiError(400, "invalid", message)


def too_large() -> ApiError:
    """400 for more bytes than the request may bring; the XML API's code is its reason.

    https://cloud.google.com/storage/docs/xml-api/reference-status
    """
    return ApiError(400, "EntityTooLarge", "Content-length exceeds upper bound on range")


def too_small() -> ApiError:
    """400 for fewer bytes than the request must bring."""
    return ApiError(400, "EntityTooSmall", "Content-length is below lower bound on range")


def conflict(message: str) -> ApiError:
    """409 for what another bucket or object stands in the way of."""
    return ApiError(409, "conflict", message)


def precondition_failed() -> ApiError:
    """412 for an `if…Match` parameter that does not hold."""
    return ApiError(
        412,
        "conditionNotMet",
        "At least one of the pre-conditions you specified did not hold.",
        location="If-Match",
    )


def condition_not_met(message: str) -> ApiError:
    """412 for a setting of the bucket that stands against the request."""
    return ApiError(412, "conditionNotMet", message)


def forbidden(message: str) -> ApiError:
    """403 for what nobody may do."""
    return ApiError(403, "forbidden", message)


def retained(message: str) -> ApiError:
    """403 for an object that must be kept."""
    return ApiError(403, "retentionPolicyNotMet", message)


def not_with_uniform_access(doing: str) -> ApiError:
    """400 for an access control list where only IAM counts.

    Args:
        doing: what cannot be done, `Cannot use ACL API to get bucket policy`.
    """
    return ApiError(400, "invalid", f"{doing} {_UNIFORM}")


def unsupported(what: str) -> ApiError:
    """501 that names a feature which the sandbox does not have."""
    return ApiError(
        501, "notImplemented", f"{what} is not implemented by this sandbox (docs/fidelity.md)"
    )
