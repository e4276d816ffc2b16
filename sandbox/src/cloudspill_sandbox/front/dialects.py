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
    """

    anonymous: bool = False


DIALECTS: Mapping[str, Dialect] = MappingProxyType({"storage": Dialect(anonymous=True)})
"""By the API's name."""

DEFAULT = Dialect()
