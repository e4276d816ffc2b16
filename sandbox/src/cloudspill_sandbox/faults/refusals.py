# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors that faults raise, in Google's words.

Forms: https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-using-http-errors,
https://cloud.google.com/compute/docs/resource-error, https://cloud.google.com/compute/api-quota;
wording as clients' public issue trackers quote it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from types import MappingProxyType

from cloudspill_sandbox.engine.call import Call
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.faults.order import Order

_QUOTAS = {
    "instances": ("CPUS", "cpus", 24.0),
    "disks": ("DISKS_TOTAL_GB", "disks_total_storage", 4096.0),
    "snapshots": ("SNAPSHOTS", "snapshots", 5000.0),
    "images": ("IMAGES", "images", 2000.0),
    "firewalls": ("FIREWALLS", "firewalls", 100.0),
    "networks": ("NETWORKS", "networks", 5.0),
    "subnetworks": ("SUBNETWORKS", "subnetworks", 100.0),
    "addresses": ("STATIC_ADDRESSES", "static_addresses", 8.0),
}
"""Metric, its name in Cloud Quotas, and a new project's limit, by the collection that has it."""


def quota(call: Call, _: Order) -> ApiError:
    """403 at once: `Quota 'CPUS' exceeded.  Limit: 24.0 in region us-west1.`"""
    metric, _name, limit = _QUOTAS.get(call.method.split(".")[-2], _QUOTAS["instances"])
    region = call.path.get("region") or call.path.get("zone", "").rpartition("-")[0]
    return ApiError(403, "quotaExceeded", _quota_sentence(metric, limit, region))


def rate_limit(call: Call, order: Order) -> ApiError:
    """403 as Compute Engine sends it, or 429 as others do; the reason is rateLimitExceeded.

    https://cloud.google.com/storage/docs/json_api/v1/status-codes#429_Too_Many_Requests
    """
    api = call.method.partition(".")[0]
    service = f"{api}.googleapis.com"
    status = order.status or (403 if api == "compute" else 429)
    return ApiError(
        status,
        "rateLimitExceeded",
        "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute' of service "
        f"'{service}' for consumer 'projects/{call.path.get('project', '-')}'.",
        code="RESOURCE_EXHAUSTED" if status == 429 else None,
        details=[
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "RATE_LIMIT_EXCEEDED",
                "domain": "googleapis.com",
                "metadata": {"service": service},
            }
        ],
    )


def unavailable() -> ApiError:
    """503; https://cloud.google.com/apis/design/errors#handling_errors."""
    return ApiError(
        503, "backendError", "The service is currently unavailable.", code="UNAVAILABLE"
    )


def given(_: Call, order: Order) -> ApiError:
    """What the order itself says."""
    error = order.given_error()
    assert error is not None, "parse() requires it of this kind"
    return error


REFUSALS: Mapping[str, Callable[[Call, Order], ApiError]] = MappingProxyType(
    {
        "quota": quota,
        "rate-limit": rate_limit,
        "unavailable": lambda _call, _order: unavailable(),
        "unreachable": lambda _call, _order: unavailable(),
        "error": given,
    }
)
"""How a call is refused, by the kind of fault."""


def stock_out(target: str, machine_type: str) -> ApiError:
    """The error of an operation in a zone that has no machines left.

    Args:
        target: relative name of a zonal resource.
        machine_type: `e2-micro`, "" where the target has none.
    """
    zone = _zone(target)
    what = f"{machine_type} VM instance" if machine_type else "resource"
    return ApiError(
        503,
        "ZONE_RESOURCE_POOL_EXHAUSTED",
        f"The zone '{'/'.join(target.split('/')[:4])}' does not have enough resources available "
        "to fulfill the request.  Try a different zone, or try again later.",
        details=[
            {
                "help": {
                    "links": [
                        {
                            "description": "Troubleshooting documentation",
                            "url": "https://cloud.google.com/compute/docs/resource-error",
                        }
                    ]
                }
            },
            {
                "localizedMessage": {
                    "locale": "en-US",
                    "message": f"A {what} is currently unavailable in the {zone} zone. Try another "
                    "zone or machine type, or the same request later; see the troubleshooting "
                    "documentation.",
                }
            },
            {
                "errorInfo": {
                    "reason": "resource_availability",
                    "domain": "compute.googleapis.com",
                    "metadatas": {
                        "zone": zone,
                        "vmType": machine_type,
                        "attachment": "",
                        "zonesAvailable": "",
                    },
                }
            },
        ],
    )


def operation_quota(target: str) -> ApiError:
    """The error of an operation that meets a quota: https://cloud.google.com/compute/quotas."""
    metric, name, limit = _QUOTAS.get(target.split("/")[-2], _QUOTAS["instances"])
    region = _zone(target).rpartition("-")[0]
    return ApiError(
        403,
        "QUOTA_EXCEEDED",
        _quota_sentence(metric, limit, region),
        details=[
            {
                "quotaInfo": {
                    "metricName": f"compute.googleapis.com/{name}",
                    "limitName": f"{metric.replace('_', '-')}-per-project"
                    + ("-region" if region else ""),
                    "dimensions": {"region": region or "global"},
                    "limit": limit,
                }
            }
        ],
    )


def internal() -> ApiError:
    """The error of an operation that failed for reasons Google keeps to itself."""
    code = secrets.token_hex(7).upper()
    return ApiError(
        500,
        "INTERNAL_ERROR",
        f"Internal error. Please try again or contact Google Support. (Code: '{code}')",
    )


_HOLDERS = frozenset({"project", "zone", "region", "bucket"})
"""Path parameters that say where a resource is."""


def resource_of(call: Call) -> str:
    """Return the relative name of what a call is about, as far as its path says."""
    collection = call.method.split(".")[-2]
    parts: list[str] = []
    for parameter, value in call.path.items():
        if value.startswith("projects/"):  # some APIs have it whole
            parts.append(value)
        else:
            parts += [f"{parameter}s" if parameter in _HOLDERS else collection, value]
    if isinstance(name := call.body.get("name") or call.query.get("name"), str):
        parts += [collection, name]
    return "/".join(parts)


def _zone(target: str) -> str:
    segments = target.split("/")
    return segments[3] if len(segments) > 3 and segments[2] == "zones" else ""


def _quota_sentence(metric: str, limit: float, region: str) -> str:
    place = f"in region {region}" if region else "globally"
    return f"Quota '{metric}' exceeded.  Limit: {limit} {place}."
