# SPDX-License-Identifier: GPL-3.0-or-later
"""What plays and monitors ask for, asked twice, out of turn, and garbled."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.burst_keeper.bench import Bench, Stream, contents, tar_of


async def test_a_task_goes_out_with_its_checkpoint_and_comes_home_with_its_progress(
    bench: Bench, stream: Stream
) -> None:
    answer, _ = await bench.call(tar_of(program=b"#!"), do="prepare", move=1, slug="T")
    assert answer == {}
    run = await bench.start(7, tar_of(count=b"41"), env={"A": "1"}, command=["./program", "x"])
    assert (run["run"], run["state"]) == (7, "running")
    spec = bench.units.started[0]
    assert Path(spec.command[0]).samefile(bench.work("program"))
    assert spec.command[1:] == ("x",)
    added = {"A": "1", "CLOUDSPILL_TASK": "T", "CLOUDSPILL_RUN": "7"}
    assert spec.environment.items() >= added.items()
    assert bench.work().read_bytes() == b"41"
    bench.work().write_bytes(b"42")
    stopped, archive = await bench.call(do="stop", move=2, run=7)
    assert stopped["state"] == "stopped"
    assert contents(archive) == {"count": b"42"}
    assert (await stream.run(7, state="stopped"))["sha256"] == stopped["sha256"]
    released = await stream.ask("release", run=7)
    assert released["state"] == "released"
    assert not bench.work().exists()
    assert (await bench.call(do="status"))[0]["runs"] == []


async def test_a_start_that_is_asked_for_twice_happens_once(bench: Bench, stream: Stream) -> None:
    first = await bench.start(7, tar_of(count=b"41"))
    bench.work().write_bytes(b"99")
    assert await bench.start(7, tar_of(count=b"41")) == first
    assert len(bench.units.started) == 1
    assert bench.work().read_bytes() == b"99"
    await bench.call(do="stop", move=1, run=7)
    assert (await bench.start(7, tar_of(count=b"41")))["state"] == "stopped"
    await stream.ask("release", run=7)
    assert (await bench.start(7))["state"] == "released"
    assert len(bench.units.started) == 1


async def test_a_stop_that_is_asked_for_twice_gives_the_same_archive(
    bench: Bench, stream: Stream
) -> None:
    await bench.start(7, tar_of(count=b"41"))
    first = await bench.call(do="stop", move=1, run=7)
    bench.work().write_bytes(b"later")
    assert await bench.call(do="stop", move=1, run=7) == first
    assert (await stream.ask("stop", run=7))["sha256"] == first[0]["sha256"]
    _, pulled = await stream.pull(7)
    assert pulled == first[1]


async def test_release_is_refused_while_a_run_runs_and_may_be_asked_for_twice(
    bench: Bench, stream: Stream
) -> None:
    await bench.start(7)
    assert (await stream.ask("release", run=7))["kind"] == "busy"
    await stream.ask("stop", run=7)
    assert await stream.ask("release", run=7) == await stream.ask("release", run=7)
    for do in ("stop", "resume", "pull", "follow"):
        assert (await stream.ask(do, run=7, offset=0))["kind"] == "unknown-run"


async def test_only_one_run_of_a_task_is_there_at_a_time(bench: Bench, stream: Stream) -> None:
    await bench.start(7)
    refused = await bench.start(8)
    assert refused["kind"] == "busy"
    assert "run 7 of T is running" in refused["error"]
    await stream.ask("stop", run=7)
    assert (await bench.start(8))["kind"] == "busy"
    await stream.ask("release", run=7)
    assert (await bench.start(8))["state"] == "running"


async def test_a_stopped_run_is_resumed_as_the_same_run(bench: Bench, stream: Stream) -> None:
    await bench.start(7, tar_of(count=b"41"))
    bench.work().write_bytes(b"42")
    await stream.ask("stop", run=7)
    resumed = await stream.ask("resume", run=7)
    assert (resumed["run"], resumed["state"], resumed["sha256"]) == (7, "running", None)
    assert bench.work().read_bytes() == b"42"
    assert await stream.ask("resume", run=7) == resumed
    assert len(bench.units.started) == 2


async def test_files_prepared_for_the_next_run_survive_a_late_release_of_the_last(
    bench: Bench, stream: Stream
) -> None:
    await bench.start(7, tar_of(count=b"41"))
    await stream.ask("stop", run=7)
    await bench.call(tar_of(program=b"new"), do="prepare", move=2, slug="T")
    await stream.ask("release", run=7)
    await bench.start(8, tar_of(count=b"43"), move=2)
    assert bench.work("program").read_bytes() == b"new"
    assert bench.work().read_bytes() == b"43"


async def test_a_run_that_ends_by_itself_is_shown_with_its_status_and_packed(
    bench: Bench, stream: Stream
) -> None:
    await bench.start(7, tar_of(count=b"41"))
    bench.units.exit(7, 3)
    ended = await stream.run(7, state="ended")
    assert (ended["exit_status"], ended["pid"]) == (3, None)
    answer, archive = await stream.pull(7)
    assert answer["state"] == "ended"
    assert contents(archive) == {"count": b"41"}
    stopped, _ = await bench.call(do="stop", move=1, run=7)
    assert (stopped["state"], stopped["exit_status"]) == ("ended", 3)
    assert await stream.ask("resume", run=7) == {k: v for k, v in stopped.items() if k != "archive"}


async def test_a_running_checkpoint_is_pulled_whole(bench: Bench, stream: Stream) -> None:
    big = b"x" * 3_000_000
    await bench.start(7, tar_of(count=big))
    answer, archive = await stream.pull(7)
    assert answer["state"] == "running"
    assert answer["size"] == len(archive)
    assert contents(archive) == {"count": big}
    assert list((bench.disk / "archives").iterdir()) == []


async def test_a_start_that_fails_is_as_though_nobody_had_asked(
    bench: Bench, stream: Stream
) -> None:
    bench.units.failing = "exec format error"
    refused = await bench.start(7, tar_of(count=b"41"))
    assert (refused["kind"], refused["error"]) == ("failed", "exec format error")
    missing = await bench.start(8, command=["no-such-program"])
    assert "this VM has no program 'no-such-program'" in missing["error"]
    assert (await bench.call(do="status"))[0]["runs"] == []
    assert (await bench.call(do="stop", move=1, run=7))[0]["kind"] == "unknown-run"
    bench.units.failing = ""
    assert (await bench.start(7, tar_of(count=b"42")))["state"] == "running"
    assert bench.work().read_bytes() == b"42"


async def test_a_resume_that_fails_leaves_the_run_stopped(bench: Bench, stream: Stream) -> None:
    await bench.start(7, tar_of(count=b"41"))
    await stream.ask("stop", run=7)
    bench.units.failing = "no memory"
    assert (await stream.ask("resume", run=7))["kind"] == "failed"
    _, archive = await stream.pull(7)
    assert contents(archive) == {"count": b"41"}


async def test_a_wrong_or_short_archive_starts_nothing(bench: Bench, stream: Stream) -> None:
    wrong = await bench.start(7, tar_of(count=b"41"), sha256="0" * 64)
    assert wrong["kind"] == "bad-request"
    damaged = await bench.start(7, b"no tar")
    assert damaged["kind"] == "bad-request"
    line = b'{"do":"start","archive":100}\nshort'
    assert json.loads(await bench.raw(line, eof=True))["kind"] == "bad-request"
    assert bench.units.started == []
    assert (await bench.call(do="status"))[0]["runs"] == []
    assert list((bench.disk / "incoming").iterdir()) == []


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe\n",
        b"[1]\n",
        b"nonsense\n",
        b"[" * 100_000 + b"\n",
        b'{"do":"stop","run":"7","move":1}\n',
        b'{"do":"stop","run":true,"move":1}\n',
        b'{"do":"start","move":1,"run":1,"task":"T","slug":"../T","command":["sh"]}\n',
        b'{"do":"start","move":1,"run":1,"task":"T","slug":"T","command":[]}\n',
        b'{"do":"start","move":1,"run":1,"task":"T","slug":"T","command":["a\\u0000"]}\n',
        b'{"do":"start","move":1,"run":1,"task":"T","slug":"T","command":["a"],"env":{"a.b":""}}\n',
        b'{"do":"start","move":1,"run":1,"task":"T","slug":"T","command":["a"],"restart":"x"}\n',
        b'{"do":"start","move":1,"run":1,"task":"T","slug":"T","command":["a"],"stop_grace":NaN}\n',
        b'{"do":"launch"}\n',
        b'{"do":"resume","run":1}\n',
        b'{"do":"prepare","move":1,"slug":"T"}\n',
        b'{"do":"status","archive":-1}\n',
        b"x" * (2 << 20) + b"\n",
    ],
)
async def test_a_garbled_call_is_a_bad_request(bench: Bench, line: bytes) -> None:
    assert json.loads(await bench.raw(line))["kind"] == "bad-request"
    assert (await bench.call(do="status"))[0]["runs"] == []


async def test_a_garbled_line_of_a_stream_is_refused_and_the_stream_goes_on(
    bench: Bench, stream: Stream
) -> None:
    for line in (
        b"\xff\n",
        b"7\n",
        b'{"id":[],"do":"x"}\n',
        b"x" * (3 << 20) + b"\n",
        b'{"do":1}\n',
    ):
        stream.writer.write(line)
    await stream.until(lambda: len(stream.refusals) >= 4, "refusals")
    assert {refusal["kind"] for refusal in stream.refusals} == {"bad-request"}
    assert (await stream.ask("status"))["runs"] == []


async def test_a_line_that_is_too_long_is_no_line_even_where_its_end_would_be_one(
    bench: Bench,
) -> None:
    refused = json.loads(await bench.raw(b" " * (2 << 20) + b'{"do":"status"}\n'))
    assert "longer than 1048576 bytes" in refused["error"]


async def test_a_release_that_is_repeated_late_spares_the_next_run(
    bench: Bench, stream: Stream
) -> None:
    await bench.start(7)
    await stream.ask("stop", run=7)
    await stream.ask("release", run=7)
    await bench.start(8, tar_of(count=b"43"))
    await stream.ask("release", run=7)
    assert bench.work().read_bytes() == b"43"


async def test_a_call_that_says_nothing_may_idle_and_go(bench: Bench) -> None:
    reader, writer = await bench.connect()
    assert (await bench.call(do="status"))[0]["runs"] == []
    writer.close()
    assert await reader.read() == b""
