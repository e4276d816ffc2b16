# SPDX-License-Identifier: GPL-3.0-or-later
"""The control socket: patient with handlers, not with clients."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cloudspill_monitor.control import (
    ControlError,
    ControlRefusal,
    ControlServer,
    Handler,
    ask,
)


@asynccontextmanager
async def served(
    directory: Path, handlers: Mapping[str, Handler], patience: float = 5.0
) -> AsyncIterator[None]:
    server = ControlServer(directory, handlers, patience)
    await server.start()
    try:
        yield
    finally:
        await server.stop()


async def asked(directory: Path, do: str, seconds: float = 20.0) -> dict[str, Any]:
    return await asyncio.to_thread(ask, directory, {"do": do}, seconds)


async def test_a_handler_may_take_longer_than_a_client_may(tmp_path: Path) -> None:
    patience = 0.5
    go = asyncio.Event()

    async def long(_: dict[str, Any]) -> dict[str, Any]:
        await go.wait()
        return {"done": True}

    async with served(tmp_path, {"long": long, "short": lambda _: {}}, patience):
        waiting = asyncio.create_task(asked(tmp_path, "long"))
        await asyncio.sleep(2 * patience)
        assert await asked(tmp_path, "short") == {}  # others are served meanwhile
        assert not waiting.done()
        go.set()
        assert await waiting == {"done": True}


async def test_a_handler_goes_on_when_its_client_does_not_wait(tmp_path: Path) -> None:
    go, done = asyncio.Event(), asyncio.Event()

    async def long(_: dict[str, Any]) -> dict[str, Any]:
        await go.wait()
        done.set()
        return {}

    async with served(tmp_path, {"long": long}):
        with pytest.raises(ControlError, match="timed out"):
            await asked(tmp_path, "long", seconds=0.05)
        go.set()
        await asyncio.wait_for(done.wait(), 20)


async def test_a_stop_cancels_what_is_being_handled(tmp_path: Path) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def endless(_: dict[str, Any]) -> dict[str, Any]:
        begun.set()
        try:
            await asyncio.Event().wait()
            return {}
        finally:
            cancelled.set()

    async with served(tmp_path, {"endless": endless}):
        waiting = asyncio.create_task(asked(tmp_path, "endless"))
        await begun.wait()
    assert cancelled.is_set()
    with pytest.raises(ControlError, match="no answer"):
        await waiting


async def test_a_refusal_has_a_kind_for_programs(tmp_path: Path) -> None:
    def refuse(_: dict[str, Any]) -> dict[str, Any]:
        raise ControlRefusal("stale-move", "move 3 is over")

    async with served(tmp_path, {"refuse": refuse}):
        with pytest.raises(ControlError, match=r"^move 3 is over$") as refused:
            await asked(tmp_path, "refuse")
    assert refused.value.kind == "stale-move"


async def test_a_fault_of_a_handler_is_answered_and_reported(tmp_path: Path) -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    def fail(_: dict[str, Any]) -> dict[str, Any]:
        raise TimeoutError("of its own")

    async with served(tmp_path, {"fail": fail, "good": lambda _: {}}):
        with pytest.raises(ControlError, match=r"fault: TimeoutError\('of its own'\)"):
            await asked(tmp_path, "fail")
        assert await asked(tmp_path, "good") == {}
    assert [repr(context["exception"]) for context in reported] == ["TimeoutError('of its own')"]


@pytest.mark.parametrize(
    "line", [b"\n", b"[]\n", b'{"do": 7}\n', b'{"do": []}\n', b"\xff\n", b"[" * 100_000 + b"\n"]
)
async def test_what_is_no_request_is_told_what_one_is(tmp_path: Path, line: bytes) -> None:
    def talk() -> bytes:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "control.sock"))
            client.sendall(line)
            return client.makefile("rb").readline()

    async with served(tmp_path, {"status": lambda _: {}}):
        answer = await asyncio.to_thread(talk)
    assert b"not a request" in answer
    assert b"status" in answer


async def test_a_monitor_that_hangs_up_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="no answer"):
        await asked(tmp_path, "status")
