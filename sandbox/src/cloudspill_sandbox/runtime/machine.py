# SPDX-License-Identifier: GPL-3.0-or-later
"""One machine that is on, and its power."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from dataclasses import dataclass, field

from cloudspill_sandbox.runtime.interface import MachineSpec
from cloudspill_sandbox.runtime.podman import Container
from cloudspill_sandbox.runtime.processes import WatchedProcess

_POWER_BUTTON = signal.SIGRTMIN + 4
"""systemd's poweroff.target: https://www.freedesktop.org/software/systemd/man/systemd.html"""

_PRESS_AGAIN = 1.0
"""Seconds; an init that has only just been started does not listen yet, one of a boot that is
under way is not there yet."""


@dataclass(slots=True)
class Machine:
    """A machine from the moment it is switched on until it is off, through reboots from inside.

    Attributes:
        spec: as it was booted.
        container: of the boot; None while a boot is under way.
        init: of the boot.
        asked_to_stop: it will go off because somebody wants it to.
        off: set when it is.
    """

    spec: MachineSpec
    container: Container | None = None
    init: WatchedProcess | None = None
    asked_to_stop: bool = False
    off: asyncio.Event = field(default_factory=asyncio.Event)

    async def shut_down(self, grace: float) -> None:
        """Press the power button until the machine is off; cut the power after `grace` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._send_until_off(_POWER_BUTTON)
        await self.cut_power()

    async def cut_power(self) -> None:
        """Switch the machine off at once."""
        await self._send_until_off(signal.SIGKILL)

    async def _send_until_off(self, number: int) -> None:
        while not self.off.is_set():
            if self.init is not None:
                self.init.send(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PRESS_AGAIN):
                    await self.off.wait()
