# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs of remote runs come home in portions that are asked for one after another.

So a VM that writes faster than home can take fills neither a memory nor the stream on which its
ticks come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from cloudspill_monitor.burst.frames import LogData
from cloudspill_monitor.burst.link_error import LinkError
from cloudspill_monitor.burst.remote_logs import RemoteLog

PORTION = 256 * 1024  # bytes that are asked for at once
_PACE = 0.1  # seconds between two portions of a run, at least
LOOK_AGAIN = 5.0

Ask = Callable[[int, int, int], Awaitable[object]]
Tell = Callable[[int, list[str]], object]


class LogFollower:
    """The logs that one stream brings home.

    `ask(run, offset, most)` requests that many bytes and raises LinkError; `tell(run, lines)` is
    given whole lines, in order, none twice. What failed (a refused request, a gap, a full disk) is
    tried again after `look_again` seconds.
    """

    def __init__(self, ask: Ask, tell: Tell, look_again: float = LOOK_AGAIN) -> None:
        self._ask = ask
        self._tell = tell
        self._look_again = look_again
        self._followed: dict[int, _Followed] = {}
        self._connected = asyncio.Event()

    def follow(self, run: int, log: RemoteLog) -> None:
        """Bring `run`'s log home into `log`, over every connection from now on."""
        if run not in self._followed:
            followed = self._followed[run] = _Followed(log, self._look_again)
            followed.task = asyncio.create_task(self._fetch(run, followed))

    def unfollow(self, run: int) -> None:
        """Bring no more of it home; the rest of an unfinished line is told."""
        followed = self._followed.pop(run, None)
        if followed is None:
            return
        if followed.task is not None:
            followed.task.cancel()
        if rest := followed.log.finish():
            self._tell(run, rest)

    async def close(self) -> None:
        """Follow nothing any more."""
        tasks = [f.task for f in self._followed.values() if f.task is not None]
        for run in list(self._followed):
            self.unfollow(run)
        await asyncio.gather(*tasks, return_exceptions=True)

    def connected(self) -> None:
        """A stream is there: ask for everything anew."""
        self._connected.set()

    def disconnected(self) -> None:
        """The stream is gone, and what was asked for with it."""
        self._connected.clear()
        for followed in self._followed.values():
            followed.stir.set()

    def take(self, frame: LogData) -> None:
        """Bytes came."""
        followed = self._followed.get(frame["run"])
        if followed is None:
            return  # it was on its way when nobody asked for it any more
        lines = followed.log.take(frame["offset"], frame["data"])
        followed.came = max(followed.came, frame["offset"] + len(frame["data"]))
        if followed.came >= followed.asked_to:
            followed.stir.set()
        followed.grown.set()
        if lines:
            self._tell(frame["run"], lines)

    async def home(self, run: int, size: int) -> None:
        """Wait until the first `size` bytes of the log are home, and safe.

        Raises LinkError for a run that is not followed, OSError.
        """
        followed = self._followed.get(run)
        if followed is None:
            raise LinkError("failed", f"the log of run {run} is not followed")
        while followed.log.size < size:
            followed.grown.clear()
            await followed.grown.wait()
        if size:
            await asyncio.to_thread(followed.log.sync)

    async def _fetch(self, run: int, followed: _Followed) -> None:
        while True:
            await self._connected.wait()
            followed.begin_portion(asyncio.get_running_loop().time())
            try:
                await self._ask(run, followed.came, PORTION)
            except LinkError:
                await asyncio.sleep(self._look_again if self._connected.is_set() else _PACE)
                continue
            while not followed.stir.is_set() and followed.in_step:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._look_again):
                        await followed.stir.wait()
            await asyncio.sleep(_PACE)


class _Followed:
    """A run's log, and how far it was asked for.

    `stir` is set when the next portion should be asked for, `grown` when bytes came.
    """

    def __init__(self, log: RemoteLog, look_again: float) -> None:
        self.log = log
        self.task: asyncio.Task[None] | None = None
        self.came = 0
        self.asked_to = 0
        self.stir = asyncio.Event()
        self.grown = asyncio.Event()
        self._look_again = look_again
        self._retry_at = 0.0

    def begin_portion(self, now: float) -> None:
        """The next one begins where the file ends, or, if that cannot be written, after the lines.

        The file is tried from time to time.
        """
        if self.log.failing and now >= self._retry_at:
            self._retry_at = now + self._look_again
            self.log.try_again()
        self.stir.clear()
        self.came = self.log.resume_offset
        self.asked_to = self.came + PORTION

    @property
    def in_step(self) -> bool:
        """Whether the file is as long as what came; not if it could not be written, or was cut."""
        return not self.log.failing and self.log.resume_offset == self.came
