# SPDX-License-Identifier: GPL-3.0-or-later
"""The ssh process that carries a VM's stream, in a process group of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress

_REMOTE = ("sudo", "-n", "/usr/local/bin/cloudspill-burst", "stream")
# Before the command's own options: ssh takes the first value that it is given for each. A shared
# master would tie the stream's life to that of a playbook's connections.
_OPTIONS = (
    "-T",
    *("-o", "BatchMode=yes"),
    *("-o", "ClearAllForwardings=yes"),
    *("-o", "ConnectTimeout=10"),
    *("-o", "ControlMaster=no"),
    *("-o", "ControlPath=none"),
    *("-o", "LogLevel=ERROR"),
    *("-o", "ServerAliveCountMax=3"),
    *("-o", "ServerAliveInterval=2"),
)
_MOST_UNSENT = 64 * 1024  # bytes; all that is ever sent to a VM are small requests
_MOST_WORDS = 2000  # characters of the process's stderr that are kept
_LAST_WORDS = 1.0  # seconds for a process whose output has ended to tell why
_MOVE_MARK = "CLOUDSPILL_MOVE"  # what carries it is ended with its playbook; the stream is not


class StreamProcess:
    """A started ssh, until :meth:`end`, which must be called whatever happens.

    Not asyncio's subprocess: cancelled while it starts, that kills ssh alone and then waits for
    whatever else holds its pipes.
    """

    def __init__(self, process: subprocess.Popen[bytes], most_line: int) -> None:
        self._process = process
        self._unconnected = [process.stdin, process.stderr, process.stdout]  # the last is first
        self._output = asyncio.StreamReader(limit=most_line)
        self._errors = asyncio.StreamReader()
        self._reading: list[asyncio.ReadTransport] = []
        self._input: asyncio.WriteTransport | None = None
        self._words = ""
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, ssh_command: Sequence[str], most_line: int) -> StreamProcess:
        """Start `ssh_command` with the options and the remote command it needs. Raises OSError."""
        started = cls(
            subprocess.Popen(  # noqa: ASYNC220 - it is not waited for here
                (ssh_command[0], *_OPTIONS, *ssh_command[1:], *_REMOTE),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={name: value for name, value in os.environ.items() if name != _MOVE_MARK},
                start_new_session=True,
                bufsize=0,
            ),
            most_line,
        )
        try:
            await started._connect()
        except BaseException:
            await started.end()
            raise
        return started

    async def line(self) -> bytes:
        """The next line with its end; without one at the end of the output.

        Raises ValueError for a line that is too long.
        """
        return await self._output.readline()

    def send(self, data: bytes) -> bool:
        """Hand `data` over without waiting; False when it does not take what it is given."""
        pipe = self._input
        if pipe is None or pipe.is_closing() or pipe.get_write_buffer_size() > _MOST_UNSENT:
            return False
        pipe.write(data)
        return True

    async def last_words(self) -> str:
        """Why its output has ended."""
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, _LAST_WORDS)
        await asyncio.wait([self._listening], timeout=_LAST_WORDS)
        status = self._process.returncode
        ended = "the stream has ended" if status is None else f"ssh ended with status {status}"
        return f"{ended}: {self._words.strip()}" if self._words.strip() else ended

    async def end(self) -> None:
        """Kill it with all that it has started, and reap it."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._listening.cancel()
        for output in self._reading:
            output.close()
        if self._input is not None and not self._input.is_closing():
            self._input.abort()  # what is unsent would keep it open
        for pipe in self._unconnected:
            if pipe is not None:
                pipe.close()
        await asyncio.to_thread(self._process.wait)
        await asyncio.wait([self._listening])

    async def _connect(self) -> None:
        await self._connect_output(self._output)
        await self._connect_output(self._errors)
        loop, pipe = asyncio.get_running_loop(), self._unconnected.pop()
        self._input, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, pipe)

    async def _connect_output(self, reader: asyncio.StreamReader) -> None:
        loop, pipe = asyncio.get_running_loop(), self._unconnected.pop()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_read_pipe(lambda: protocol, pipe)
        self._reading.append(transport)

    async def _listen(self) -> None:
        while data := await self._errors.read(_MOST_WORDS):
            said = self._words + data.decode("utf-8", errors="replace")
            self._words = said[-_MOST_WORDS:]
