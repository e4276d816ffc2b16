# SPDX-License-Identifier: GPL-3.0-or-later
"""Which names a bucket may have. https://cloud.google.com/storage/docs/buckets#naming"""

from __future__ import annotations

import ipaddress
import re

from cloudspill_sandbox.engine.errors import required_parameter
from cloudspill_sandbox.storage.refusals import invalid

_CHARACTERS = re.compile(r"[a-z0-9][a-z0-9._-]*[a-z0-9]", re.ASCII)
_GOOGLE = re.compile(r"g[o0]{2}g[l1][e3]", re.ASCII)
_LONGEST_COMPONENT = 63
_LONGEST = 222


def check_bucket_name(name: str | None) -> str:
    """Return a name that a bucket may have.

    Whether a domain belongs to the caller, which Google wants proven for names with dots, is not
    asked.

    Raises:
        ApiError: 400 in Google's words.
    """
    if not name:
        raise required_parameter("name")
    if not _is_valid(name):
        raise invalid(f"Invalid bucket name: '{name}'")
    return name


def _is_valid(name: str) -> bool:
    longest = _LONGEST if "." in name else _LONGEST_COMPONENT
    return (
        3 <= len(name) <= longest
        and _CHARACTERS.fullmatch(name) is not None
        and all(0 < len(part) <= _LONGEST_COMPONENT for part in name.split("."))
        and not any(pair in name for pair in (".-", "-."))
        and not name.startswith("goog")
        and _GOOGLE.search(name) is None
        and not _is_address(name)
    )


def _is_address(name: str) -> bool:
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return re.fullmatch(r"\d+\.\d+\.\d+\.\d+", name) is not None
    return True
