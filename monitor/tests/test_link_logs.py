# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs and archives that come home over a VM's stream."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import psutil
import pytest

from cloudspill_monitor.burst import archive_download
from cloudspill_monitor.burst.link import LinkError, VmLink
from cloudspill_monitor.burst.log_follower import PORTION
from cloudspill_monitor.burst.remote_logs import RemoteLog

from .conftest import FakeClock
from .stream_guest import Connection, StreamGuest, linked, until

LINE = b"x" * 63 + b"\n"


async def asked_for_log(connection: Connection) -> tuple[int, int]:
    """Obey the next request, which must be for a log; what is wanted: offset and most bytes."""
    request = await connection.receive_request()
    assert request["do"] == "follow"
    await connection.send({"id": request["id"], "ok": {}})
    return request["offset"], request["most"]


async def give(connection: Connection, content: bytes, run: int = 7) -> int:
    """Answer one request for a log as a keeper does; the number of bytes sent."""
    offset, most = await asked_for_log(connection)
    end = min(offset + most, len(content))
    for start in range(offset, end, 65536):
        await connection.log(run, start, content[start : min(start + 65536, end)])
    return end - offset


async def test_a_followed_log_comes_home_from_where_its_file_ends(
    guest: StreamGuest, clock: FakeClock, tmp_path: Path
) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"one\n")
    async with linked(guest, clock) as (link, heard):
        link.follow(7, RemoteLog(path))
        connection = await guest.connection()
        await connection.tick()
        assert await asked_for_log(connection) == (4, PORTION)
        await connection.log(7, 4, b"two\nthr")
        await connection.log(7, 11, b"ee\nfour")
        assert await heard.until_lines(2) == ["two", "three"]
        await link.log_home(7, 18, timeout=20)
        link.unfollow(7)
        assert await heard.until_lines(3) == ["two", "three", "four"]
    assert path.read_bytes() == b"one\ntwo\nthree\nfour"


async def test_a_dropped_connection_neither_loses_nor_repeats(
    guest: StreamGuest, clock: FakeClock, tmp_path: Path
) -> None:
    content = b"".join(b"line %d\n" % n for n in range(1000))
    path = tmp_path / "a.log"
    async with linked(guest, clock) as (link, heard):
        link.follow(7, RemoteLog(path))
        for upto in (1000, 2001, 4002, len(content)):
            connection = await guest.connection()
            await connection.tick()
            await give(connection, content[:upto])
            if upto == 2001:
                await connection.raw(b'{"log": {"run": 7, "offset"')  # cut within a frame
            else:
                await link.log_home(7, upto, timeout=20)
            connection.close()
        told = await heard.until_lines(1000)
    assert told == [f"line {n}" for n in range(1000)]
    assert path.read_bytes() == content


async def test_a_log_that_grows_faster_than_home_takes_it_waits_on_the_vm(
    guest: StreamGuest, clock: FakeClock, tmp_path: Path
) -> None:
    content = LINE * (3 * PORTION // len(LINE))
    async with linked(guest, clock) as (link, heard):
        link.follow(7, RemoteLog(tmp_path / "a.log"))
        connection = await guest.connection()
        await connection.tick()
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert [await give(connection, content) for _ in range(3)] == [PORTION] * 3
        await link.log_home(7, len(content), timeout=20)
        assert loop.time() - began >= 0.2  # the second and the third were not asked for at once
        assert len(await heard.until_lines(1)) == len(content) // len(LINE)


async def test_a_flood_that_nobody_asked_for_hides_no_tick_and_fills_no_memory(
    guest: StreamGuest, clock: FakeClock, tmp_path: Path
) -> None:
    async with linked(guest, clock) as (link, heard):
        link.follow(7, RemoteLog(tmp_path / "a.log"))
        connection = await guest.connection()
        await connection.tick()
        await asked_for_log(connection)
        frame = LINE * 1000
        await connection.log(7, 0, frame)
        await heard.until_lines(1)
        before = 0
        for number in range(400):  # 25 MB of logs, none of it of use
            if number == 40:
                before = psutil.Process().memory_info().rss
            await connection.log(8, number * len(frame), frame)
            if number % 40 == 39:
                await connection.tick()
        await heard.until("tick", 11)
        assert psutil.Process().memory_info().rss - before < 12 << 20
        assert link.connected


async def test_a_log_that_does_not_come_home_is_said(
    guest: StreamGuest, clock: FakeClock, tmp_path: Path
) -> None:
    async with linked(guest, clock) as (link, _):
        link.follow(7, RemoteLog(tmp_path / "a.log"))
        with pytest.raises(LinkError, match="log of run 7 is not all home") as late:
            await link.log_home(7, 1, timeout=0.05)
        assert late.value.kind == "timeout"


async def test_only_a_log_that_is_followed_can_be_waited_for(
    guest: StreamGuest, clock: FakeClock
) -> None:
    async with linked(guest, clock) as (link, _):
        with pytest.raises(LinkError, match="run 7 is not followed"):
            await link.log_home(7, 1, timeout=20)


@pytest.fixture
def archive() -> bytes:
    return bytes(range(256)) * 4000


def announced(content: bytes) -> dict[str, Any]:
    return {
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
        "state": "running",
    }


async def pulling(link: VmLink, connection: Connection, to: Path) -> tuple[asyncio.Task[Any], int]:
    """A pull that has begun, and its number."""
    await connection.tick()
    await link.wait_connected(20)
    pull = asyncio.create_task(link.pull(7, to))
    request = await connection.receive_request()
    assert (request["do"], request["run"]) == ("pull", 7)
    return pull, request["id"]


async def test_an_archive_comes_home_whole(
    guest: StreamGuest, clock: FakeClock, tmp_path: Path, archive: bytes
) -> None:
    to = tmp_path / "a.tar"
    to.write_bytes(b"the one before")
    async with linked(guest, clock) as (link, heard):
        connection = await guest.connection()
        pull, number = await pulling(link, connection, to)
        for start in range(0, len(archive), 262144):
            await connection.chunk(number, archive[start : start + 262144])
            await connection.tick()  # ticks go between
        await heard.until("tick", 5)
        assert to.read_bytes() == b"the one before"
        await connection.send({"id": number, "ok": announced(archive)})
        assert await pull == announced(archive)
    assert to.read_bytes() == archive
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]
    assert to.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("answer", ["sum", "size", "nonsense", "refusal", "cut"])
