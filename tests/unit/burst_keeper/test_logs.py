# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs come from any offset, byte by byte, and no more of them than is wanted."""

from __future__ import annotations

import base64
import os
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from tests.unit.burst_keeper.bench import Bench, Stream


@pytest_asyncio.fixture(autouse=True)
async def _started(bench: Bench, stream: Stream) -> None:
    await bench.start(7)


def log(bench: Bench) -> Path:
    return bench.disk / "logs" / "7.log"


def received(stream: Stream, offset: int) -> bytes:
    """What came, which must join."""
    data = b""
    for piece in stream.logs:
        assert piece["run"] == 7
        assert piece["offset"] == offset + len(data)
        decoded = base64.b64decode(piece["data"])
        assert 0 < len(decoded) <= 65536
        data += decoded
    return data


def _has_come(stream: Stream, offset: int, wanted: bytes) -> bool:
    return received(stream, offset) == wanted


@pytest.mark.parametrize("offset", [0, 1, 65535, 65536, 65537, 200_000, 200_001])
async def test_a_log_is_followed_from_any_offset(bench: Bench, stream: Stream, offset: int) -> None:
    content = os.urandom(200_000)
    log(bench).write_bytes(content)
    assert (await stream.ask("follow", run=7, offset=offset))["log_size"] == 200_000
    for more in (b"a", b"b\n" * 1000, os.urandom(100_000)):
        content += more
        with log(bench).open("ab") as file:
            file.write(more)
        wanted = content[offset:]
        await stream.until(partial(_has_come, stream, offset, wanted), "the log's end")
    assert received(stream, offset) == content[offset:]


async def test_no_more_comes_than_was_asked_for_until_it_is_asked_for_again(
    bench: Bench, stream: Stream
) -> None:
    content = os.urandom(150_000)
    log(bench).write_bytes(content)
    await stream.ask("follow", run=7, offset=0, most=100_000)
    await stream.until(lambda: len(received(stream, 0)) >= 100_000, "what was asked for")
    await stream.more_ticks(4)
    assert received(stream, 0) == content[:100_000]
    await stream.ask("follow", run=7, offset=100_000, most=100_000)
    await stream.until(lambda: len(received(stream, 0)) == 150_000, "the rest")
    assert received(stream, 0) == content


async def test_a_follow_replaces_the_one_before(bench: Bench, stream: Stream) -> None:
    await stream.ask("follow", run=7, offset=0)
    await stream.ask("follow", run=7, offset=2)
    log(bench).write_bytes(b"0123456789")
    await stream.until(lambda: stream.logs, "a piece")
    await stream.more_ticks(4)
    assert received(stream, 2) == b"23456789"


async def test_the_log_of_a_run_that_is_over_still_comes(bench: Bench, stream: Stream) -> None:
    log(bench).write_bytes(b"last words")
    await stream.ask("stop", run=7)
    await stream.ask("follow", run=7, offset=5)
    await stream.until(lambda: stream.logs, "a piece")
    assert received(stream, 5) == b"words"
    assert (await stream.run(7, state="stopped"))["log_size"] == 10


async def test_ticks_go_on_while_a_log_is_longer_than_anyone_reads(
    bench: Bench, stream: Stream
) -> None:
    with log(bench).open("wb") as file:
        file.truncate(200 << 20)
    await stream.ask("follow", run=7, offset=0)
    await stream.more_ticks(10)
    assert stream.ticks[-1]["expires_in"] > 25
