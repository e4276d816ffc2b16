# SPDX-License-Identifier: GPL-3.0-or-later
"""The latency profile `gce`: published times, reproducible, ended by a stop."""

from __future__ import annotations

import asyncio
import inspect
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudspill_sandbox.compute import creation, endings, handlers, starting
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.handlers import (
    disks,
    images,
    instance_power,
    snapshots,
)
from cloudspill_sandbox.compute.latency import Gce, Instant, latency_of
from cloudspill_sandbox.compute.latency_times import OTHER, STEPS, Times
from cloudspill_sandbox.runtime.memory import MemoryRuntime
from cloudspill_sandbox.settings import LatencyProfile

from .conftest import Client, MakeCloud, eventually

CREATION = ("instances.insert.provision", "instances.insert.boot")
SNAPSHOT = ("snapshots.insert.freeze", "snapshots.insert.upload")
seeds = st.integers(min_value=-(2**63), max_value=2**63)
steps = st.sampled_from([*STEPS, "instances.setTags.apply"])


class Sleeper:
    """A sleep that takes no time and remembers how long it should have been."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


class Forever:
    """A sleep from which nobody wakes by himself."""

    def __init__(self) -> None:
        self.asleep = 0
        self.cancelled = 0

    async def __call__(self, seconds: float) -> None:
        self.asleep += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


def totals(steps: Sequence[str]) -> list[float]:
    """How long 1,000 operations of these steps take."""
    gce = Gce(seed=1)
    return [sum(gce.next_delay(step) for step in steps) for _ in range(1000)]


@pytest.mark.parametrize(
    ("steps", "low", "median", "high"),
    [
        (CREATION, 8.9, 25.4, 41.6),
        (SNAPSHOT, 63, 69.5, 76),
        (("images.insert.copy",), 123, 125, 127),
        (("instances.delete.shutDown", "instances.delete.remove"), 20, 27, 34),
        (("disks.delete.volume",), 3, 3, 5),
    ],
)
def test_operations_take_the_published_times(
    steps: Sequence[str], low: float, median: float, high: float
) -> None:
    drawn = totals(steps)
    assert low <= min(drawn) <= max(drawn) <= high
    assert statistics.median(drawn) == pytest.approx(median, abs=0.03 * median)
    assert max(drawn) - min(drawn) > 0.6 * (high - low)


def test_half_of_the_creations_reach_ssh_within_the_published_range() -> None:
    boot_to_ssh = 0.65
    assert 23 <= statistics.median(totals(CREATION)) + boot_to_ssh <= 42


@given(seeds, st.lists(steps, max_size=30))
def test_no_wait_leaves_the_range_of_its_step(seed: int, sequence: list[str]) -> None:
    gce = Gce(seed)
    for step in sequence:
        times = STEPS.get(step, OTHER)
        assert times.low <= gce.next_delay(step) <= times.high


@given(seeds, steps, st.lists(steps, max_size=20))
def test_a_seed_gives_a_step_its_times_whatever_runs_beside_it(
    seed: int, step: str, beside: list[str]
) -> None:
    alone, busy = Gce(seed), Gce(seed)
    for other in beside:
        if other != step:
            busy.next_delay(other)
    assert [alone.next_delay(step) for _ in range(5)] == [busy.next_delay(step) for _ in range(5)]


def test_the_times_of_a_seed_are_the_same_in_every_process() -> None:
    program = (
        "from cloudspill_sandbox.compute.latency import Gce; gce = Gce(7); "
        "print([gce.next_delay('images.insert.copy') for _ in range(3)])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": hashing},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hashing in ("1", "2")
    }
    gce = Gce(7)
    assert said == {str([gce.next_delay("images.insert.copy") for _ in range(3)])}


def test_another_seed_gives_other_times() -> None:
    assert Gce(8).next_delay("images.insert.copy") != Gce(7).next_delay("images.insert.copy")


@given(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_more_cases_are_never_faster(one: float, other: float) -> None:
    times = Times(8.9, 25.4, 41.6, "")
    assert times.at(min(one, other)) <= times.at(max(one, other))
    assert (times.at(0), times.at(0.5), times.at(1)) == pytest.approx((8.9, 25.4, 41.6))


def test_every_step_in_the_table_is_one_that_handlers_take() -> None:
    modules = (creation, disks, endings, images, instance_power, snapshots, starting)
    written = "".join(map(inspect.getsource, modules))
    applied = {step for step in STEPS if step.endswith(".apply")}
    assert {step for step in STEPS if f'"{step}"' in written} == set(STEPS) - applied
    assert {step.split(".")[1] for step in applied} <= set(handlers.firewalls.METHODS)


async def test_a_change_is_answered_while_it_waits_and_takes_its_steps_times(
    make_cloud: MakeCloud, client_of: Callable[[Cloud], Client], spec: Any
) -> None:
    sleeper = Sleeper()
    api = client_of(await make_cloud(latency=Gce(3, sleeper)))
    operation = await api.call("instances.insert", spec())
    assert operation["status"] == "RUNNING"
    assert (await api.instance())["status"] in {"PROVISIONING", "STAGING"}
    ended = await api.call("zoneOperations.wait", operation=operation["name"])
    assert (ended["status"], ended.get("error")) == ("DONE", None)
    again = Gce(3)
    assert sleeper.slept == [again.next_delay(step) for step in CREATION]


@pytest.mark.parametrize("method", ["stop", "delete"])
async def test_a_guest_is_told_to_shut_down_when_it_was_asked_for_and_the_rest_takes_its_time(
    make_cloud: MakeCloud,
    client_of: Callable[[Cloud], Client],
    spec: Any,
    runtime: MemoryRuntime,
    method: str,
) -> None:
    awake = asyncio.Event()

    async def sleep(seconds: float) -> None:
        if seconds:
            await awake.wait()

    api = client_of(await make_cloud(latency=Gce(0, sleep)))
    awake.set()
    insertion = await api.call("instances.insert", spec())
    await api.call("zoneOperations.wait", operation=insertion["name"])
    awake.clear()
    operation = await api.call(f"instances.{method}", instance="vm")
    await eventually(lambda: not runtime.running)
    assert (await api.instance())["status"] == "STOPPING"
    awake.set()
    ended = await api.call("zoneOperations.wait", operation=operation["name"])
    assert (ended["status"], "error" in ended) == ("DONE", False)


async def test_a_stop_ends_every_wait_at_once_and_the_work_is_still_done(
    make_cloud: MakeCloud, client_of: Callable[[Cloud], Client], spec: Any
) -> None:
    sleep = Forever()
    gce = Gce(0, sleep)
    cloud = await make_cloud(latency=gce)
    api = client_of(cloud)
    names = [f"vm-{number}" for number in range(3)]
    for name in names:
        await api.call("instances.insert", spec(name))
    await eventually(lambda: sleep.asleep == len(names))
    gce.end_waits()
    async with asyncio.timeout(5):
        await cloud.stop()
    assert sleep.cancelled == len(names)
    assert [(await api.instance(name))["status"] for name in names] == ["RUNNING"] * len(names)


async def test_an_abandoned_operation_leaves_no_wait_behind() -> None:
    sleep = Forever()
    waiting = asyncio.create_task(Gce(0, sleep).before("images.insert.copy"))
    await eventually(lambda: sleep.asleep)
    waiting.cancel()
    await asyncio.wait({waiting})
    await eventually(lambda: sleep.cancelled)


def test_a_profile_is_made_by_its_name() -> None:
    assert isinstance(latency_of(LatencyProfile.INSTANT, 1), Instant)
    made = latency_of(LatencyProfile.GCE, 7)
    assert isinstance(made, Gce)
    assert made.next_delay("x") == Gce(7).next_delay("x")
