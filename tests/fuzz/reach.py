# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a campaign got: which methods were carried out, only refused, or never called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reach:
    """What became of the methods of an API, each in one of the lists.

    Attributes:
        carried_out: at least once (2xx).
        refused: called, and refused each time.
        declared: called, and each time said not to be implemented (501).
        never: not called.
    """

    carried_out: tuple[str, ...]
    refused: tuple[str, ...]
    declared: tuple[str, ...]
    never: tuple[str, ...]


def reach(
    implemented: Mapping[str, Sequence[str]], answered: Mapping[str, Counter[int]]
) -> dict[str, Reach]:
    """Return how far a campaign got, by API.

    Args:
        implemented: ids of methods, by API.
        answered: how often each was answered, by status.
    """
    found = {}
    for api, methods in implemented.items():
        lists: dict[str, list[str]] = {"2xx": [], "4xx": [], "501": [], "": []}
        for method in methods:
            lists[_word(answered.get(method, Counter()))].append(method)
        found[api] = Reach(*(tuple(names) for names in lists.values()))
    return found


def _word(statuses: Counter[int]) -> str:
    if not statuses:
        return ""
    if any(status < 300 for status in statuses):
        return "2xx"
    return "501" if set(statuses) == {501} else "4xx"
