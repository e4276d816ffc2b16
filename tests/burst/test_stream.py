# SPDX-License-Identifier: GPL-3.0-or-later
"""The monitor's link and the VM's keeper, both real, with plain processes for ssh and the tasks."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import statistics
import sys
import tarfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from cloudspill_monitor import procfs
from cloudspill_monitor.burst.link import LinkError, VmLink
from cloudspill_monitor.burst.remote_logs import RemoteLog
from cloudspill_monitor.clock import SystemClock
from monitor.tests.stream_guest import Heard, until
from tests.unit.burst_keeper.local_vm import LocalVm

LEASE = 4.0
COUNT = (
    "import itertools, os, time\n"
    "for n in itertools.count():\n"
    "    print('line', n, flush=True)\n"
    "    open('fresh', 'w').write(str(n))\n"
    "    os.replace('fresh', 'progress')\n"
    "    time.sleep(0.002)\n"
)


@pytest.fixture
def vm(tmp_path: Path) -> Iterator[LocalVm]:
    made = LocalVm(tmp_path / "vm", lease=LEASE)
    made.boot()
    try:
        made.wait_ready()
        yield made
    finally:
        made.destroy()


@asynccontextmanager
async def linked(vm: LocalVm) -> AsyncIterator[tuple[VmLink, Heard]]:
    heard = Heard()
    link = VmLink(vm.ssh_command, LEASE, 1.0, SystemClock(), heard)
    link.start()
    try:
        await link.wait_connected(20)
        yield link, heard
    finally:
        await link.stop()


async def start(vm: LocalVm, script: str, run: int = 7) -> None:
    """Have the VM run a Python script as run `run`, as a playbook does."""
    request: dict[str, Any] = {
        "do": "start",
        "move": 1,
        "run": run,
        "task": "Task 3",
        "slug": f"task-{run}",
        "command": [sys.executable, "-c", script],
        "env": {},
        "checkpoint_paths": ["progress"],
        "restart": "never",
        "stop_signal": "SIGTERM",
        "stop_grace": 2.0,
        "archive": 0,
    }
    calling = await asyncio.create_subprocess_exec(
        *(*vm.ssh_command, "host", "sudo -n cloudspill-burst call"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    answer, _ = await calling.communicate(json.dumps(request).encode() + b"\n")
    assert json.loads(answer).get("state") == "running", answer


def ssh(vm: LocalVm) -> list[int]:
    """The processes that carry the stream."""
    socket = str(vm.socket).encode()
    return [
        child.pid
        for child in psutil.Process().children()
        if socket in procfs.command_line(child.pid)
    ]


def state(link: VmLink, run: int = 7) -> str | None:
    """What the last tick says of the run."""
    runs = link.last_tick["runs"] if link.last_tick is not None else []
    return next((told["state"] for told in runs if told["run"] == run), None)


async def test_a_log_is_whole_after_the_death_of_ssh_and_of_the_keeper(
    vm: LocalVm, tmp_path: Path
) -> None:
    path = tmp_path / "home.log"
    async with linked(vm) as (link, heard):
        await start(vm, COUNT)
        link.follow(7, RemoteLog(path))
        await heard.until_lines(50)
        (carrier,) = ssh(vm)
        os.kill(carrier, signal.SIGKILL)
        await heard.until("connected", 2)
        await heard.until_lines(len(heard.lines) + 50)
        vm.kill_keeper()
        await heard.until("lost", 2)
        vm.boot()
        await heard.until("connected", 3)
        await heard.until_lines(len(heard.lines) + 50)
        ended = await link.request("stop", run=7)
        await link.log_home(7, ended["log_size"], timeout=20)
        link.unfollow(7)
    numbers = [int(line.split()[1]) for line in path.read_text().splitlines()]
    assert numbers == list(range(len(numbers)))
    assert heard.lines == [f"line {n}" for n in numbers]


async def test_checkpoints_of_a_running_and_of_a_stopped_task_come_home(
    vm: LocalVm, tmp_path: Path
) -> None:
    async with linked(vm) as (link, heard):
        await start(vm, COUNT.replace("0.002", "0.05"))  # so that a live pack can be consistent
        link.follow(7, RemoteLog(tmp_path / "home.log"))
        await heard.until_lines(10)
        live = await link.pull(7, tmp_path / "live.tar")
        stopped = await link.request("stop", run=7)
        last = await link.pull(7, tmp_path / "last.tar")
        assert (live["state"], last["state"]) == ("running", "stopped")
        assert (last["sha256"], last["size"]) == (stopped["sha256"], stopped["size"])
        await link.request("release", run=7)
        with pytest.raises(LinkError) as refused:
            await link.pull(7, tmp_path / "none.tar")
        assert refused.value.kind == "unknown-run"
    counted = [progress(tmp_path / name) for name in ("live.tar", "last.tar")]
    assert 0 <= counted[0] <= counted[1]


def progress(archive: Path) -> int:
    with tarfile.open(archive) as packed:
        member = packed.extractfile("progress")
        assert member is not None
        return int(member.read() or b"0")


@pytest.mark.slow
async def test_a_vm_that_is_renewed_no_more_is_dead_when_its_lease_is_over(vm: LocalVm) -> None:
    clock = SystemClock()
    async with linked(vm) as (link, heard):
        await start(vm, COUNT)
        began = clock.boottime()
        await until(lambda: clock.boottime() > began + LEASE + 1.5)  # it lives by renewals
        assert state(link) == "running"
        link.renewing = False
        over_at = link.lease_over_at()
        assert clock.boottime() < over_at <= clock.boottime() + LEASE + 1.0
        await until(lambda: state(link) == "stopped")
        assert clock.boottime() < over_at
        await until(lambda: link.last_tick is not None and link.last_tick["fenced"])
        await until(lambda: vm.deleted and clock.boottime() > over_at)
        link.renewing = True
        ticks = len(heard.of("tick"))
        await heard.until("tick", ticks + 5)
        with pytest.raises(LinkError) as refused:
            await link.request("resume", run=7)
        assert refused.value.kind == "fenced"


async def test_the_newer_of_two_links_has_the_vm(vm: LocalVm) -> None:
    async with linked(vm) as (_, first_heard):
        async with linked(vm) as (second, second_heard):
            await first_heard.until("lost")
            assert second.connected
            second.renewing = False
            # Once more the other way round: the first comes back by itself.
            await second_heard.until("lost")
        await first_heard.until("connected", 2)


async def test_a_task_that_floods_its_log_delays_no_tick(vm: LocalVm, tmp_path: Path) -> None:
    flood = "import os\nwhile True: os.write(1, b'x' * 99 + b'\\n')"
    loop = asyncio.get_running_loop()
    at: list[float] = []
    async with linked(vm) as (link, heard):
        await start(vm, flood)
        link.follow(7, RemoteLog(tmp_path / "home.log"))
        before = psutil.Process().memory_info().rss
        for count in itertools.count(len(heard.of("tick")) + 1):
            await heard.until("tick", count)
            heard.events[:] = [event for event in heard.events if event[0] != "log"]
            at.append(loop.time())
            if at[-1] > at[0] + 3:
                break
        await link.request("stop", run=7)
        grown = psutil.Process().memory_info().rss - before
    # A tick each 0.2 s. One may wait for a busy machine; behind the log all of them would.
    assert statistics.median(b - a for a, b in itertools.pairwise(at)) < 1.0
    assert (tmp_path / "home.log").stat().st_size > 1 << 20
    assert grown < 16 << 20
