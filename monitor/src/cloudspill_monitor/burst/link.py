# SPDX-License-Identifier: GPL-3.0-or-later
"""The stream to one VM: its ticks and logs home, renewals of its lease and requests there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from cloudspill_monitor.burst.archive_download import ArchiveDownload
from cloudspill_monitor.burst.frames import (
    MOST_LINE,
    Frame,
    FrameError,
    Pulled,
    Tick,
    decode,
    encode,
    pulled,
)
from cloudspill_monitor.burst.lease import LeaseBelief
from cloudspill_monitor.burst.link_error import LinkError
from cloudspill_monitor.burst.log_follower import LogFollower
from cloudspill_monitor.burst.remote_logs import RemoteLog
from cloudspill_monitor.burst.stream_process import StreamProcess
from cloudspill_monitor.clock import Clock

__all__ = ["LinkError", "LinkListener", "VmLink"]

_SHORTEST_PAUSE = 0.2  # seconds between two attempts to connect, doubled up to
_LONGEST_PAUSE = 5.0
_STEADY = 10.0  # seconds that a connection must last for the pauses to be short again
_FIRST_TICK = 30.0  # seconds that ssh, sudo and the keeper may take to begin
_RENEWALS = 6  # in one lease, at most
_SHORTEST_RENEWAL = 0.2  # seconds
_ASKING = 10.0  # seconds that a keeper may take to begin to send a log


class LinkListener(Protocol):
    """Who is told. Called from the event loop, one after another; must not block."""

    def on_connected(self) -> None:
        """The VM's first tick on a new connection came; it follows."""
        ...

    def on_tick(self, tick: Tick) -> None:
        """The VM lives, and this is what it does."""
        ...

    def on_lost(self, why: str) -> None:
        """The connection is gone; another is being made."""
        ...

    def on_log(self, run: int, lines: list[str]) -> None:
        """A run that is followed wrote these lines."""
        ...


class _BrokenError(Exception):
    """This connection is of no use any more; the text says why."""


