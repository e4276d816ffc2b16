# SPDX-License-Identifier: GPL-3.0-or-later
"""The ssh process of a VM's stream: started, tried again, ended with all that it began."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from cloudspill_monitor import procfs
from cloudspill_monitor.burst.link import LinkError, VmLink

from .conftest import FakeClock
from .stream_guest import TICK, Heard, until


async def test_nothing_that_ssh_started_outlives_the_link(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    pids = tmp_path / "pids"
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\nsleep 600 & echo $$ $! > {pids}.new\nmv {pids}.new {pids}\nwait\n")
    ssh.chmod(0o700)
    link = VmLink([str(ssh), "host"], 30.0, 2.0, clock, Heard())
    link.start()
    try:
        await until(pids.exists)
        started = [int(pid) for pid in pids.read_text().split()]
        assert len(procfs.live(started)) == 2
    finally:
        await link.stop()
    await until(lambda: not procfs.live(started))
    assert procfs.read_stat(started[0]) is None  # and the link's own child is reaped
    assert caplog.text == ""  # by asyncio, which complains if somebody else does


async def test_a_process_that_got_away_holds_up_nothing(tmp_path: Path, clock: FakeClock) -> None:
    tick = json.dumps({"tick": {**TICK, "token": "1"}})
    away = tmp_path / "away"
    ssh = tmp_path / "ssh"
    ssh.write_text(f"""#!/bin/sh
exec 3<&0  # what is in the background is given another standard input, unless it is told so
setsid sh -c 'echo $$ > {away}; exec sleep 600' <&3 &
until [ -s {away} ]; do sleep 0.01; done
echo '{tick}'
wait
""")
    ssh.chmod(0o700)
    link = VmLink([str(ssh), "host"], 30.0, 2.0, clock, Heard())
    link.start()
    try:
        await link.wait_connected(20)
        asking = asyncio.create_task(link.request("status", more="x" * 200_000))  # a full pipe
        await asyncio.sleep(0)
        async with asyncio.timeout(20):
            await link.stop()
        with pytest.raises(LinkError, match="stopped"):
            await asking
    finally:
        os.kill(int(away.read_text()), signal.SIGKILL)


async def test_a_vm_that_takes_nothing_is_connected_anew(tmp_path: Path, clock: FakeClock) -> None:
    tick = json.dumps({"tick": {**TICK, "token": "1"}})
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\nwhile :; do echo '{tick}'; sleep 0.1; done\n")
    ssh.chmod(0o700)
    heard = Heard()
    link = VmLink([str(ssh), "host"], 1.2, 2.0, clock, heard)
    link.start()
    try:
        await link.wait_connected(20)
        with pytest.raises(LinkError, match="takes nothing"):
            await link.request("status", more="x" * 200_000)
        await heard.until("connected", 2)
    finally:
        await link.stop()


@pytest.mark.parametrize("turns", range(8))
@pytest.mark.parametrize("ending", ["stop", "end of the loop"])
def test_an_ssh_that_is_only_starting_is_ended_too(
    tmp_path: Path, clock: FakeClock, turns: int, ending: str
) -> None:
    odd = f"600.{os.getpid()}{turns}"  # seconds
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\nsleep {odd} & sleep {odd}\n")
    ssh.chmod(0o700)

    async def run() -> None:
        link = VmLink([str(ssh), "host"], 30.0, 2.0, clock, Heard())
        link.start()
        for _ in range(turns):
            await asyncio.sleep(0)
        time.sleep(0.05)  # noqa: ASYNC251 - the children get on while the loop does not
        if ending == "stop":
            async with asyncio.timeout(20):
                await link.stop()

    asyncio.run(run())
    asyncio.run(until(lambda: not _with_argument(odd)))


def _with_argument(word: str) -> list[int]:
    return [p for p in psutil.pids() if word.encode() in procfs.command_line(p).split(b"\0")]


async def test_a_failing_ssh_is_tried_again_less_and_less_often(
    tmp_path: Path, clock: FakeClock
) -> None:
    tries = tmp_path / "tries"
    ssh = tmp_path / "ssh"
    ssh.write_text(
        f"#!/bin/sh\necho >> {tries}\necho 'Permission denied (publickey).' >&2\nexit 255"
    )
    ssh.chmod(0o700)
    heard = Heard()
    link = VmLink([str(ssh), "host"], 30.0, 2.0, clock, heard)
    link.start()
    try:
        with pytest.raises(LinkError, match=r"status 255: Permission denied \(publickey\)") as lost:
            await link.wait_connected(1.5)
    finally:
        await link.stop()
    assert lost.value.kind == "lost"
    assert 2 <= len(tries.read_text()) <= 4  # at 0, 0.2, 0.6, 1.4 s
    assert heard.events == []


async def test_an_ssh_that_is_not_there_is_named(tmp_path: Path, clock: FakeClock) -> None:
    link = VmLink([str(tmp_path / "none")], 30.0, 2.0, clock, Heard())
    link.start()
    try:
        with pytest.raises(LinkError, match="none cannot be started: No such file"):
            await link.wait_connected(1.0)
    finally:
        await link.stop()
