# SPDX-License-Identifier: GPL-3.0-or-later
"""Compute Engine's refusals, in Google's words.

Forms: https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-using-http-errors,
https://cloud.google.com/compute/docs/resource-error; wording as clients' public issue trackers
quote it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cloudspill_sandbox.engine.access import Requirement
from cloudspill_sandbox.engine.call import Principal
from cloudspill_sandbox.engine.errors import ApiError


def invalid_value(field: str, value: object, sentence: str) -> ApiError:
    """400 `Invalid value for field 'f': 'v'. Sentence.`"""
    return ApiError(400, "invalid", f"Invalid value for field '{field}': '{value}'. {sentence}")


def bad_request(sentence: str) -> ApiError:
    """400 for parts of a request that do not go together; the sentence names no field."""
    return ApiError(400, "badRequest", sentence)


def too_large(field: str, most: int, size: int) -> ApiError:
    """413 for a value that is too long.

    https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-ssh-errors has the
    sentence; the status and the reason are those of the same sentence about other fields, as
    https://github.com/kubermatic/machine-controller quotes them (`resource.guestAccelerators`).

    Args:
        most: what the field may have, in characters.
        size: what it has.
    """
    sentence = f"is too large: maximum size {most} character(s); actual size {size}."
    return ApiError(413, "fieldSizeTooLarge", f"Value for field '{field}' {sentence}")


def missing(field: str) -> ApiError:
    """400 for a required field without a value."""
    return ApiError(400, "required", f"Required field '{field}' not specified")


def no_match(field: str, value: object, pattern: str) -> ApiError:
    """400 for a value that does not match the pattern of its field."""
    return invalid_value(field, value, f"Must be a match of regex '{pattern}'")


def malformed(field: str, value: object) -> ApiError:
    """400 for a reference that has no known form."""
    return invalid_value(field, value, "The URL is malformed.")


def check_supported(field: str, body: Mapping[str, object], *unsupported: str) -> None:
    """Return when a request has no value for fields that Google has and the sandbox does not.

    Raises:
        ApiError: 400 that names the field; what is asked for is never passed over in silence.
    """
    for key in unsupported:
        if body.get(key):
            raise unsupported_value(f"{field}.{key}", "")


def check_one_of(field: str, body: Mapping[str, object], key: str, *supported: object) -> None:
    """Return when a field has no value, or one that the sandbox has.

    Raises:
        ApiError: 400 that names the field and its value.
    """
    if body.get(key) and body[key] not in supported:
        raise unsupported_value(f"{field}.{key}", body[key])


def unsupported_value(field: str, value: object) -> ApiError:
    """400 for what Google has and the sandbox does not."""
    return invalid_value(field, value, "Not supported by this sandbox (docs/fidelity.md).")


def fixed(field: str) -> ApiError:
    """400 for a field that a method does not change."""
    return invalid_value(field, "", "The field cannot be changed.")


def dangling(field: str, value: object, kind: str) -> ApiError:
    """400 for a reference to a resource that does not exist; `kind` as `image`, `disk`."""
    return invalid_value(field, value, f"The referenced {kind} resource cannot be found.")


def of_another_project(field: str, value: object) -> ApiError:
    """400 for a reference beyond the project to a resource that must be of the same one.

    https://github.com/kubernetes/ingress-gce/issues/1085,
    https://github.com/terraform-google-modules/terraform-google-bastion-host/issues/5.
    """
    sentence = "Cross project referencing is not allowed for this resource."
    return invalid_value(field, value, sentence)


def disk_of_another_project(field: str, value: object) -> ApiError:
    """400 for an instance that is to attach a disk of another project.

    That it is not allowed: https://github.com/kubernetes/kubernetes/issues/36480,
    https://github.com/kubernetes-sigs/gcp-compute-persistent-disk-csi-driver/issues/1314. The
    sentence is the one for instances, which
    https://github.com/PaloAltoNetworks/terraform-google-vmseries-modules/issues/130 quotes for a
    machine and its disks.
    """
    sentence = "Cross-project references for this resource are not allowed."
    return invalid_value(field, value, sentence)


def unknown_scope(kind: str, value: str) -> ApiError:
    """400 for a zone or region that does not exist."""
    return invalid_value(kind, value, f"Unknown {kind}.")


def in_use(kind: str, name: str, user: str) -> ApiError:
    """400 for a resource that another one uses; relative names."""
    return ApiError(
        400,
        "resourceInUseByAnotherResource",
        f"The {kind} resource '{name}' is already being used by '{user}'",
    )


def not_ready(name: str) -> ApiError:
    """400 for a resource that is being changed."""
    return ApiError(400, "resourceNotReady", f"The resource '{name}' is not ready")


def obsolete(field: str, value: object, name: str, replacement: str) -> ApiError:
    """400 for an image that is OBSOLETE or DELETED, after Google's warning for a DEPRECATED one.

    https://cloud.google.com/compute/docs/images/deprecate-custom.
    """
    sentence = f"The resource '{name}' is obsolete."
    if replacement:
        sentence += f" A suggested replacement is '{replacement}'."
    return invalid_value(field, value, sentence)


def invalid_usage(sentence: str) -> ApiError:
    """400 for a request that contradicts itself or the resource's state.

    Two full stops, as https://github.com/hashicorp/terraform-provider-google/pull/1211 and
    https://github.com/ansible-collections/google.cloud/issues/378 quote it.

    Args:
        sentence: without a full stop.
    """
    return ApiError(400, "invalidResourceUsage", f"Invalid resource usage: '{sentence}.'.")


def unsupported(sentence: str) -> ApiError:
    """400 for what cannot be done in the state that a resource is in."""
    return ApiError(400, "UNSUPPORTED_OPERATION", sentence)


def stopping() -> ApiError:
    """503 while the sandbox stops; https://cloud.google.com/apis/design/errors#handling_errors."""
    return ApiError(
        503,
        "backendError",
        "The service is currently unavailable: the sandbox is stopping. Nothing was changed.",
        code="UNAVAILABLE",
    )


def stale(message: str) -> ApiError:
    """412 for a fingerprint that is not the current one."""
    return ApiError(412, "conditionNotMet", message)


def addresses_exhausted(pool: str) -> ApiError:
    """The error of an operation that found no free address; https://cloud.google.com/vpc/docs/subnets."""
    return ApiError(403, "IP_SPACE_EXHAUSTED", f"IP space of '{pool}' is exhausted.")


def forbidden(principal: Principal, missing: Sequence[Requirement]) -> ApiError:
    """403 that names each missing permission; 400 for a service account that may not be used.

    https://cloud.google.com/compute/docs/access/troubleshoot-compute-engine-permissions
    """
    first, *others = [_forbidden(principal, requirement) for requirement in missing]
    first.also = others
    return first


def _forbidden(principal: Principal, missing: Requirement) -> ApiError:
    if missing.permission == "iam.serviceAccounts.actAs":
        account = missing.resource.rpartition("/")[2]
        return ApiError(
            400,
            "SERVICE_ACCOUNT_ACCESS_DENIED",
            f"The user does not have access to service account '{account}'. User: "
            f"'{principal.email}'. Ask a project owner to grant you the iam.serviceAccountUser "
            "role on the service account",
        )
    return ApiError(
        403,
        "forbidden",
        f"Required '{missing.permission}' permission for '{missing.resource}'",
    )
