# SPDX-License-Identifier: GPL-3.0-or-later
"""The admin API on a Unix socket of mode 0600: what only the host's root may ask."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web

_SHUTDOWN_GRACE = 1.0
"""Seconds in which requests may still be answered; `faults wait` would hold a `down` for longer."""


class Administered(Protocol):
    """What the admin API shows and does."""

    def status(self) -> dict[str, Any]:
        """Return the sandbox's state as JSON-ready values."""

    def clock(self) -> dict[str, Any]:
        """Return `now` (RFC 3339, UTC) and `ahead_seconds` of the cloud's clock."""

    def advance_clock(self, seconds: float) -> dict[str, Any]:
        """Set the cloud's clock ahead and return as `clock`.

        Raises:
            ValueError: it would not go forward, or too far.
        """

    def serial_output(self, instance: str, start: int) -> tuple[bytes, int]:
        """Return console output of an instance from a byte position, and the next position.

        Raises:
            LookupError: no instance, or several in different zones, have this name.
        """

    def console_command(self, instance: str, tty: bool) -> list[str]:
        """Return the words that run a command as root in an instance when it is appended.

        Raises:
            LookupError: as above, or the instance is not running.
        """


def admin_application(subject: Administered, shut_down: Callable[[], None]) -> web.Application:
    """Return the application; `shut_down` is called when a client asks the daemon to end."""

    async def status(_: web.Request) -> web.Response:
        return web.json_response(subject.status())

    async def clock(_: web.Request) -> web.Response:
        return web.json_response(subject.clock())

    async def advance_clock(request: web.Request) -> web.Response:
        seconds = float(request.query.get("seconds", ""))
        return web.json_response(subject.advance_clock(seconds))

    async def serial(request: web.Request) -> web.Response:
        name = request.match_info["instance"]
        start = int(request.query.get("start", "0"))
        contents, following = subject.serial_output(name, start)
        text = contents.decode(errors="replace")
        return web.json_response({"contents": text, "next": following})

    async def console(request: web.Request) -> web.Response:
        tty = request.query.get("tty") == "1"
        command = subject.console_command(request.match_info["instance"], tty)
        return web.json_response({"command": command})

    async def stop(_: web.Request) -> web.Response:
        shut_down()
        return web.json_response({"pid": os.getpid()})

    application = web.Application(middlewares=[_refusals])
    application.router.add_get("/status", status)
    application.router.add_get("/clock", clock)
    application.router.add_post("/clock/advance", advance_clock)
    application.router.add_get("/instances/{instance}/serial", serial)
    application.router.add_get("/instances/{instance}/console", console)
    application.router.add_post("/shutdown", stop)
    return application


@web.middleware
async def _refusals(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
    except (LookupError, ValueError) as error:
        return web.json_response({"error": str(error.args[0])}, status=404)
    return response


async def serve_admin(application: web.Application, path: Path) -> web.AppRunner:
    """Listen on the socket; a stale one of a dead daemon is replaced (the lock is held)."""
    path.unlink(missing_ok=True)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_GRACE)
    await runner.setup()
    # The mask, because a chmod after bind would leave a moment in which others could connect.
    mask = os.umask(0o177)
    try:
        await web.UnixSite(runner, str(path)).start()
    finally:
        os.umask(mask)
    return runner
