# SPDX-License-Identifier: GPL-3.0-or-later
"""The keeper as a systemd service of a VM."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import pwd
import signal
import socket
import sys
from pathlib import Path

from .assembly import Settings, build_keeper
from .clock import SystemClock
from .cloud import GoogleCloud
from .metadata import Metadata
from .systemd import SystemdUnits

CONFIGURATION = Path("/etc/cloudspill-burst.json")
ROOT = Path("/var/lib/cloudspill-burst")
VOLATILE = Path("/run/cloudspill-burst")
USER = "cloudspill-task"
_WATCHDOG = 5.0


def main() -> int:
    """Keep until SIGTERM; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_keep())
    return 0


async def _keep() -> None:
    user = pwd.getpwnam(USER)
    vm = build_keeper(
        ROOT,
        VOLATILE,
        SystemdUnits(USER, VOLATILE / "environments"),
        SystemClock(),
        GoogleCloud(Metadata()),
        Settings(**json.loads(CONFIGURATION.read_text())),
        (user.pw_uid, user.pw_gid),
    )
    loop = asyncio.get_running_loop()
    keeping = asyncio.ensure_future(vm.run(lambda: _tell_systemd("READY=1")))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, keeping.cancel)
    watched = asyncio.ensure_future(_feed_watchdog())
    try:
        await keeping
    finally:
        watched.cancel()


async def _feed_watchdog() -> None:
    """A keeper that hangs is killed and started again by systemd (WatchdogSec= of its unit)."""
    while True:
        _tell_systemd("WATCHDOG=1")
        await asyncio.sleep(_WATCHDOG)


def _tell_systemd(word: str) -> None:
    """Send a word to the service manager (sd_notify(3)), where there is one."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
            notifier.connect(f"\0{address[1:]}" if address.startswith("@") else address)
            notifier.send(word.encode())
