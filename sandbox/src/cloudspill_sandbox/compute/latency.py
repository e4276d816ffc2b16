# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the steps of operations take beyond what the work itself takes."""

from __future__ import annotations

from typing import Protocol


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
