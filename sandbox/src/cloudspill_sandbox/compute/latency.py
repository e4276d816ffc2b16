# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the steps of operations take beyond what the work itself takes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Protocol

from cloudspill_sandbox.compute.latency_times import OTHER, STEPS
from cloudspill_sandbox.settings import LatencyProfile


class Latency(Protocol):
    """A latency profile, asked before each step of an operation."""

    @property
    def patience(self) -> float:
        """Seconds that the reply to a change may wait for the operation to end.

        google.cloud's modules do not poll an operation that is done, and otherwise sleep a whole
        second before they ask once.
        """

    async def before(self, step: str) -> None:
        """Wait as long as Google's cloud would take for a step such as `instances.insert.boot`."""


class Instant:
    """No delays but the real ones: for tests and for people in a hurry."""

    patience = 2.0

    async def before(self, step: str) -> None:
        """Wait for nothing."""

    def end_waits(self) -> None:
        """Nobody waits."""


class Gce:
    """Compute Engine's published times, with their spread.

    A wait is the whole published time and the work comes on top: tenths of a second for disks and
    about a second for a boot, far less than the spread. Waiting comes first, so that a machine
    boots at the end of its creation, and its startup script runs when it would on Google Cloud.

    Args:
        seed: the n-th step of one name takes equally long with the same seed, whatever other
            operations run meanwhile.
        sleep: waits for some seconds.
    """

    patience = 0.0
    """Google answers a change with an operation that still runs."""

    def __init__(
        self, seed: int, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._seed = seed
        self._sleep = sleep
        self._draws: dict[str, random.Random] = {}
        self._waits: set[asyncio.Future[None]] = set()
        self._ended = False

    def next_delay(self, step: str) -> float:
        """Draw how many seconds the next step of this name has to wait."""
        if step not in self._draws:
            self._draws[step] = random.Random(f"{self._seed} {step}")
        return STEPS.get(step, OTHER).at(self._draws[step].random())

    async def before(self, step: str) -> None:
        """Wait for the step's time, or until `end_waits`."""
        delay = self.next_delay(step)
        if self._ended:
            return
        wait = asyncio.ensure_future(self._sleep(delay))
        self._waits.add(wait)
        try:
            await asyncio.wait({wait})
        finally:
            self._waits.discard(wait)
            wait.cancel()

    def end_waits(self) -> None:
        """Wait no more: what is under way goes on at once, and so does what comes."""
        self._ended = True
        for wait in self._waits:
            wait.cancel()


def latency_of(profile: LatencyProfile, seed: int) -> Instant | Gce:
    """Return a new latency of this profile."""
    return Gce(seed) if profile is LatencyProfile.GCE else Instant()
