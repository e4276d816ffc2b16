# SPDX-License-Identifier: GPL-3.0-or-later
"""Features of instances that are kept and mean nothing here, and those that are refused.

What an instance could not do here though its document says so is refused by name; the rest is
shown as it was asked for. https://cloud.google.com/compute/docs/reference/rest/v1/instances
"""

from __future__ import annotations

from cloudspill_sandbox.compute import documents, refusals
from cloudspill_sandbox.engine.call import Document

_UNSUPPORTED = (
    "guestAccelerators",
    "instanceEncryptionKey",
    "localSsdEncryptionMode",
    "params",
    "resourceManagerTags",
    "resourcePolicies",
    "sourceMachineImage",
    "sourceMachineImageEncryptionKey",
    "workloadIdentityConfig",
)
_UNSUPPORTED_IN = {
    "advancedMachineFeatures": ("enableNestedVirtualization",),
    "confidentialInstanceConfig": (
        "confidentialInstanceType",
        "confidentialParavisorConfig",
        "enableConfidentialCompute",
    ),
    "reservationAffinity": ("key", "values"),
}
_ALLOWED_IN = {
    "networkPerformanceConfig": ("totalEgressBandwidthTier", ("DEFAULT",)),
    "reservationAffinity": ("consumeReservationType", ("ANY_RESERVATION", "NO_RESERVATION")),
}
_KEPT = (
    "advancedMachineFeatures",
    "confidentialInstanceConfig",
    "keyRevocationActionType",
    "networkPerformanceConfig",
    "privateIpv6GoogleAccess",
    "reservationAffinity",
)


def checked(field: str, body: Document) -> Document:
    """Return those features of an Instance or InstanceProperties that are only kept.

    Args:
        field: its name in the request, for the refusal.

    Raises:
        ApiError: 400 that names what the sandbox does not have.
    """
    refusals.check_supported(field, body, *_UNSUPPORTED)
    refusals.check_one_of(field, body, "privateIpv6GoogleAccess", "INHERIT_FROM_SUBNETWORK")
    for key, unsupported in _UNSUPPORTED_IN.items():
        refusals.check_supported(f"{field}.{key}", body.get(key) or {}, *unsupported)
    for key, (inner, allowed) in _ALLOWED_IN.items():
        refusals.check_one_of(f"{field}.{key}", body.get(key) or {}, inner, *allowed)
    return documents.given(body, *_KEPT)
