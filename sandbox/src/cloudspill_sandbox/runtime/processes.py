# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that are not our children, watched in the event loop without polling."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal


class WatchedProcess:
    """A handle on one process that its id's later owners cannot be mistaken for.

    Args:
        pid: process id; may have ended.
    """

    def __init__(self, pid: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._descriptor = -1
        try:
            self._descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            self._ended.set()
        else:
            self._loop.add_reader(self._descriptor, self._note_end)

    async def wait(self) -> None:
        """Return when it has ended."""
        await self._ended.wait()

    def send(self, number: int) -> None:
        """Send a signal; no error when it has ended."""
        if self._descriptor >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, number)

    def _note_end(self) -> None:
        self.close()
        self._ended.set()

    def close(self) -> None:
        """Let go of the process."""
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
