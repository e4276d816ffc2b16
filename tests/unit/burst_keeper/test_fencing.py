# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes late is harmless: moves that are over, old streams, old tokens, a lease that ended."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

from tests.unit.burst_keeper.bench import Bench, contents, eventually, tar_of


async def test_a_late_move_is_refused_and_so_it_is_after_a_restart(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with bench.running(), bench.stream() as stream:
        await bench.start(7, move=3)
        await stream.ask("fence", move=4)
        late = [
            await bench.call(tar_of(a=b""), do="prepare", move=4, slug="S"),
            await bench.call(do="stop", move=3, run=7),
        ]
        assert {answer["kind"] for answer, _ in late} == {"stale-move"}
        assert (await bench.start(7, move=3))["kind"] == "stale-move"
        assert (await bench.start(8, move=4, task="S", slug="S"))["kind"] == "stale-move"
        assert (await stream.ask("fence", move=2))["fenced_move"] == 4
    async with bench.running(), bench.stream():
        assert (await bench.start(8, move=4, task="S", slug="S"))["kind"] == "stale-move"
        assert (await bench.start(8, move=5, task="S", slug="S"))["state"] == "running"
    assert [spec.run for spec in bench.units.started] == [7, 8]


async def test_a_fence_waits_for_the_call_that_it_comes_upon(tmp_path: Path) -> None:
    """Else a run would appear after the monitor had seen that there is none."""
    bench = Bench(tmp_path)
    async with bench.running(), bench.stream(echo=False) as stream:
        assert bench.vm is not None
        moves = bench.vm.keeper._moves
        # A start that waits for a first renewal is under way.
        starting = asyncio.ensure_future(bench.start(7, move=3))
        await eventually(lambda: moves._under_way, "the start is under way")
        fencing = asyncio.ensure_future(stream.ask("fence", move=3))
        await eventually(lambda: moves.fenced == 3, "the fence has come")
        await asyncio.sleep(0.1)
        assert not fencing.done()
        stream.send({"renew": stream.ticks[-1]["token"]})
        assert (await starting)["state"] == "running"
        fenced = await fencing
        assert [run["run"] for run in fenced["runs"]] == [7]


async def test_an_archive_that_comes_after_the_fence_starts_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with bench.running(), bench.stream() as stream:
        archive = tar_of(count=b"41")
        request = {"do": "start", "move": 3, "run": 7, "task": "T", "slug": "T", "command": ["sh"]}
        reader, writer = await bench.connect()
        line = json.dumps({**request, "archive": len(archive)}).encode() + b"\n"
        writer.write(line + archive[:100])
        await writer.drain()
        await stream.ask("fence", move=3)
        writer.write(archive[100:])
        assert json.loads(await reader.read())["kind"] == "stale-move"
        writer.close()
    assert bench.units.started == []


async def test_nothing_starts_before_the_monitor_has_renewed_the_lease(
    tmp_path: Path,
) -> None:
    """The initial lease is longer than what the monitor counts on."""
    bench = Bench(tmp_path)
    async with bench.running(), bench.stream(echo=False) as stream:
        starting = asyncio.ensure_future(bench.start(7))
        await asyncio.sleep(0.2)
        assert not starting.done()
        assert bench.units.started == []
        stream.send({"renew": stream.ticks[-1]["token"]})
        assert (await starting)["state"] == "running"


async def test_a_new_stream_ends_the_one_before_and_its_renewals(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with bench.running(), bench.stream(echo=False) as old:
        old.send({"renew": old.ticks[-1]["token"]})
        await old.until(lambda: old.ticks[-1]["expires_in"] < 31, "the first renewal")
        async with bench.stream(echo=False) as new:
            bench.clock.ahead += 10
            await new.until(lambda: new.ticks[-1]["expires_in"] < 21, "time to pass")
            old.send({"renew": new.ticks[-1]["token"]})
            await asyncio.wait([old.reading], timeout=20)
            assert old.reading.done()
            await new.more_ticks(2)
            assert new.ticks[-1]["expires_in"] < 21
            new.send({"renew": new.ticks[-1]["token"]})
            await new.until(lambda: new.ticks[-1]["expires_in"] > 25, "a renewal")


async def test_an_old_token_neither_shortens_nor_prolongs(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with bench.running(), bench.stream(echo=False) as stream:
        first = stream.ticks[-1]["token"]
        bench.clock.ahead += 10
        await stream.more_ticks(1)
        stream.send({"renew": stream.ticks[-1]["token"]})
        await stream.until(lambda: stream.ticks[-1]["expires_in"] < 31, "a renewal")
        bench.clock.ahead += 10
        for token in (first, "nonsense", None, stream.ticks[0]["token"]):
            stream.send({"renew": token})
        await stream.ask("status")
        left = (await stream.ask("status"))["lease"]["expires_in"]
        assert 11 < left < 20.1  # 30 from the renewal's token; 10 from the first


async def test_all_is_dead_before_the_end_and_the_vm_asks_for_its_deletion_until_it_works(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path)
    bench.cloud.denied = 1
    async with bench.running(), bench.stream() as stream:
        await bench.start(7, tar_of(count=b"41"), stop_grace=60)
        bench.units.stubborn.add(7)
        stream.echo = False
        await stream.more_ticks(1)  # what was echoed has come
        bench.clock.ahead += 27
        ends = time.monotonic() + (await stream.ask("status"))["lease"]["expires_in"]
        await stream.until(lambda: stream.ticks[-1]["fenced"], "the end")
        assert time.monotonic() <= ends
        assert 7 not in bench.units.states
        assert ends - 0.6 < bench.units.killed_at[7] <= ends
        assert (await bench.start(8, task="S", slug="S"))["kind"] == "fenced"
        await eventually(lambda: len(bench.cloud.deletions) > 2, "deletion is asked for again")
    assert bench.cloud.published[-1]["expired"] is True
    assert bench.cloud.published[-1]["controller"] == "c0ffee00"
    bench.cloud.deletions.clear()
    async with bench.running(boot=True), bench.stream() as stream:
        assert stream.ticks[0]["fenced"]
        assert (await bench.start(8, task="S", slug="S"))["kind"] == "fenced"
        await eventually(lambda: bench.cloud.deletions, "deletion is asked for")


async def test_a_task_that_obeys_stops_in_time_to_be_packed_and_a_renewal_saves_the_vm(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path)
    async with bench.running(), bench.stream() as stream:
        await bench.start(7, tar_of(count=b"41"))
        stream.echo = False
        await stream.more_ticks(1)  # what was echoed has come
        bench.clock.ahead += 25.1
        await stream.run(7, state="stopped")
        assert contents((await stream.pull(7))[1]) == {"count": b"41"}
        assert not stream.ticks[-1]["fenced"]
        refused = await stream.ask("resume", run=7)
        assert refused["kind"] == "busy"
        stream.send({"renew": stream.ticks[-1]["token"]})
        await stream.until(lambda: stream.ticks[-1]["expires_in"] > 20, "a renewal")
        assert (await stream.ask("resume", run=7))["state"] == "running"


async def test_a_suspended_vm_wakes_up_to_the_end_of_its_lease(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with bench.running(), bench.stream() as stream:
        await bench.start(7)
        stream.echo = False
        bench.clock.ahead += 3600
        began = time.monotonic()
        await stream.until(lambda: stream.ticks[-1]["fenced"], "the end")
        await eventually(lambda: 7 not in bench.units.states, "the task is dead")
        assert time.monotonic() - began < 10.0  # and not when the lease would have ended, asleep


async def test_the_wall_clock_moves_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with bench.running(), bench.stream() as stream:
        await bench.start(7)
        for ahead in (86400.0, -86400.0):
            bench.clock.wall_ahead = ahead
            await stream.more_ticks(5)
            assert 20 < stream.ticks[-1]["expires_in"] <= 30
            assert not stream.ticks[-1]["fenced"]


async def test_the_lease_is_shown_outside_with_the_guests_wall_clock(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with bench.running(), bench.stream():
        await eventually(lambda: bench.cloud.published, "the lease is shown")
    shown = bench.cloud.published[0]
    assert shown["controller"] == "c0ffee00"
    assert 25 < shown["expires"] - time.time() <= 61
    assert len(bench.cloud.published) == 1  # at most every lease/3


async def test_preemption_stops_all_at_once_and_their_checkpoints_can_be_pulled(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path)
    async with bench.running(), bench.stream() as stream:
        await bench.start(7, tar_of(count=b"41"))
        await bench.start(8, tar_of(count=b"51"), task="S", slug="S")
        bench.cloud.preempted.set()
        for run, count in ((7, b"41"), (8, b"51")):
            await stream.run(run, state="stopped")
            assert contents((await stream.pull(run))[1]) == {"count": count}
        assert stream.ticks[-1]["preempted"]
        assert (await stream.ask("resume", run=7))["kind"] == "busy"
        assert (await bench.start(9, task="U", slug="U"))["kind"] == "busy"


async def test_another_keeper_goes_on_with_tasks_lease_and_tokens(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with bench.running(), bench.stream() as stream:
        await bench.start(7, tar_of(count=b"41"))
        stream.echo = False
        token = stream.ticks[-1]["token"]
        bench.clock.ahead += 15
    async with bench.running(), bench.stream(echo=False) as stream:
        assert stream.ticks[0]["runs"][0]["state"] == "running"
        assert 8 < stream.ticks[0]["expires_in"] < 15.1
        stream.send({"renew": stream.ticks[-1]["token"]})
        await stream.until(lambda: stream.ticks[-1]["expires_in"] > 20, "a renewal")
        stream.send({"renew": token})
        assert (await stream.ask("status"))["lease"]["expires_in"] > 16  # the token's would be 15
    assert len(bench.units.started) == 1


async def test_after_a_reboot_what_ran_has_ended_and_nobody_knows_how(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with bench.running(), bench.stream() as stream:
        await bench.start(7, tar_of(count=b"41"))
        token = stream.ticks[-1]["token"]
    async with bench.running(boot=True), bench.stream(echo=False) as stream:
        ended = await stream.run(7, state="ended")
        assert ended["exit_status"] is None
        assert contents((await stream.pull(7))[1]) == {"count": b"41"}
        stream.send({"renew": token})
        status = await stream.ask("status")
        assert not status["lease"]["renewed"]
        assert 50 < status["lease"]["expires_in"] <= 60
    assert len(bench.units.started) == 1


async def test_a_unit_that_nobody_knows_is_stopped(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with bench.running(), bench.stream():
        await bench.start(7)
    (bench.disk / "runs" / "7.json").write_text("{")
    async with bench.running():
        assert bench.units.states == {}
        assert (await bench.call(do="status"))[0]["runs"] == []
