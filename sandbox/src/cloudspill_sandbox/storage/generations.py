# SPDX-License-Identifier: GPL-3.0-or-later
"""Generation numbers of objects and buckets: microseconds since the epoch, never one twice.

https://cloud.google.com/storage/docs/metadata#generation-number
"""

from __future__ import annotations

from collections.abc import Callable

from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.storage.names import BUCKETS


class Generations:
    """Gives numbers above all that the store has, whatever happened to the clock."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._clock = clock
        collections = [store.children(BUCKETS)]
        for kind in ("objects", "generations"):
            collections += (documents for _, documents in store.collections(BUCKETS, kind))
        self._last = max(
            (int(each["generation"]) for documents in collections for each in documents.values()),
            default=0,
        )

    def next(self) -> str:
        """Return a new number, as the decimal string of the API."""
        self._last = max(self._last + 1, int(self._clock() * 1_000_000))
        return str(self._last)
