# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds the lease: renews it, shows it outside, and ends everything here when it is over."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from pathlib import Path
from typing import Protocol

from .clock import Clock
from .cloud import Cloud
from .detached import detached
from .durable import replace_file
from .lease import Lease, Phase, Terms, resumed
from .protocol import Refusal

_log = logging.getLogger(__name__)
_LONGEST_SLEEP = 0.25
"""Seconds: the loop's own clock stands still while the VM is suspended; the lease's does not."""
_LONGEST_PAUSE = 15.0
_KILL_PATIENCE = 5.0


class Tasks(Protocol):
    """What a lease's end does to the tasks."""

    async def stop_all(self, grace: float) -> None:
        """Stop all; those that are left after a grace are killed."""

    async def kill_all(self) -> None:
        """Kill all; return when none is left."""


class Guard:
    """The lease of this VM.

    Args:
        file: where it is kept.
        terms: its length.
        controller: the monitor that the VM belongs to.
        boot: identity of this boot.
        clock: times.
        cloud: where it is shown, and who deletes the VM.
    """

    def __init__(
        self, file: Path, terms: Terms, controller: str, boot: str, clock: Clock, cloud: Cloud
    ) -> None:
        self._file, self._terms, self._controller = file, terms, controller
        self._clock, self._cloud = clock, cloud
        self._lease = resumed(_read(file), boot, clock.boottime(), terms)
        self._renewed = asyncio.Event()
        if self._lease.renewed:
            self._renewed.set()
        self._keep(sync=True)

    @property
    def phase(self) -> Phase:
        """Where the lease stands now."""
        return self._lease.phase(self._clock.boottime(), self._terms)

    @property
    def expires_in(self) -> float:
        """Seconds until it ends; 0 when it is over for ever."""
        left = self._lease.expires - self._clock.boottime()
        return 0.0 if self._lease.fenced else max(0.0, left)

    @property
    def heard(self) -> bool:
        """Whether the monitor has renewed it in this boot: before that nothing is started."""
        return self._renewed.is_set()

    def token(self) -> str:
        """Return the token of this moment."""
        return self._lease.token(self._clock.boottime())

    def renew(self, token: object) -> None:
        """A token came back."""
        lease = self._lease.renew(token, self._clock.boottime(), self._terms)
        if lease is not self._lease:
            self._lease = lease
            self._keep(sync=not self._renewed.is_set())
            self._renewed.set()

    async def renewed(self, patience: float) -> bool:
        """Whether the monitor renewed the lease in this boot, or does within some seconds."""
        try:
            await asyncio.wait_for(self._renewed.wait(), patience)
        except asyncio.TimeoutError:
            return False
        return True

    async def hold(self, tasks: Tasks) -> None:
        """Watch the lease until it is over; then fence, kill, and delete this VM. Never returns."""
        showing = asyncio.ensure_future(self._show())
        ending: asyncio.Future[None] | None = None
        while (phase := self.phase) is not Phase.OVER:
            now = self._clock.boottime()
            until = self._lease.next_phase_at(now, self._terms) - now
            if phase is Phase.HELD:
                ending = None
            elif ending is None:
                _log.warning("the lease ends in %.1f s: stopping the tasks", self.expires_in)
                ending = asyncio.ensure_future(tasks.stop_all(until))
            await asyncio.sleep(min(max(until, 0.005), _LONGEST_SLEEP))
        _log.warning("the lease is over: nothing runs here any more")
        self._lease = dataclasses.replace(self._lease, fenced=True)
        ended = [asyncio.ensure_future(tasks.kill_all()), self._fence_on_disk()]
        await asyncio.wait(ended, timeout=_KILL_PATIENCE)  # the deletion ends what this does not
        showing.cancel()
        await asyncio.gather(self._show_end(), self._delete_for_ever())

    def _keep(self, *, sync: bool) -> None:
        self._lease = dataclasses.replace(self._lease, kept=self._clock.boottime())
        content = json.dumps(dataclasses.asdict(self._lease)).encode()
        try:
            replace_file(self._file, content, sync=sync)
        except (Refusal, OSError) as error:
            _log.error("the lease cannot be written: %s", error)

    def _fence_on_disk(self) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        return asyncio.ensure_future(loop.run_in_executor(None, lambda: self._keep(sync=True)))

    async def _show(self) -> None:
        """Show the lease as often as it may change, and keep how much of it is used up."""
        while True:
            expires = self._clock.wall() + self.expires_in
            await self._publish({"expires": int(expires), "controller": self._controller})
            await asyncio.sleep(max(1.0, self._terms.length / 3))
            if not self._renewed.is_set():
                self._keep(sync=False)

    async def _show_end(self) -> None:
        expired = {"expired": True, "expires": int(self._clock.wall())}
        while True:
            if await self._publish({**expired, "controller": self._controller}):
                return
            await asyncio.sleep(_LONGEST_PAUSE)

    async def _publish(self, lease: dict[str, object]) -> bool:
        value = json.dumps(lease)
        try:
            await detached(lambda: self._cloud.publish_lease(value))
        except OSError as error:
            _log.warning("the lease cannot be shown outside: %s", error)
            return False
        return True

    async def _delete_for_ever(self) -> None:
        """Delete this VM, and again until it is gone: a deletion that was accepted may fail."""
        pause = 1.0
        while True:
            try:
                await detached(self._cloud.delete_self)
                _log.warning("asked for the deletion of this VM")
            except OSError as error:
                _log.warning("this VM cannot be deleted yet: %s", error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)


def _read(file: Path) -> Lease | None:
    try:
        return Lease(**json.loads(file.read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        _log.exception("%s is no lease: a new one begins", file)
        return None
