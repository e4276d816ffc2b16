# SPDX-License-Identifier: GPL-3.0-or-later
"""Who waits for which document to change: the metadata server's `wait_for_change`."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any


class Watchers:
    """Waiters by document name; each is woken once, and a sleeping one costs one future."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    def changed(self, documents: Iterable[str]) -> Coroutine[Any, Any, None]:
        """Return what to await for a change of any of these; counts from this call on."""
        watched = tuple(documents)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for name in watched:
            self._waiting.setdefault(name, set()).add(future)
        return self._wait(watched, future)

    def wake(self, document: str) -> None:
        """Wake everyone who waits for this document."""
        for future in self._waiting.get(document, ()):
            if not future.done():
                future.set_result(None)

    async def _wait(self, watched: tuple[str, ...], future: asyncio.Future[None]) -> None:
        try:
            await future
        finally:
            for name in watched:
                waiting = self._waiting[name]
                waiting.discard(future)
                if not waiting:
                    del self._waiting[name]
