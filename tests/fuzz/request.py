# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests as they go over the wire, and their paths."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it goes over the wire.

    Attributes:
        method: id of the method that it is drawn from, "" for none.
        target: path and query, percent-encoded or not.
        anonymous: it carries the Authorization in `headers`, if any, and not the owner's.
    """

    method: str
    http_method: str
    host: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    anonymous: bool = False

    def __str__(self) -> str:
        """Return it in a line or two, long parts cut."""
        shown = f"{self.http_method} https://{self.host}{self.target[:300]}"
        for name, value in self.headers:
            shown += f"\n    {name}: {value[:80]!r}"
        return shown + (f"\n    {self.body[:600]!r}" if self.body else "")


def filled(template: str, choose: Callable[[str, str], str], before: str = "") -> str:
    """Return a path: its variables filled by what is chosen.

    Args:
        choose: gives a variable's value by its name and the path up to there.
        before: what the path begins with.
    """
    path = before
    for part in re.split(r"(\{[^}]+\})", template):
        path += choose(part.strip("{+}"), path) if part.startswith("{") else part
    return path