async def test_an_archive_that_is_not_whole_changes_nothing(
    guest: StreamGuest, clock: FakeClock, tmp_path: Path, archive: bytes, answer: str
) -> None:
    to = tmp_path / "a.tar"
    to.write_bytes(b"the one before")
    async with linked(guest, clock) as (link, _):
        connection = await guest.connection()
        pull, number = await pulling(link, connection, to)
        for start in range(0, len(archive), 262144):
            await connection.chunk(number, archive[start : start + 262144])
        said: dict[str, Any] = {
            "sum": {"ok": {**announced(archive), "sha256": "0" * 64}},
            "size": {"ok": {**announced(archive), "size": 5}},
            "nonsense": {"ok": {"size": "many"}},
            "refusal": {"error": "the disk is full", "kind": "no-space"},
        }
        if answer == "cut":
            connection.close()
        else:
            await connection.send({"id": number, **said[answer]})
        with pytest.raises(LinkError) as failed:
            await pull
    kinds = {"refusal": "no-space", "cut": "lost"}
    assert failed.value.kind == kinds.get(answer, "corrupt")
    assert to.read_bytes() == b"the one before"
    assert list(tmp_path.iterdir()) == [to]


async def test_a_pull_that_cannot_be_kept_says_so_and_the_stream_goes_on(
    guest: StreamGuest, clock: FakeClock, tmp_path: Path, archive: bytes
) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    async with linked(guest, clock) as (link, heard):
        connection = await guest.connection()
        pull, number = await pulling(link, connection, folder / "a.tar")
        for leftover in folder.iterdir():
            leftover.unlink()
        folder.rmdir()
        await connection.chunk(number, archive[:262144])
        await connection.chunk(number, archive[:262144])
        with pytest.raises(LinkError, match=r"a\.tar cannot be written: No such file") as failed:
            await pull
        assert failed.value.kind == "disk-full-here"
        await connection.tick()
        await heard.until("tick", 2)
        assert link.connected
        with pytest.raises(LinkError, match="cannot be written"):
            await link.pull(7, folder / "a.tar")


async def test_a_pull_that_is_given_up_leaves_nothing(
    guest: StreamGuest, clock: FakeClock, tmp_path: Path, archive: bytes
) -> None:
    async with linked(guest, clock) as (link, heard):
        connection = await guest.connection()
        pull, number = await pulling(link, connection, tmp_path / "a.tar")
        await connection.chunk(number, archive[:262144])
        await until(lambda: any(p.stat().st_size for p in tmp_path.iterdir()))
        pull.cancel()
        await asyncio.wait([pull])
        assert list(tmp_path.iterdir()) == []
        await connection.chunk(number, archive[:262144])
        await connection.tick()
        await heard.until("tick", 2)
        assert list(tmp_path.iterdir()) == []


async def test_what_is_written_late_brings_no_archive_back(tmp_path: Path) -> None:
    download = archive_download.ArchiveDownload(tmp_path / "a.tar")
    await download.write(b"one")
    download.discard()
    with pytest.raises(LinkError):
        await download.write(b"two")  # a thread that was writing when the pull was given up
    assert list(tmp_path.iterdir()) == []
