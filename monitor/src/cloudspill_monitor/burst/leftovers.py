# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of playbooks that outlived the monitor, found by the mark in their environment.

Everything that a playbook starts inherits ``CLOUDSPILL_MOVE=CONTROLLER/MOVE``. The process around a
play ends all of it, unless it was killed as well; then this does.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from cloudspill_monitor import procfs
from cloudspill_monitor.procfs import ProcessStat

MARK = "CLOUDSPILL_MOVE"
_PATIENCE = 10.0  # seconds for killed processes to be gone
_POLL = 0.02
_CALM = 2  # looks in a row that find nothing: while a program begins its environment is not there


class LeftoverError(Exception):
    """Processes of an earlier playbook cannot be ended; the message says which."""


def mark(controller: str, move: int) -> str:
    """What processes of this move carry in their environment."""
    return f"{controller}/{move}"


def end_leftovers(controller: str) -> list[str]:
    """End what playbooks of this controller have left; returns what was ended, in words.

    It takes as long as the kernel needs; call it outside of the loop. Raises LeftoverError.
    """
    ended: dict[tuple[int, int], str] = {}
    deadline = time.monotonic() + _PATIENCE
    calm = 0
    while calm < _CALM:
        found = _marked(f"{controller}/")
        calm = 0 if found else calm + 1
        for stat in found:
            ended.setdefault((stat.pid, stat.start_ticks), _describe(stat))
            procfs.signal_process(stat, signal.SIGKILL)
        if found:
            if time.monotonic() > deadline:
                left = ", ".join(ended[stat.pid, stat.start_ticks] for stat in found)
                raise LeftoverError(f"these processes of an earlier playbook do not end: {left}")
            time.sleep(_POLL)
    return list(ended.values())


def _marked(prefix: str) -> list[ProcessStat]:
    user, own = os.geteuid(), os.getpid()
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) == own:
            continue
        # The process first, its mark then: a process that takes over the id has other ticks.
        stat = procfs.read_stat(int(entry.name))
        if stat is None or stat.state in "ZX" or not _belongs(entry.path, user):
            continue
        value = procfs.environment_value(stat.pid, MARK)
        if value is not None and value.startswith(prefix):
            found.append(stat)
    return found


def _belongs(process: str, user: int) -> bool:
    try:
        return Path(process).stat().st_uid == user
    except OSError:
        return False


def _describe(stat: ProcessStat) -> str:
    words = procfs.command_line(stat.pid).split(b"\0")
    name = words[0].decode(errors="replace").rsplit("/", 1)[-1] or "a process"
    return f"{name} ({stat.pid})"
