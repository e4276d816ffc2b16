# SPDX-License-Identifier: GPL-3.0-or-later
"""One machine that is on, and its power."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from dataclasses import dataclass, field

from cloudspill_sandbox.runtime.interface import MachineError, MachineSpec
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
        suspension: lets it go on when it is closed; None while it does.
        off: set when it is.
    """

    spec: MachineSpec
    container: Container | None = None
    init: WatchedProcess | None = None
    asked_to_stop: bool = False
    suspension: contextlib.ExitStack | None = None
    off: asyncio.Event = field(default_factory=asyncio.Event)

    async def shut_down(self, grace: float) -> None:
        """Press the power button until the machine is off; cut the power after `grace` seconds.

        A suspended one hears no button.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0 if self.suspension else grace):
                await self._send_until_off(_POWER_BUTTON)
        await self.cut_power()

    async def cut_power(self) -> None:
        """Switch the machine off at once."""
        if self.init is not None:
            self.init.send(signal.SIGKILL)  # before it goes on, if it stands still
        await self.resume()
        await self._send_until_off(signal.SIGKILL)

    async def suspend(self, pause: contextlib.AbstractContextManager[None]) -> None:
        """Keep the machine in a pause; nothing when it is in one.

        Raises:
            MachineError: the kernel did not stop it.
        """
        if self.suspension is not None:
            return
        self.suspension = contextlib.ExitStack()
        try:
            await asyncio.to_thread(self.suspension.enter_context, pause)
        except (OSError, TimeoutError) as error:
            self.suspension = None
            raise MachineError(f"machine {self.spec.name} cannot be suspended: {error}") from error

    async def resume(self) -> None:
        """End the pause of `suspend`; nothing when there is none."""
        if (suspension := self.suspension) is not None:
            self.suspension = None
            await asyncio.to_thread(suspension.close)

    async def _send_until_off(self, number: int) -> None:
        while not self.off.is_set():
            if self.init is not None:
                self.init.send(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PRESS_AGAIN):
                    await self.off.wait()
