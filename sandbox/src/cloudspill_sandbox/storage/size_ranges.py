# SPDX-License-Identifier: GPL-3.0-or-later
"""How large an upload may be, where the request says so: whoever signs a URL limits its users.

https://cloud.google.com/storage/docs/xml-api/reference-headers#xgoogcontentlengthrange
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from cloudspill_sandbox.storage.refusals import too_large, too_small

_HEADER = re.compile(r"\s*(\d{1,19})\s*,\s*(\d{1,19})\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class SizeRange:
    """The sizes that are taken, in bytes, both included."""

    smallest: int = 0
    largest: int = 2**63 - 1

    def check_so_far(self, size: int) -> None:
        """Refuse what is too large already. Raises ApiError 400."""
        if size > self.largest:
            raise too_large()

    def check(self, size: int) -> None:
        """Refuse a size outside the range. Raises ApiError 400."""
        self.check_so_far(size)
        if size < self.smallest:
            raise too_small()


def size_range(headers: Mapping[str, str]) -> SizeRange:
    """Return the range in the headers of a request; every size where it says none, or no range."""
    match = _HEADER.fullmatch(headers.get("X-Goog-Content-Length-Range", ""))
    return SizeRange(int(match[1]), int(match[2])) if match else SizeRange()
