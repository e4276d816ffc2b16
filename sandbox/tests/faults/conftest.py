# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults on a clock that tests set ahead, and instances that only exist in a list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from cloudspill_sandbox.engine.clock import Clock
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.faults.instances import InstanceFaults
from cloudspill_sandbox.faults.interface import RunningInstance, Side
from cloudspill_sandbox.faults.registry import Faults

NOW = 1_800_000_000.0
ZONE = "projects/p/zones/us-west1-b/instances"


@dataclass
class Struck:
    """Instances that note what is done to them.

    Attributes:
        done: what was done, in order.
        refusal: raised by whatever is done next.
        when_struck: called while something is done.
    """

    run: list[RunningInstance] = field(default_factory=list)
    done: list[tuple[str, str]] = field(default_factory=list)
    refusal: Exception | None = None
    when_struck: Callable[[list[str]], object] = lambda _: None

    def boot(self, name: str, *, since: float = NOW, spot: bool = False) -> RunningInstance:
        instance = RunningInstance(f"{ZONE}/{name}", f"{name} {since}", since, spot)
        self.run.append(instance)
        return instance

    def running(self) -> list[RunningInstance]:
        return self.run

    async def preempt(self, name: str) -> None:
        self._note("preempt", name)

    async def crash(self, name: str) -> None:
        self._note("crash", name)

    async def cut(self, name: str, sides: frozenset[Side]) -> None:
        self._note("cut from " + " and ".join(sorted(sides)) if sides else "mend", name)

    async def fill_disk(self, name: str) -> None:
        self._note("fill", name)

    async def empty_disk(self, name: str) -> None:
        self._note("empty", name)

    def _note(self, what: str, name: str) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.done.append((what, name.rpartition("/")[2]))
        self.when_struck([])


async def eventually(holds: Callable[[], object]) -> None:
    """Let other tasks run until something holds; give up when they have had every chance."""
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came about")


async def idle() -> None:
    """Let every other task go as far as it gets."""
    for _ in range(100):
        await asyncio.sleep(0)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def clock(store: Store) -> Clock:
    return Clock(store, lambda: NOW)


@pytest.fixture
def faults(store: Store, clock: Clock) -> Faults:
    """No faults; two methods are implemented."""
    subject = Faults(store, clock)
    subject.methods |= {"compute.instances.insert", "compute.instances.get"}
    return subject


@pytest.fixture
def struck() -> Struck:
    return Struck()


@pytest.fixture
async def instance_faults(faults: Faults, struck: Struck) -> AsyncIterator[InstanceFaults]:
    """Faults that strike the instances above."""
    subject = InstanceFaults(faults, struck)
    subject.start()
    yield subject
    await subject.stop()
