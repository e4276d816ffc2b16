# SPDX-License-Identifier: GPL-3.0-or-later
"""One lock a key, for as long as somebody holds it or waits for it."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary


class KeyedLocks:
    """Locks by key; those that nobody uses are forgotten."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, key: str) -> asyncio.Lock:
        """Return the lock of a key: `async with locks.of(key):`."""
        return self._locks.setdefault(key, asyncio.Lock())

    def is_held(self, key: str) -> bool:
        """Whether somebody holds the lock of a key."""
        return (lock := self._locks.get(key)) is not None and lock.locked()
