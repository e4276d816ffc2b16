# SPDX-License-Identifier: GPL-3.0-or-later
"""In what APIs differ though their discovery documents do not say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Dialect:
    """How an API speaks.

    Attributes:
        anonymous: whether callers without credentials get as far as the IAM check.
        error_items: whether refusals list their reasons in `errors`, as older APIs do; without,
            they are a google.rpc.Status (https://google.aip.dev/193).
    """

    anonymous: bool = False
    error_items: bool = False


DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        "compute": Dialect(error_items=True),
        "storage": Dialect(anonymous=True, error_items=True),
    }
)
"""By the API's name."""

DEFAULT = Dialect()
UNROUTED = Dialect(error_items=True)
"""Of paths that belong to no API."""
