# SPDX-License-Identifier: GPL-3.0-or-later
"""How logs are asked for when something is in the way: a refusal, a cut file, a full disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloudspill_monitor.burst.link_error import LinkError
from cloudspill_monitor.burst.log_follower import PORTION, LogFollower
from cloudspill_monitor.burst.remote_logs import RemoteLog

from .full_disk import full_after
from .stream_guest import until


class Vm:
    """Answers requests for the log of run 7, which is `content`."""

    def __init__(self) -> None:
        self.content = b""
        self.refusals = 0
        self.asked: list[int] = []
        self.told: list[str] = []
        self.follower = LogFollower(self._ask, self._tell, look_again=0.4)

    async def _ask(self, run: int, offset: int, most: int) -> None:
        self.asked.append(offset)
        if self.refusals:
            self.refusals -= 1
            raise LinkError("unknown-run", f"there is no run {run}")
        if data := self.content[offset : offset + most]:
            self.follower.take({"run": run, "offset": offset, "data": data})

    def _tell(self, run: int, lines: list[str]) -> None:
        assert run == 7
        self.told += lines


@pytest.fixture
async def vm() -> AsyncIterator[Vm]:
    made = Vm()
    yield made
    await made.follower.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.log"


def begin(vm: Vm, path: Path) -> RemoteLog:
    log = RemoteLog(path)
    vm.follower.follow(7, log)
    vm.follower.connected()
    return log


async def test_nothing_is_asked_without_a_connection(vm: Vm, path: Path) -> None:
    vm.follower.follow(7, RemoteLog(path))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert vm.asked == []
    vm.follower.connected()
    await until(lambda: vm.asked == [0])


async def test_a_refused_log_is_asked_for_again(vm: Vm, path: Path) -> None:
    vm.content, vm.refusals = b"here I am\n", 2
    begin(vm, path)
    await until(lambda: vm.told == ["here I am"])
    assert vm.asked == [0, 0, 0]


async def test_a_portion_that_is_whole_is_not_asked_for_twice(vm: Vm, path: Path) -> None:
    vm.content = b"x" * (PORTION + 1)
    begin(vm, path)
    await until(lambda: path.exists() and path.stat().st_size == PORTION + 1)
    await asyncio.sleep(0.9)  # twice what is waited before looking again
    assert vm.asked == [0, PORTION]


async def test_a_log_that_lost_bytes_at_home_is_made_whole(vm: Vm, path: Path) -> None:
    vm.content = b"one\ntwo\n"
    begin(vm, path)
    await until(lambda: vm.told == ["one", "two"])
    path.write_bytes(b"one\n")
    await until(lambda: path.read_bytes() == vm.content)
    assert vm.told == ["one", "two"]


async def test_lines_are_told_while_the_disk_is_full_and_the_file_is_made_whole_later(
    vm: Vm, path: Path
) -> None:
    vm.content = b"x\n" * PORTION  # two portions of bytes
    with full_after(100):
        log = begin(vm, path)
        await until(lambda: len(vm.told) == PORTION)
        assert log.size == 100
        await until(lambda: vm.asked.count(100) > 2)  # it is tried from time to time
    await until(lambda: path.read_bytes() == vm.content)
    assert len(vm.told) == PORTION
