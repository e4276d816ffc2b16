# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON Merge Patch (RFC 7396), which PATCH means in Google's APIs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merged(current: Any, patch: Any) -> Any:
    """Return a value as a patch changes it: null removes, objects merge, the rest replaces.

    In the elements of a list, which is replaced as a whole, null is "not set".
    """
    if isinstance(patch, list):
        return [merged(None, element) for element in patch]
    if not isinstance(patch, Mapping):
        return patch
    result = dict(current) if isinstance(current, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result
