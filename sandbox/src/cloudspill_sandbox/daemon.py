# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox's process: runs the assembled sandbox until it is told to end."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import sys
from contextlib import AsyncExitStack

from cloudspill_sandbox.assembly import Sandbox
from cloudspill_sandbox.control import environment, lock
from cloudspill_sandbox.control.admin import admin_application, serve_admin
from cloudspill_sandbox.control.protocol import StartupMessage, StartupPipe
from cloudspill_sandbox.settings import Settings

_LOG = logging.getLogger("cloudspill_sandbox")


async def serve(settings: Settings, pipe: StartupPipe) -> None:
    """Run the sandbox until SIGTERM, SIGINT or the admin API asks it to end."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        sandbox = Sandbox(settings, lambda text: pipe.send(StartupMessage("progress", text)))
        await stack.enter_async_context(sandbox.running())
        runner = await serve_admin(admin_application(sandbox, stopping.set), settings.admin_socket)
        stack.callback(settings.admin_socket.unlink, missing_ok=True)
        stack.push_async_callback(runner.cleanup)
        play = environment.play_environment(settings, os.environ.get("NO_PROXY"))
        environment.write(settings, play)
        stack.callback(settings.environment_file.unlink, missing_ok=True)
        pipe.send(StartupMessage("ready", ""))
        _LOG.info("up: project %s, port %d", settings.project, settings.port)
        await stopping.wait()
        _LOG.info("stopping")
    _LOG.info("down")


def main() -> None:
    """Run the daemon; its only argument is the descriptor on which the starter listens."""
    pipe = StartupPipe(int(sys.argv[1]) if len(sys.argv) > 1 else None)
    settings = Settings.from_environment()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # Every connection and every machine costs descriptors; the soft limit is an old default.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with lock.hold(settings.lock_file):
            asyncio.run(serve(settings, pipe))
    except Exception as error:  # noqa: BLE001 - whatever ends it is logged and told to the starter
        _LOG.exception("the sandbox ended")
        pipe.send(StartupMessage("failed", str(error) or type(error).__name__))
        sys.exit(1)


if __name__ == "__main__":
    main()
