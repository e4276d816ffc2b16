# SPDX-License-Identifier: GPL-3.0-or-later
"""The ssh process that carries a VM's stream, in a process group of its own."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, SubprocessStreamProtocol
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
    """A started ssh, until :meth:`end`, which must be called whatever happens."""

    def __init__(
        self, transport: asyncio.SubprocessTransport, protocol: SubprocessStreamProtocol
    ) -> None:
        self._transport = transport
        loop = asyncio.get_running_loop()
        self._process = asyncio.subprocess.Process(transport, protocol, loop)
        self._words = ""
        self._listening = loop.create_task(self._listen())

    @classmethod
    async def start(cls, ssh_command: Sequence[str], most_line: int) -> StreamProcess:
        """Start `ssh_command` with the options and the remote command it needs. Raises OSError."""
        starting = asyncio.create_task(cls._start(ssh_command, most_line))
        try:
            # Once it runs it can only be ended as a whole: asyncio would kill ssh alone, and wait
            # for whatever else holds its output.
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            await (await starting).end()
            raise

    @classmethod
    async def _start(cls, ssh_command: Sequence[str], most_line: int) -> StreamProcess:
        loop = asyncio.get_running_loop()
        # Not create_subprocess_exec: it keeps the transport to itself, and a process with unread
        # output cannot be waited for without closing that.
        transport, protocol = await loop.subprocess_exec(
            lambda: SubprocessStreamProtocol(limit=most_line, loop=loop),
            *(ssh_command[0], *_OPTIONS, *ssh_command[1:], *_REMOTE),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env={name: value for name, value in os.environ.items() if name != _MOVE_MARK},
            start_new_session=True,
        )
        return cls(transport, protocol)

    @property
    def pid(self) -> int:
        """The process's id, which is its group's too."""
        return self._process.pid

    async def line(self) -> bytes:
        """The next line with its end; without one at the end of the output.

        Raises ValueError for a line that is too long.
        """
        assert self._process.stdout is not None
        return await self._process.stdout.readline()

    def send(self, data: bytes) -> bool:
        """Hand `data` over without waiting; False when it does not take what it is given."""
        stdin = self._process.stdin
        assert stdin is not None
        if stdin.is_closing() or stdin.transport.get_write_buffer_size() > _MOST_UNSENT:
            return False
        stdin.write(data)
        return True

    async def last_words(self) -> str:
        """Why its output has ended."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), _LAST_WORDS)
        status = self._process.returncode
        ended = "the stream has ended" if status is None else f"ssh ended with status {status}"
        return f"{ended}: {self._words.strip()}" if self._words.strip() else ended

    async def end(self) -> None:
        """Kill it with all that it has started, and reap it."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        stdin = self._process.stdin
        if stdin is not None and not stdin.is_closing():
            stdin.transport.abort()  # what is unsent would keep it open
        for output in (self._transport.get_pipe_transport(fd) for fd in (1, 2)):
            if output is not None:
                output.close()
        await self._process.wait()
        self._transport.close()  # only now: before, it might reap what asyncio waits for
        self._listening.cancel()
        await asyncio.wait([self._listening])

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        while data := await self._process.stderr.read(_MOST_WORDS):
            said = self._words + data.decode("utf-8", errors="replace")
            self._words = said[-_MOST_WORDS:]
