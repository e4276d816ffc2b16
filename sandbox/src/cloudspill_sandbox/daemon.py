# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox's process: runs the assembled sandbox until it is told to end."""

from __future__ import annotations

import asyncio
import logging
import logging.handlers
import os
import resource
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from cloudspill_sandbox.assembly import Sandbox
from cloudspill_sandbox.control import environment, lock
from cloudspill_sandbox.control.admin import admin_application, serve_admin
from cloudspill_sandbox.control.fault_admin import add_fault_routes
from cloudspill_sandbox.control.protocol import StartupMessage, StartupPipe
from cloudspill_sandbox.settings import Settings

_LOG = logging.getLogger("cloudspill_sandbox")
SWITCH_INTERVAL = 0.0005
"""Seconds for which a thread that reads a large body keeps the interpreter when the loop wants it.

The loop gives it away at each system call, and waits so long to get it back: several times a get.
"""
_CONTROL_CHARACTERS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


async def serve(settings: Settings, pipe: StartupPipe) -> None:
    """Run the sandbox until SIGTERM, SIGINT or the admin API asks it to end."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        sandbox = Sandbox(settings, lambda text: pipe.send(StartupMessage("progress", text)))
        await stack.enter_async_context(sandbox.running())
        application = admin_application(sandbox, stopping.set)
        add_fault_routes(application, sandbox.faults)
        runner = await serve_admin(application, settings.admin_socket)
        stack.callback(settings.admin_socket.unlink, missing_ok=True)
        stack.push_async_callback(runner.cleanup)
        no_proxy = os.environ.get("NO_PROXY") or os.environ.get("no_proxy")
        for project in settings.projects:
            file = settings.environment_file_of(project)
            environment.write(file, environment.play_environment(settings, no_proxy, project))
            stack.callback(file.unlink, missing_ok=True)
        pipe.send(StartupMessage("ready", ""))
        _LOG.info("up: %s, port %d", ", ".join(settings.projects), settings.port)
        await stopping.wait()
        _LOG.info("stopping")
    _LOG.info("down")


class _OneLine(logging.Formatter):
    """Keeps what clients and guests sent from looking like lines of the log's own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line without control characters; a traceback follows it as it is."""
        return super().formatMessage(record).translate(_CONTROL_CHARACTERS)


def _log_to(path: Path) -> None:
    handler = logging.handlers.RotatingFileHandler(
        path, maxBytes=10_000_000, backupCount=1, encoding="utf-8", errors="backslashreplace"
    )
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def main() -> None:
    """Run the daemon; its only argument is the descriptor on which the starter listens."""
    pipe = StartupPipe(int(sys.argv[1]) if len(sys.argv) > 1 else None)
    settings = Settings.from_environment()
    os.umask(0o022)  # guests and clients read what is made here, whatever the caller's mask
    # Every connection and every machine costs descriptors; the soft limit is an old default.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with lock.hold(settings.lock_file):
            _log_to(settings.log_file)
            sys.setswitchinterval(SWITCH_INTERVAL)
            asyncio.run(serve(settings, pipe))
    except lock.LockedError as error:
        pipe.send(StartupMessage("locked", str(error)))
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - whatever ends it is logged and told to the starter
        _LOG.exception("the sandbox ended")
        pipe.send(StartupMessage("failed", str(error) or type(error).__name__))
        sys.exit(1)


if __name__ == "__main__":
    main()
