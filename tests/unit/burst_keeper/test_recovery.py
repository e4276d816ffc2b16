# SPDX-License-Identifier: GPL-3.0-or-later
"""What a keeper makes of the records and units that one before it left, and nobody asks again."""

from __future__ import annotations

import json
from pathlib import Path

from tests.unit.burst_keeper.bench import Bench, contents, eventually, tar_of


def left_in(bench: Bench, phase: str) -> None:
    """The keeper died when run 7 was in a phase."""
    record = bench.disk / "runs" / "7.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "phase": phase}))


async def started(bench: Bench) -> None:
    """Run 7 runs; its keeper is gone."""
    async with bench.running(), bench.stream():
        await bench.start(7, tar_of(count=b"41"))


async def test_a_stop_that_was_begun_is_finished(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await started(bench)
    left_in(bench, "stopping")
    async with bench.running(), bench.stream() as stream:
        await stream.run(7, state="stopped")
        assert bench.units.states == {}
        assert contents((await stream.pull(7))[1]) == {"count": b"41"}


async def test_a_stop_that_takes_its_time_keeps_nobody_waiting(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await started(bench)
    left_in(bench, "stopping")
    bench.units.stubborn.add(7)
    async with bench.running(), bench.stream() as stream:
        assert stream.ticks[0]["runs"][0]["state"] == "running"
        await stream.more_ticks(3)
        bench.units.stubborn.clear()
        await stream.run(7, state="stopped")


async def test_an_archive_that_was_not_packed_is_packed(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await started(bench)
    left_in(bench, "ended")
    async with bench.running(), bench.stream() as stream:
        await eventually(lambda: stream.ticks[-1]["runs"][0]["sha256"], "the archive")
        assert contents((await stream.pull(7))[1]) == {"count": b"41"}


async def test_a_start_that_was_announced_is_carried_out(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await started(bench)
    left_in(bench, "starting")
    bench.units.states.clear()
    async with bench.running(), bench.stream() as stream:
        assert stream.ticks[0]["runs"][0]["state"] == "running"
    assert [spec.run for spec in bench.units.started] == [7, 7]


async def test_a_task_that_was_started_and_is_over_is_not_started_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await started(bench)
    left_in(bench, "starting")
    bench.units.exit(7, 3)
    async with bench.running(), bench.stream() as stream:
        assert (await stream.run(7, state="ended"))["exit_status"] == 3
    assert len(bench.units.started) == 1


async def test_a_start_that_fails_now_is_as_though_nobody_had_asked(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await started(bench)
    left_in(bench, "starting")
    bench.units.states.clear()
    bench.units.failing = "no memory"
    async with bench.running(), bench.stream() as stream:
        assert stream.ticks[0]["runs"] == []
    assert list((bench.disk / "runs").iterdir()) == []


async def test_nothing_is_started_when_the_lease_is_over_meanwhile(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await started(bench)
    left_in(bench, "starting")
    bench.units.states.clear()
    bench.clock.ahead += 100
    async with bench.running(), bench.stream() as stream:
        await stream.run(7, state="stopped")
        assert stream.ticks[-1]["fenced"]
    assert len(bench.units.started) == 1


async def test_a_task_that_ended_meanwhile_is_noticed(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await started(bench)
    bench.units.exit(7, 0)
    async with bench.running(), bench.stream() as stream:
        assert (await stream.run(7, state="ended"))["exit_status"] == 0


async def test_a_unit_that_someone_took_away_has_ended_nobody_knows_how(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with bench.running(), bench.stream() as stream:
        await bench.start(7)
        bench.units.states.clear()
        assert (await stream.run(7, state="ended"))["exit_status"] is None
