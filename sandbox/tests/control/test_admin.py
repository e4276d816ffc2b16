# SPDX-License-Identifier: GPL-3.0-or-later
"""The admin socket, called by the client that the command line uses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from cloudspill_sandbox.control import client
from cloudspill_sandbox.control.admin import admin_application, serve_admin


class Subject:
    """A sandbox with one instance, `vm`."""

    def __init__(self) -> None:
        self.stopped = asyncio.Event()
        self.ahead = 0.0

    def status(self) -> dict[str, Any]:
        return {"name": "test", "instances": [{"name": "vm"}]}

    def clock(self) -> dict[str, Any]:
        return {"now": "2027-01-15T08:00:00+00:00", "ahead_seconds": self.ahead}

    def advance_clock(self, seconds: float) -> dict[str, Any]:
        if seconds <= 0:
            raise ValueError("the clock only goes forward")
        self.ahead += seconds
        return self.clock()

    def serial_output(self, instance: str, start: int) -> tuple[bytes, int]:
        self._know(instance)
        console = b"boot \xff done"
        return console[start:], len(console)

    def console_command(self, instance: str, tty: bool) -> list[str]:
        self._know(instance)
        return ["enter", "-it" if tty else "-i", instance]

    def _know(self, instance: str) -> None:
        if instance != "vm":
            raise LookupError(f"no instance is called {instance!r}")


@pytest_asyncio.fixture
async def subject(tmp_path: Path) -> AsyncIterator[Subject]:
    """A served subject; its socket is `tmp_path / "admin.sock"`."""
    served = Subject()
    runner = await serve_admin(
        admin_application(served, served.stopped.set), tmp_path / "admin.sock"
    )
    yield served
    await runner.cleanup()


async def ask(path: Path, method: str, resource: str) -> Any:
    """Call from a thread, as a separate process would."""
    return await asyncio.to_thread(client.call, path / "admin.sock", method, resource)


async def test_only_the_owner_may_connect(subject: Subject, tmp_path: Path) -> None:
    assert (tmp_path / "admin.sock").stat().st_mode & 0o777 == 0o600


async def test_status_and_serial_console_come_through(subject: Subject, tmp_path: Path) -> None:
    assert await ask(tmp_path, "GET", "/status") == subject.status()
    page = await ask(tmp_path, "GET", "/instances/vm/serial?start=5")
    assert page == {"contents": "\N{REPLACEMENT CHARACTER} done", "next": 11}
    console = await ask(tmp_path, "GET", "/instances/vm/console?tty=1")
    assert console["command"] == ["enter", "-it", "vm"]


async def test_an_unknown_instance_is_a_sentence_not_a_traceback(
    subject: Subject, tmp_path: Path
) -> None:
    with pytest.raises(client.AdminError, match="no instance is called 'nobody'"):
        await ask(tmp_path, "GET", "/instances/nobody/serial")


async def test_shutdown_is_passed_on(subject: Subject, tmp_path: Path) -> None:
    await ask(tmp_path, "POST", "/shutdown")
    assert subject.stopped.is_set()


async def test_a_stale_socket_is_replaced_and_an_absent_one_is_no_sandbox(tmp_path: Path) -> None:
    with pytest.raises(client.NotRunningError):
        await ask(tmp_path, "GET", "/status")
    first = await serve_admin(admin_application(Subject(), lambda: None), tmp_path / "admin.sock")
    second = await serve_admin(admin_application(Subject(), lambda: None), tmp_path / "admin.sock")
    assert (await ask(tmp_path, "GET", "/status"))["name"] == "test"
    await second.cleanup()
    await first.cleanup()


async def test_the_clock_is_shown_and_set_ahead(subject: Subject, tmp_path: Path) -> None:
    assert (await ask(tmp_path, "GET", "/clock"))["ahead_seconds"] == 0
    assert (await ask(tmp_path, "POST", "/clock/advance?seconds=90.5"))["ahead_seconds"] == 90.5
    assert (await ask(tmp_path, "GET", "/clock"))["ahead_seconds"] == 90.5


@pytest.mark.parametrize("seconds", ["-1", "soon", ""])
async def test_a_step_that_is_none_is_refused(
    subject: Subject, tmp_path: Path, seconds: str
) -> None:
    with pytest.raises(client.AdminError):
        await ask(tmp_path, "POST", f"/clock/advance?seconds={seconds}")
    assert subject.ahead == 0
