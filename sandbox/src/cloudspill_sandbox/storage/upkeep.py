# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to buckets by itself: lifecycle rules act, and abandoned uploads expire."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from cloudspill_sandbox.storage.cloud import StorageCloud
from cloudspill_sandbox.storage.lifecycle_pass import act_on_all
from cloudspill_sandbox.storage.recovery import forget_expired

INTERVAL = 3600.0
"""Seconds between two passes while nobody advances the clock."""

_LOG = logging.getLogger(__name__)


class AdvancedClock(Protocol):
    """A clock that tells when it is set ahead."""

    async def advanced(self, within: float | None = None) -> None:
        """Return at the next advance, or after `within` seconds."""


@asynccontextmanager
async def kept_up(cloud: StorageCloud, clock: AdvancedClock) -> AsyncIterator[None]:
    """Do what is due now, hourly, and whenever the clock is advanced, until the block ends."""
    task = asyncio.create_task(_keep_up(cloud, clock))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _keep_up(cloud: StorageCloud, clock: AdvancedClock) -> None:
    while True:
        # Listen before looking: an advance in the middle of a pass asks for another one.
        advanced = asyncio.create_task(clock.advanced(within=INTERVAL))
        try:
            await pass_over(cloud)
            await advanced
        except Exception:  # noqa: BLE001 - what breaks one pass must not end all of them
            _LOG.exception("a pass over the buckets failed; the next one comes as ever")
            await advanced
        finally:
            advanced.cancel()


async def pass_over(cloud: StorageCloud) -> None:
    """Do once what is due."""
    forget_expired(cloud)
    outcome = await act_on_all(cloud)
    if outcome.deleted or outcome.moved:
        _LOG.info(
            "lifecycle rules: %d versions deleted, %d moved to another class, %d kept by a hold or "
            "a retention policy",
            outcome.deleted,
            outcome.moved,
            outcome.kept,
        )
