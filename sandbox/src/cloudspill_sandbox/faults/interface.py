# SPDX-License-Identifier: GPL-3.0-or-later
"""What compute asks of the faults, and what the faults do to its instances."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Side = Literal["host", "api"]
"""What an instance is cut from: the host with the world behind it, or metadata server and API."""


class Hooks(Protocol):
    """Asked by compute wherever something may be made to go wrong."""

    async def before_step(self, step: str, target: str) -> None:
        """Called before each step of an operation on a resource (relative name).

        Raises:
            ApiError: the operation fails with it.
        """

    def usable_zones(
        self, method: str, named: frozenset[str], zones: Sequence[str], most: int, *, strike: bool
    ) -> Sequence[str]:
        """Return the first of some zones in which a method that may choose can make instances.

        Args:
            method: discovery id.
            named: the instances' names, or their pattern.
            zones: those that may be chosen, at least one.
            most: how many are wanted.
            strike: whether they are used now; else somebody wants to know which would be.

        Returns:
            One at least. Where room is lacking in all that answer, these all the same: it is the
            creations that fail then.

        Raises:
            ApiError: 503, no zone answers and they are wanted now.
        """

    def boot_fails(self, instance: str) -> bool:
        """Whether the boot of an instance (relative name) that begins now shall fail."""

    def instance_changed(self) -> None:
        """Called after any instance was written or removed."""

    def cuts(self) -> Iterable[tuple[str, frozenset[Side]]]:
        """Return which instances (relative names) an earlier life left cut from what.

        Asked when a cloud starts, so that no packet passes before the faults go on.
        """


class NoFaults:
    """Nothing is made to go wrong."""

    async def before_step(self, step: str, target: str) -> None:
        """Let it be done."""

    def usable_zones(
        self,
        method: str,  # noqa: ARG002
        named: frozenset[str],  # noqa: ARG002
        zones: Sequence[str],
        most: int,
        *,
        strike: bool,  # noqa: ARG002
    ) -> Sequence[str]:
        """All zones are."""
        return zones[:most]

    def boot_fails(self, instance: str) -> bool:  # noqa: ARG002
        """It boots."""
        return False

    def instance_changed(self) -> None:
        """Nobody waits for it."""

    def cuts(self) -> tuple[()]:
        """Nothing is cut."""
        return ()


@dataclass(frozen=True, slots=True)
class RunningInstance:
    """An instance whose machine is on.

    Attributes:
        name: relative name.
        boot: another one after each start; a fault strikes a boot once.
        since: when it started, seconds since the epoch.
        spot: whether it can be preempted.
        stopping: whether it is being shut down; what goes on lasts, and nothing new strikes it.
    """

    name: str
    boot: str
    since: float
    spot: bool
    stopping: bool = False


class Instances(Protocol):
    """What can be done to instances.

    Every method may raise ApiError, RuntimeError or LookupError.
    """

    def running(self) -> Iterable[RunningInstance]:
        """Return the instances that are RUNNING or STOPPING."""

    async def preempt(self, name: str) -> None:
        """Preempt a Spot instance, with notice."""

    async def crash(self, name: str) -> None:
        """Let a guest die at once."""

    async def cut(self, name: str, sides: frozenset[Side]) -> None:
        """Drop all packets between an instance and some sides; none mends it."""

    async def fill_disk(self, name: str) -> None:
        """Leave no free space on an instance's boot disk."""

    async def empty_disk(self, name: str) -> None:
        """Give the space back that `fill_disk` took; no error when there is none."""
