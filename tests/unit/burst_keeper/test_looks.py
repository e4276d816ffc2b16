# SPDX-License-Identifier: GPL-3.0-or-later
"""What a keeper makes of looks at its units that take long, and of starts that go wrong."""

from __future__ import annotations

import asyncio

import pytest
from cloudspill_burst.units import UnitSpec, UnitState

from tests.unit.burst_keeper.bench import Bench, Stream


async def test_a_look_that_is_answered_late_ends_no_run_that_was_started_since(
    bench: Bench, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    observe, looked, answer = bench.units.observe, asyncio.Event(), asyncio.Event()

    async def late() -> dict[int, UnitState]:
        seen = await observe()
        if not looked.is_set():
            looked.set()
            await answer.wait()
        return seen

    monkeypatch.setattr(bench.units, "observe", late)
    await looked.wait()
    starting = asyncio.ensure_future(bench.start(7))
    await asyncio.wait([starting], timeout=0.5)  # it waits for the look, or does not
    answer.set()
    assert (await starting)["state"] == "running"
    ticks = len(stream.ticks)
    while len(stream.ticks) < ticks + 5:  # noqa: ASYNC110 - another task counts
        await asyncio.sleep(0.01)
    assert {run["state"] for tick in stream.ticks for run in tick["runs"]} == {"running"}


async def test_a_run_that_could_not_be_started_does_not_seem_to_run_for_ever(
    bench: Bench, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_process(_: UnitSpec) -> None:
        raise BlockingIOError("no more processes can be made")

    with monkeypatch.context() as patch:
        patch.setattr(bench.units, "start", no_process)
        assert (await bench.start(7))["kind"] == "failed"
    run = await stream.run(7, state="ended")
    assert run["exit_status"] is None  # nobody knows: whoever asked for it goes on elsewhere