class VmLink:
    """One VM's stream, made again whenever it breaks, from :meth:`start` to :meth:`stop`.

    `ssh_command` is an ssh with its arguments up to the host's name. `lease` is the one that the
    VM was made with, `initial_lease` what its keeper holds at first, `margin` what two clocks may
    differ by in that time, all in seconds. A connection that is silent for `patience` seconds is
    given up. While `renewing` is set, the newest token is echoed a few times a lease.
    """

    def __init__(
        self,
        ssh_command: Sequence[str],
        lease: float,
        margin: float,
        clock: Clock,
        listener: LinkListener,
        *,
        initial_lease: float = 0.0,
        patience: float = 5.0,
    ) -> None:
        self.renewing = True
        self.last_tick: Tick | None = None
        self._ssh_command = tuple(ssh_command)
        self._clock = clock
        self._listener = listener
        self._patience = patience
        self._belief = LeaseBelief(lease, margin, clock.boottime(), initial_lease)
        self._renewal_pause = max(_SHORTEST_RENEWAL, lease / _RENEWALS)
        self._renew_at = 0.0
        self._tick_due = 0.0
        self._process: StreamProcess | None = None
        self._up = asyncio.Event()
        self._trouble = "it has not been reached yet"
        self._next_id = 1
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._downloads: dict[int, ArchiveDownload] = {}
        self._logs = LogFollower(self._ask_for_log, self._tell_lines)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect, and stay connected. Needs a running event loop."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep_connected())
            self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """End the connection; its process is gone when this returns."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        await self._logs.close()

    @property
    def connected(self) -> bool:
        """Whether the VM ticks on the present connection."""
        return self._up.is_set()

    def lease_over_at(self) -> float:
        """When the VM has certainly ended its tasks if it is renewed no more (clock's boottime)."""
        return self._belief.over_at

    async def wait_connected(self, timeout: float) -> None:  # noqa: ASYNC109 - as request()
        """Wait for a tick. Raises LinkError (`lost`) with the reason of the last failure."""
        try:
            async with asyncio.timeout(timeout):
                await self._up.wait()
        except TimeoutError:
            raise self._lost() from None

    async def request(
        self,
        do: str,
        timeout: float = 30.0,  # noqa: ASYNC109 - it becomes a LinkError that says what was asked
        **fields: Any,
    ) -> dict[str, Any]:
        """Ask the keeper; its answer. Raises LinkError: the keeper's refusal, `lost`, `timeout`.

        After the last two the keeper may have obeyed or not: ask again, requests are idempotent.
        """
        return await self._request(do, timeout, fields, None)

    async def pull(self, run: int, to: Path, timeout: float = 600.0) -> Pulled:  # noqa: ASYNC109
        """Bring the run's checkpoint archive home as the file `to`: whole, synced, or not at all.

        Raises LinkError, as `request` does, or `corrupt` or `disk-full-here`.
        """
        download = ArchiveDownload(to)
        try:
            answer = pulled(await self._request("pull", timeout, {"run": run}, download))
            await download.install(answer)
        except FrameError as error:
            raise LinkError("corrupt", str(error)) from error
        finally:
            download.discard()
        return answer

    def follow(self, run: int, log: RemoteLog) -> None:
        """Bring home what `run` writes, from what `log` holds on, until unfollow() or stop()."""
        self._logs.follow(run, log)

    def unfollow(self, run: int) -> None:
        """Bring no more of it home."""
        self._logs.unfollow(run)

    async def log_home(self, run: int, size: int, timeout: float) -> None:  # noqa: ASYNC109
        """Wait until `size` bytes of a followed run's log are home and synced. Raises LinkError."""
        try:
            async with asyncio.timeout(timeout):
                await self._logs.home(run, size)
        except TimeoutError:
            raise LinkError("timeout", f"the log of run {run} is not all home") from None
        except OSError as error:
            raise LinkError(
                "disk-full-here", f"the log of run {run} cannot be kept: {error.strerror}"
            ) from error

    async def _keep_connected(self) -> None:
        loop = asyncio.get_running_loop()
        pause = _SHORTEST_PAUSE
        while True:
            began = loop.time()
            was_up, self._trouble = await self._connection()
            if was_up:
                loop.call_soon(self._listener.on_lost, self._trouble)
            if loop.time() - began > _STEADY:
                pause = _SHORTEST_PAUSE
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A mistake in this program must not look like a VM that says nothing."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._trouble = f"its link has failed: {error!r}"
            task.get_loop().call_exception_handler(
                {"message": self._trouble, "exception": error, "task": task}
            )
            self._listener.on_lost(self._trouble)

    async def _connection(self) -> tuple[bool, str]:
        """The life of one; whether the VM ever ticked on it, and why it ended."""
        try:
            process = await StreamProcess.start(self._ssh_command, MOST_LINE)
        except OSError as error:
            return False, f"{self._ssh_command[0]} cannot be started: {error.strerror}"
        why = "the link was stopped"
        try:
            self._process = process
            self._tick_due = asyncio.get_running_loop().time() + _FIRST_TICK
            await self._read(process)
        except _BrokenError as down:
            why = str(down)
        finally:
            was_up = self.connected
            self._drop(why)
            await process.end()
        return was_up, why

    def _drop(self, why: str) -> None:
        self._process = None
        self._up.clear()
        self._logs.disconnected()
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(LinkError("lost", why))

    async def _read(self, process: StreamProcess) -> None:
        """Obey line by line. Raises _BrokenError at its end."""
        while True:
            line = await self._line(process)
            try:
                await self._obey(decode(line))
            except FrameError as error:
                raise _BrokenError(f"it does not speak as a keeper does: {error}") from None
            await asyncio.sleep(0)  # lines that are here already do not suspend the reading

    async def _line(self, process: StreamProcess) -> bytes:
        try:
            async with asyncio.timeout_at(self._tick_due):
                line = await process.line()
        except TimeoutError:
            raise self._silent() from None
        except ValueError:
            raise _BrokenError(f"it sent a line of more than {MOST_LINE} bytes") from None
        if not line.endswith(b"\n"):
            raise _BrokenError(await process.last_words())
        return line

    async def _obey(self, frame: Frame) -> None:
        if frame.tick is not None:
            self._hear(frame.tick)
        elif asyncio.get_running_loop().time() > self._tick_due:
            raise self._silent()  # whatever else it has to say
        elif frame.log is not None:
            self._logs.take(frame.log)
        elif frame.id is not None:
            await self._answered(frame.id, frame)

    def _hear(self, tick: Tick) -> None:
        now, loop = self._clock.boottime(), asyncio.get_running_loop()
        self._tick_due = loop.time() + self._patience
        self.last_tick = tick
        self._belief.heard(now, tick["expires_in"])
        if not self.connected:
            self._renew_at = 0.0
            self._up.set()
            self._logs.connected()
            loop.call_soon(self._listener.on_connected)
        if self.renewing and loop.time() >= self._renew_at:
            self._renew_at = loop.time() + 0.9 * self._renewal_pause  # ticks are not to the ms
            self._belief.echo(now)  # first: what is written may arrive, whatever happens now
            self._send({"renew": tick["token"]})
        loop.call_soon(self._listener.on_tick, tick)

    async def _answered(self, number: int, frame: Frame) -> None:
        if not 0 < number < self._next_id:
            raise FrameError(f"it answers request {number}, which was not made")
        asked = self._asked.get(number)
        if asked is None or asked.done():
            return  # nobody waits any more
        if frame.data is not None:
            await self._keep(number, asked, frame.data)
        elif frame.ok is not None:
            asked.set_result(frame.ok)
        elif frame.error is not None:
            asked.set_exception(LinkError(frame.kind, frame.error))

    async def _keep(self, number: int, asked: asyncio.Future[dict[str, Any]], data: bytes) -> None:
        download = self._downloads.get(number)
        if download is None:
            raise FrameError(f"it answers request {number} by an archive")
        try:
            await download.write(data)
        except LinkError as error:
            if not asked.done():
                asked.set_exception(error)

    async def _request(
        self, do: str, seconds: float, fields: dict[str, Any], download: ArchiveDownload | None
    ) -> dict[str, Any]:
        if not self.connected:
            raise self._lost()
        number, self._next_id = self._next_id, self._next_id + 1
        asked = self._asked[number] = asyncio.get_running_loop().create_future()
        if download is not None:
            self._downloads[number] = download
        try:
            self._send({"id": number, "do": do, **fields})
            async with asyncio.timeout(seconds):
                answer: dict[str, Any] = await asked
        except TimeoutError:
            raise LinkError("timeout", f"{do} was not answered within {seconds:g} s") from None
        except _BrokenError as down:
            raise LinkError("lost", str(down)) from None
        finally:
            del self._asked[number]
            self._downloads.pop(number, None)
            if asked.done() and not asked.cancelled():
                asked.exception()  # it was looked at, even when the caller was cancelled meanwhile
        return answer

    def _send(self, message: dict[str, Any]) -> None:
        if self._process is None or not self._process.send(encode(message)):
            raise _BrokenError("it takes nothing that is sent to it")

    def _silent(self) -> _BrokenError:
        limit = self._patience if self.connected else _FIRST_TICK
        return _BrokenError(f"it has not ticked for {limit:g} s")

    def _lost(self) -> LinkError:
        return LinkError("lost", f"there is no connection: {self._trouble}")

    async def _ask_for_log(self, run: int, offset: int, most: int) -> None:
        await self._request("follow", _ASKING, {"run": run, "offset": offset, "most": most}, None)

    def _tell_lines(self, run: int, lines: list[str]) -> None:
        asyncio.get_running_loop().call_soon(self._listener.on_log, run, lines)
