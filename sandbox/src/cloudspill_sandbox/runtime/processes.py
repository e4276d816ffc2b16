# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that are not our children, watched in the event loop without polling."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

_STATE, _START_TIME = 0, 19
"""Places after the command in /proc/PID/stat:
https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html"""


@dataclass(frozen=True, slots=True)
class ProcessId:
    """Which process, for as long as the kernel runs: ids are given again, these pairs are not.

    Attributes:
        pid: process id.
        born: clock ticks from the kernel's start to the process's; 0 for one that had ended
            before it was asked for.
    """

    pid: int
    born: int

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        """Return which process has an id now."""
        fields = _fields_of(pid)
        return cls(pid, int(fields[_START_TIME]) if fields else 0)

    def exists(self) -> bool:
        """Whether the process has not ended; one that waits to be reaped has."""
        fields = _fields_of(self.pid)
        return bool(fields) and fields[_STATE] not in "ZX" and self.born == int(fields[_START_TIME])


def _fields_of(pid: int) -> list[str]:
    """Return what /proc/PID/stat has after the command; nothing where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


class WatchedProcess:
    """A handle on one process that its id's later owners cannot be mistaken for.

    Args:
        process: may have ended.
    """

    def __init__(self, process: ProcessId) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._descriptor = -1
        try:
            self._descriptor = os.pidfd_open(process.pid)
        except ProcessLookupError:
            self._ended.set()
            return
        if process.exists():  # asked after the descriptor was opened: it is this one's
            self._loop.add_reader(self._descriptor, self._note_end)
        else:
            os.close(self._descriptor)
            self._descriptor = -1
            self._ended.set()

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
