# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bodies of setLabels, setTags and setMetadata that leave alone what others have set.

Each function takes a resource as it is, and returns the body under its fingerprint, or None where
nothing is to change; see revision.revise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Document = dict[str, Any]

SSH_KEYS = "ssh-keys"
"""One key a line, as https://cloud.google.com/compute/docs/connect/add-ssh-keys has it."""


def label_change(resource: Document, wanted: Mapping[str, Any]) -> Document | None:
    """Return what setLabels takes so that a resource has these labels too."""
    current = resource.get("labels") or {}
    labels = {key: str(value) for key, value in wanted.items()}
    if labels.items() <= current.items():
        return None
    return {"labels": {**current, **labels}, "labelFingerprint": resource.get("labelFingerprint")}


def tag_change(instance: Document, wanted: Sequence[str]) -> Document | None:
    """Return what setTags takes so that an instance has exactly these tags."""
    tags = instance.get("tags") or {}
    if sorted(tags.get("items") or []) == sorted(wanted):
        return None
    return {"items": sorted(wanted), "fingerprint": tags.get("fingerprint")}


def metadata_change(instance: Document, wanted: Mapping[str, Any]) -> Document | None:
    """Return what setMetadata takes; a value of None removes its key."""
    current = items_of(instance)
    changed = metadata_changes(current, wanted)
    if not changed:
        return None
    merged = {**current, **changed}
    return {
        "items": [{"key": k, "value": v} for k, v in merged.items() if v is not None],
        "fingerprint": (instance.get("metadata") or {}).get("fingerprint"),
    }


def metadata_changes(current: Mapping[str, str], wanted: Mapping[str, Any]) -> Document:
    """Return what has to become of which keys, sorted; None stands for a key that goes.

    Lines of ssh keys are added to those that are there.
    """
    after = {key: None if value is None else str(value) for key, value in wanted.items()}
    keys = after.get(SSH_KEYS)
    if keys is not None:
        after[SSH_KEYS] = _with_lines(current.get(SSH_KEYS), keys)
    return {key: after[key] for key in sorted(after) if after[key] != current.get(key)}


def items_of(instance: Document) -> dict[str, str]:
    """Return the metadata of an instance document as a mapping."""
    items = (instance.get("metadata") or {}).get("items") or []
    return {item["key"]: item.get("value", "") for item in items}


def lines_of(value: str | None) -> list[str]:
    """Return the keys in a value of `ssh-keys`."""
    return [line.strip() for line in (value or "").splitlines() if line.strip()]


def _with_lines(current: str | None, wanted: str) -> str:
    present = lines_of(current)
    missing = [line for line in dict.fromkeys(lines_of(wanted)) if line not in present]
    if current is not None and not missing:
        return current
    return "\n".join(present + missing)
