# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of Object Lifecycle Management: which may be set, and what they are about.

https://cloud.google.com/storage/docs/lifecycle
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any

from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.storage.locations import STORAGE_CLASSES
from cloudspill_sandbox.storage.refusals import invalid, unsupported

MAX_RULES = 100
ABORT = "AbortIncompleteMultipartUpload"
DELETE = "Delete"
SET_CLASS = "SetStorageClass"

_DATES = ("createdBefore", "customTimeBefore", "noncurrentTimeBefore")
_COUNTS = ("age", "daysSinceCustomTime", "daysSinceNoncurrentTime", "numNewerVersions")
_AFFIXES = ("matchesPrefix", "matchesSuffix")
_OF_UPLOADS = frozenset({"age", *_AFFIXES})
_MAX_AFFIXES = 1000
_MAX_AFFIX = 1024


def checked_rules(lifecycle: Mapping[str, Any]) -> list[Document]:
    """Return the rules of a bucket's `lifecycle` field.

    Raises:
        ApiError: 400 for rules that Google does not take. Google says no more than
            "Invalid argument."; the sentence here goes on.
    """
    rules: list[Document] = lifecycle.get("rule", [])
    if len(rules) > MAX_RULES:
        raise _refusal(f"A bucket has at most {MAX_RULES} lifecycle rules, not {len(rules)}.")
    return [_checked(rule, f"lifecycle.rule[{index}]") for index, rule in enumerate(rules)]


def _checked(rule: Document, where: str) -> Document:
    action = rule.get("action", {})
    condition = {key: value for key, value in rule.get("condition", {}).items() if value != []}
    if not condition:
        raise _refusal(f"{where} has no condition.")
    action = _checked_action(action, where)
    if action["type"] == ABORT and not condition.keys() <= _OF_UPLOADS:
        names = ", ".join(sorted(condition.keys() - _OF_UPLOADS))
        raise _refusal(f"{where}: {ABORT} has no condition {names}.")
    for key, value in condition.items():
        _check_condition(key, value, f"{where}.condition.{key}")
    return {"action": action, "condition": condition}


def _checked_action(action: Mapping[str, Any], where: str) -> Document:
    kind, target = action.get("type"), action.get("storageClass")
    if kind not in (ABORT, DELETE, SET_CLASS):
        raise _refusal(f"{where}: '{kind or ''}' is no type of action.")
    if (kind == SET_CLASS) != (target is not None):
        raise _refusal(f"{where}: {SET_CLASS} alone names a storageClass, and must.")
    if target is None:
        return {"type": kind}
    return {"type": kind, "storageClass": _known_class(target, where)}


def _check_condition(key: str, value: Any, where: str) -> None:
    if key == "matchesPattern":
        raise unsupported("the lifecycle condition matchesPattern, which few projects may use,")
    check = _CHECKS.get(key)
    if check is not None:
        check(value, where)


def _check_date(value: str, where: str) -> None:
    try:
        datetime.datetime.strptime(value, "%Y-%m-%d")  # noqa: DTZ007 - a date has no zone
    except ValueError:
        raise _refusal(f"{where}: '{value}' is no date such as 2026-01-31.") from None


def _check_count(value: int, where: str) -> None:
    if value < 0:
        raise _refusal(f"{where}: {value} is below 0.")


def _check_size(value: str, where: str) -> None:
    _check_count(int(value), where)


def _check_affixes(values: list[str], where: str) -> None:
    if len(values) > _MAX_AFFIXES:
        raise _refusal(f"{where} has more than {_MAX_AFFIXES} values.")
    if any(not 0 < len(value.encode()) <= _MAX_AFFIX for value in values):
        raise _refusal(f"{where}: a value has between 1 and {_MAX_AFFIX} bytes.")


def _check_classes(values: list[str], where: str) -> None:
    for value in values:
        _known_class(value, where)


def _known_class(name: str, where: str) -> str:
    if name not in STORAGE_CLASSES:
        raise _refusal(f"{where}: '{name}' is no storage class.")
    return name


_CHECKS: Mapping[str, Callable[[Any, str], None]] = {
    **dict.fromkeys(_DATES, _check_date),
    **dict.fromkeys(_COUNTS, _check_count),
    **dict.fromkeys(_AFFIXES, _check_affixes),
    "matchesStorageClass": _check_classes,
    "sizeAboveBytes": _check_size,
    "sizeBelowBytes": _check_size,
}


def _refusal(detail: str) -> ApiError:
    return invalid(f"Invalid argument. {detail}")
