# SPDX-License-Identifier: GPL-3.0-or-later
"""The stream to a VM: ticks, renewals, requests, and connections that break."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import pytest

from cloudspill_monitor import procfs
from cloudspill_monitor.burst.link import LinkError, VmLink

from .conftest import FakeClock
from .stream_guest import TICK, Connection, Heard, StreamGuest, linked

RUN = {"run": 7, "task": "Task 3", "state": "running", "pid": 12, "log_size": 0}


async def test_it_is_connected_from_the_first_tick_on(guest: StreamGuest, clock: FakeClock) -> None:
    async with linked(guest, clock) as (link, heard):
        connection = await guest.connection()
        assert not link.connected
        await connection.tick(runs=[RUN], surprise="of a newer keeper")
        await link.wait_connected(20)
        tick = await heard.until("tick")
        assert [kind for kind, _ in heard.events] == ["connected", "tick"]
        assert tick["runs"] == [RUN]
        assert link.last_tick == tick
        assert link.connected


async def test_the_ssh_is_the_links_own(
    guest: StreamGuest, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDSPILL_MOVE", "a1b2c3/4")  # as if a playbook's hook had started it
    async with linked(guest, clock):
        started = (await guest.connection()).started
    argv = started["argv"]
    assert started["move"] is None
    assert argv[-5:] == [
        guest.ssh_command[1],
        *("sudo", "-n", "/usr/local/bin/cloudspill-burst", "stream"),
    ]
    assert {"BatchMode=yes", "ControlMaster=no", "ControlPath=none"} < set(argv[:-5])
    assert os.getsid(0) != started["pid"]


async def test_the_first_tick_is_echoed_at_once(guest: StreamGuest, clock: FakeClock) -> None:
    async with linked(guest, clock):
        connection = await guest.connection()
        token = "an id/12345.678901"
        await connection.tick(token=token)
        assert await connection.receive() == {"renew": token}


async def test_the_newest_token_is_echoed_six_times_a_lease_at_most(
    guest: StreamGuest, clock: FakeClock
) -> None:
    async with linked(guest, clock, lease=3.0) as (link, heard):
        connection = await guest.connection()
        loop = asyncio.get_running_loop()
        began, ticks, echoes = loop.time(), 0, 0
        async with asyncio.timeout(20):
            while echoes < 4 or ticks == echoes:  # at 0, 0.45, 0.9, 1.35 s
                token = await connection.tick()
                ticks += 1
                await heard.until("tick", ticks)
                # What the link says of this tick, it has said before it says anything else.
                asking = asyncio.create_task(link.request("status"))
                while "renew" in (said := await connection.receive()):
                    assert said == {"renew": token}
                    echoes += 1
                await connection.send({"id": said["id"], "ok": {}})
                await asking
                await asyncio.sleep(0.02)
        assert loop.time() - began > 0.45 * (echoes - 1)


async def test_a_vm_that_is_to_die_is_not_renewed(guest: StreamGuest, clock: FakeClock) -> None:
    async with linked(guest, clock) as (link, heard):
        link.renewing = False
        connection = await guest.connection()
        await connection.tick()
        await heard.until("tick")
        asking = asyncio.create_task(link.request("status"))
        assert (await connection.receive())["do"] == "status"  # the first line, so no renewal
        asking.cancel()


async def test_a_silent_connection_is_ended_and_made_again(
    guest: StreamGuest, clock: FakeClock
) -> None:
    async with linked(guest, clock, patience=1.0) as (link, heard):
        first = await guest.connection()
        await first.tick()
        assert "not ticked for 1 s" in await heard.until("lost")
        assert not procfs.live([first.started["pid"]])
        assert not link.connected
        second = await guest.connection()
        token = await second.tick()
        await heard.until("connected", 2)
        assert await second.receive() == {"renew": token}


async def test_other_words_are_no_tick(guest: StreamGuest, clock: FakeClock) -> None:
    async with linked(guest, clock, patience=0.2) as (_, heard):
        connection = await guest.connection()
        await connection.tick()
        talking = asyncio.create_task(_talk(connection))
        assert "not ticked" in await heard.until("lost")
        await asyncio.gather(talking, return_exceptions=True)


async def _talk(connection: Connection) -> None:
    while True:
        await connection.log(1, 0, b"x")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"garbage", "'garbage' is not JSON"),
        (b"[1]", "it: Input should be a valid dictionary"),
        (b'{"tick": {"token": "1"}}', "tick.expires_in: Field required"),
        (b'{"tick": {"token": 1, "expires_in": 1, "cpu": 0}}', "tick.token"),
        (b'{"tick": {"token": "1", "expires_in": NaN, "cpu": 0}}', "finite"),
        (b'{"log": {"run": 1, "offset": -1, "data": "eA=="}}', "log.offset"),
        (b'{"log": {"run": 1, "offset": 0, "data": "%%"}}', "log.data"),
        (b'{"id": 99, "ok": {}}', "request 99, which was not made"),
        (b"[" * 100_000, "is not JSON"),
        (b"9" * 100_000, "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"x" * (3 << 20), "a line of more than 1048576 bytes"),
    ],
)
async def test_what_no_keeper_says_ends_the_connection_with_a_reason(
    guest: StreamGuest, clock: FakeClock, line: bytes, said: str
) -> None:
    async with linked(guest, clock) as (_, heard):
        connection = await guest.connection()
        await connection.tick()
        await heard.until("tick")
        writing = asyncio.create_task(connection.raw(line + b"\n"))
        why = await heard.until("lost")
        assert said in why
        assert len(why) < 400
        await asyncio.gather(writing, return_exceptions=True)
        await (await guest.connection()).tick()
        await heard.until("connected", 2)


async def test_a_request_is_answered(guest: StreamGuest, clock: FakeClock) -> None:
    async with linked(guest, clock) as (link, _):
        connection = await guest.connection()
        await connection.tick()
        await link.wait_connected(20)
        asking = [asyncio.create_task(link.request("stop", run=n)) for n in (7, 8)]
        requests = [await connection.receive_request() for _ in asking]
        assert [(r["do"], r["run"]) for r in requests] == [("stop", 7), ("stop", 8)]
        for request in reversed(requests):  # answers may come in any order
            await connection.send({"id": request["id"], "ok": {"run": request["run"]}})
        assert await asyncio.gather(*asking) == [{"run": 7}, {"run": 8}]


async def test_a_refusal_keeps_its_kind_and_words(guest: StreamGuest, clock: FakeClock) -> None:
    async with linked(guest, clock) as (link, _):
        connection = await guest.connection()
        await connection.tick()
        await link.wait_connected(20)
        asking = asyncio.create_task(link.request("resume", run=7))
        number = (await connection.receive_request())["id"]
        await connection.send({"id": number, "error": "the lease is over", "kind": "fenced"})
        with pytest.raises(LinkError, match=r"^the lease is over$") as refused:
            await asking
        assert refused.value.kind == "fenced"


async def test_a_request_whose_connection_breaks_is_lost(
    guest: StreamGuest, clock: FakeClock
) -> None:
    async with linked(guest, clock) as (link, heard):
        connection = await guest.connection()
        await connection.tick()
        await link.wait_connected(20)
        asking = asyncio.create_task(link.request("fence", move=3))
        await connection.receive_request()
        connection.close()
        with pytest.raises(LinkError, match="Connection to the guest closed") as lost:
            await asking
        assert lost.value.kind == "lost"
        await heard.until("lost")
        with pytest.raises(LinkError, match="no connection") as lost:
            await link.request("fence", move=3)
        assert lost.value.kind == "lost"


async def test_an_answer_that_comes_too_late_hurts_nobody(
    guest: StreamGuest, clock: FakeClock
) -> None:
    async with linked(guest, clock) as (link, heard):
        connection = await guest.connection()
        await connection.tick()
        await link.wait_connected(20)
        with pytest.raises(LinkError, match=r"not answered within 0\.05 s") as late:
            await link.request("stop", 0.05, run=7)
        assert late.value.kind == "timeout"
        number = (await connection.receive_request())["id"]
        await connection.send({"id": number, "ok": {}})
        await connection.tick()
        await heard.until("tick", 2)
        assert link.connected


async def test_the_lease_counts_from_the_receipt_of_the_echoed_token(
    guest: StreamGuest, clock: FakeClock
) -> None:
    async with linked(guest, clock, lease=30.0) as (link, heard):
        assert link.lease_over_at() == 1000 + 30 + 2
        connection = await guest.connection()
        clock.now = 1010.0
        await connection.tick(expires_in=5)
        await heard.until("tick")
        assert link.lease_over_at() == 1010 + 30 + 2
        connection.close()
        await heard.until("lost")
        clock.now += 3600  # the laptop was closed for an hour
        assert link.lease_over_at() == 1010 + 30 + 2
        await (await guest.connection()).tick(expires_in=-3570)
        await heard.until("tick", 2)
        assert link.lease_over_at() == clock.now + 30 + 2


async def test_a_new_vm_holds_the_lease_that_its_first_tick_tells(
    guest: StreamGuest, clock: FakeClock
) -> None:
    async with linked(guest, clock, lease=5.0) as (link, heard):
        link.renewing = False
        connection = await guest.connection()
        await connection.tick(expires_in=55)
        await heard.until("tick")
        clock.now += 10
        await connection.tick(expires_in=45)
        await heard.until("tick", 2)
        assert link.lease_over_at() == 1000 + 55 + 2
        link.renewing = True
        await connection.tick(expires_in=45)
        await heard.until("tick", 3)
        assert link.lease_over_at() == 1010 + 45 + 2  # it may not be renewed by this echo
        await connection.tick(expires_in=5)
        await heard.until("tick", 4)
        assert link.lease_over_at() == 1010 + 5 + 2  # it was


async def test_a_heap_of_lines_leaves_room_for_others(guest: StreamGuest, clock: FakeClock) -> None:
    turns = []

    async def other() -> None:
        while True:
            turns.append(len(heard.of("tick")))
            await asyncio.sleep(0)

    async with linked(guest, clock) as (_, heard):
        connection = await guest.connection()
        ticking = json.dumps({"tick": {**TICK, "token": "1"}}).encode() + b"\n"
        turning = asyncio.create_task(other())
        await connection.raw(200 * ticking)
        await heard.until("tick", 200)
        turning.cancel()
    assert len(set(turns)) > 190


async def test_an_error_in_a_listener_does_not_end_the_link(
    guest: StreamGuest, clock: FakeClock
) -> None:
    class Clumsy(Heard):
        def on_tick(self, tick: Any) -> None:
            super().on_tick(tick)
            raise RuntimeError("no room in the journal")

    heard, said = Clumsy(), []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    link = VmLink(guest.ssh_command, 30.0, 2.0, clock, heard)
    link.start()
    try:
        connection = await guest.connection()
        await connection.tick()
        await connection.tick()
        await heard.until("tick", 2)
        assert link.connected
    finally:
        await link.stop()
    assert len(said) == 2
