# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be set of a bucket, setting by setting.

https://cloud.google.com/storage/docs/json_api/v1/buckets#resource
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.storage import locations
from cloudspill_sandbox.storage.bucket_labels import checked_labels
from cloudspill_sandbox.storage.lifecycle_rules import SET_CLASS, checked_rules
from cloudspill_sandbox.storage.refusals import forbidden, invalid, unsupported
from cloudspill_sandbox.storage.timestamps import seconds_of, timestamp

DAY = 86400
UNIFORM_LOCK = 90 * DAY
"""Seconds until uniform access cannot be taken back.

https://cloud.google.com/storage/docs/uniform-bucket-level-access#should-you-use
"""

SOFT_DELETE = 7 * DAY
_LONGEST_SOFT_DELETE = 90 * DAY
_LONGEST_RETENTION = 3_155_760_000  # 100 years
_UNSUPPORTED = ("hierarchicalNamespace", "ipFilter", "objectRetention")


@dataclass(frozen=True, slots=True)
class Change:
    """One setting of a bucket that is made or changed.

    Attributes:
        wanted: the setting as it is to be; None for one that is not given.
        before: the setting as it was, None for none.
        bucket: name, location and location type.
        now: seconds since the epoch.
    """

    wanted: Any
    before: Any
    bucket: Document
    now: float


def checked_settings(wanted: Document, before: Document, bucket: Document, now: float) -> Document:
    """Return all settings of a bucket: those of `wanted`, and defaults for the rest.

    Args:
        wanted: every setting that the bucket is to have; more may be in it.
        before: the bucket as it was, empty for a new one.
        bucket: name, location and locationType.
        now: seconds since the epoch.

    Raises:
        ApiError: 400 for what cannot be, 403 for what may not be changed any more, 501 for what
            the sandbox does not have.
    """
    for name in _UNSUPPORTED:
        if _asks_for(wanted.get(name)):
            raise unsupported(f"{name} of a bucket")
    settings = {}
    for name, check in _SETTINGS.items():
        value = check(Change(wanted.get(name), before.get(name), bucket, now))
        if value not in (None, {}, []):
            settings[name] = value
    _check_together(settings)
    return settings


def _asks_for(value: Mapping[str, Any] | None) -> bool:
    return bool(value) and value not in ({"enabled": False}, {"mode": "Disabled"})


def _check_together(settings: Document) -> None:
    """Refuse settings that exclude one another."""
    if not settings.get("autoclass", {}).get("enabled"):
        return
    if settings["storageClass"] != locations.DEFAULT_CLASS:
        raise invalid("Invalid argument. With Autoclass, the storageClass is STANDARD.")
    rules = settings.get("lifecycle", {}).get("rule", [])
    if any(rule["action"]["type"] == SET_CLASS for rule in rules):
        raise invalid(f"Invalid argument. With Autoclass, no lifecycle rule has {SET_CLASS}.")


def _as_given(change: Change) -> Any:
    return change.wanted


def _autoclass(change: Change) -> Document | None:
    wanted, before = change.wanted, change.before or {}
    if not wanted:
        return None
    enabled = wanted.get("enabled", False)
    moment = timestamp(change.now)
    kept = enabled == before.get("enabled", False)
    result = {"enabled": enabled, "toggleTime": before.get("toggleTime") if kept else moment}
    result = {key: value for key, value in result.items() if value is not None}
    if not enabled:
        return result
    terminal = wanted.get("terminalStorageClass", "NEARLINE")
    if terminal not in ("NEARLINE", "ARCHIVE"):
        raise invalid("Invalid argument. The terminalStorageClass is NEARLINE or ARCHIVE.")
    same = terminal == before.get("terminalStorageClass")
    return result | {
        "terminalStorageClass": terminal,
        "terminalStorageClassUpdateTime": before["terminalStorageClassUpdateTime"]
        if same
        else moment,
    }


def _cors(change: Change) -> list[Document] | None:
    for index, entry in enumerate(change.wanted or []):
        if entry.get("maxAgeSeconds", 0) < 0:
            raise invalid(f"Invalid argument. cors[{index}].maxAgeSeconds is below 0.")
    return change.wanted  # type: ignore[no-any-return]


def _encryption(change: Change) -> None:
    if change.wanted:
        raise unsupported("encryption with keys of the customer (encryption of a bucket)")


