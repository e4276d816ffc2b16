# SPDX-License-Identifier: GPL-3.0-or-later
"""The cloud's time: the host's, which can be set ahead so that a test need not wait for hours.

All that the cloud itself dates and ends goes by it: documents, operations, access tokens, limited
run times. What others date or check with a clock of their own stays on the host's time: assertions
that clients sign, identity tokens that anybody verifies, TLS certificates.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from cloudspill_sandbox.engine.store import Store

_DOCUMENT = "clock/offset"

_LATEST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
"""RFC 3339, in which every time is written, ends with the year 9999."""

_LONGEST_SLEEP = 60.0
"""Seconds; a host whose own clock was set, or that was suspended, is noticed after that long."""


class Clock:
    """Returns seconds since the epoch when called, as `time.time`.

    How far it is ahead is kept in the store: a sandbox that starts again never steps back.

    Args:
        host: the host's clock, seconds since the epoch.
    """

    def __init__(self, store: Store, host: Callable[[], float] = time.time) -> None:
        self._store = store
        self._host = host
        self._offset = float((store.get(_DOCUMENT) or {"seconds": 0.0})["seconds"])
        self._waiting: set[asyncio.Future[None]] = set()

    def __call__(self) -> float:
        """Return the time now."""
        return self._host() + self._offset

    @property
    def offset(self) -> float:
        """Seconds by which it is ahead of the host's."""
        return self._offset

    def advance(self, seconds: float) -> float:
        """Set it ahead, and wake whoever waits for a time; return how far it is ahead now.

        Raises:
            ValueError: it would stand still or go back, or pass the year 9999; nothing changed.
        """
        if not seconds > 0:
            raise ValueError(f"the clock only goes forward: {seconds:g} s is not a step ahead")
        if not (math.isfinite(seconds) and self() + seconds < _LATEST):
            raise ValueError(f"the clock cannot pass the year 9999: {seconds:g} s is too far")
        self._store.put(_DOCUMENT, {"seconds": self._offset + seconds})
        self._offset += seconds
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        return self._offset

    async def reached(self, moment: float, *events: asyncio.Event) -> None:
        """Return when it is `moment` by waiting or by `advance`, or when one of the events is set.

        Args:
            moment: seconds since the epoch; `math.inf` is never.
        """
        waits = {asyncio.ensure_future(event.wait()) for event in events}
        waits.add(asyncio.ensure_future(self._passed(moment)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _passed(self, moment: float) -> Literal[True]:
        while (left := moment - self()) > 0:
            await self.advanced(min(left, _LONGEST_SLEEP))
        return True

    async def advanced(self, within: float | None = None) -> None:
        """Return at the next `advance`, or after `within` seconds of the host's time."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await asyncio.wait({waiting}, timeout=within)
        finally:
            self._waiting.discard(waiting)
            waiting.cancel()