def _iam_configuration(change: Change) -> Document:
    wanted, before = change.wanted or {}, change.before or {}
    prevention = wanted.get("publicAccessPrevention", "inherited")
    if prevention not in ("enforced", "inherited", "unspecified"):
        raise invalid(f"Invalid argument. '{prevention}' is no publicAccessPrevention.")
    return {
        "uniformBucketLevelAccess": _uniform_access(
            bool(wanted.get("uniformBucketLevelAccess", {}).get("enabled")),
            before.get("uniformBucketLevelAccess", {}),
            change.now,
        ),
        "publicAccessPrevention": "enforced" if prevention == "enforced" else "inherited",
    }


def _uniform_access(wanted: bool, before: Document, now: float) -> Document:
    if wanted:
        locked = before.get("lockedTime") or timestamp(now + UNIFORM_LOCK)
        return {"enabled": True, "lockedTime": locked}
    if before.get("enabled") and now >= seconds_of(before["lockedTime"]):
        raise invalid(
            "Invalid argument. Uniform bucket-level access cannot be disabled any more: it was "
            f"locked at {before['lockedTime']}."
        )
    return {"enabled": False}


def _labels(change: Change) -> Document:
    return dict(checked_labels(change.wanted or {}))


def _lifecycle(change: Change) -> Document | None:
    rules = checked_rules(change.wanted or {})
    return {"rule": rules} if rules else None


def _logging(change: Change) -> Document | None:
    if not change.wanted:
        return None
    if not change.wanted.get("logBucket"):
        raise invalid("Invalid argument. logging.logBucket is missing.")
    return {"logObjectPrefix": change.bucket["name"], **change.wanted}


def _retention_policy(change: Change) -> Document | None:
    before: Document = change.before or {}
    period = int((change.wanted or {}).get("retentionPeriod", 0))
    if before.get("isLocked") and period < int(before["retentionPeriod"]):
        doing = "reduce retention duration of" if change.wanted else "remove"
        raise forbidden(
            f"Cannot {doing} a locked Retention Policy for bucket '{change.bucket['name']}'."
        )
    if not change.wanted:
        return None
    if not 0 < period < _LONGEST_RETENTION:
        raise invalid("Invalid argument. A retentionPeriod is above 0 s and below 100 years.")
    if str(period) == before.get("retentionPeriod"):
        return before
    locked = {"isLocked": True} if before.get("isLocked") else {}
    return {"retentionPeriod": str(period), "effectiveTime": timestamp(change.now)} | locked


def _rpo(change: Change) -> str | None:
    kind = change.bucket["locationType"]
    wanted = change.wanted or "DEFAULT"
    if wanted not in ("ASYNC_TURBO", "DEFAULT") or (
        wanted == "ASYNC_TURBO" and kind != "dual-region"
    ):
        raise invalid(f"Invalid argument. A {kind} bucket has no rpo '{wanted}'.")
    return None if kind == "region" else str(wanted)


def _soft_delete_policy(change: Change) -> Document:
    before: Document = change.before or {}
    seconds = int((change.wanted or {}).get("retentionDurationSeconds", SOFT_DELETE))
    if seconds != 0 and not SOFT_DELETE <= seconds <= _LONGEST_SOFT_DELETE:
        raise invalid("Invalid argument. Soft delete lasts 7 to 90 days, or 0 s to be off.")
    if str(seconds) == before.get("retentionDurationSeconds"):
        return before
    effective = {"effectiveTime": timestamp(change.now)} if seconds else {}
    return {"retentionDurationSeconds": str(seconds)} | effective


def _storage_class(change: Change) -> str:
    return locations.checked_class(change.wanted or locations.DEFAULT_CLASS)


_SETTINGS: Mapping[str, Callable[[Change], Any]] = {
    "autoclass": _autoclass,
    "billing": _as_given,
    "cors": _cors,
    "defaultEventBasedHold": _as_given,
    "encryption": _encryption,
    "iamConfiguration": _iam_configuration,
    "labels": _labels,
    "lifecycle": _lifecycle,
    "logging": _logging,
    "retentionPolicy": _retention_policy,
    "rpo": _rpo,
    "softDeletePolicy": _soft_delete_policy,
    "storageClass": _storage_class,
    "versioning": _as_given,
    "website": _as_given,
}
