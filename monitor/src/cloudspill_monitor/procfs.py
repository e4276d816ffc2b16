# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes as /proc shows them: who belongs to a session, since when, and the CPU it has used.

Every task is the leader of a session of its own, so a task's processes are those of its session,
whatever they were forked from.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICK = 1.0 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """What /proc/PID/stat says: start time in clock ticks since boot, CPU time in seconds.

    `cpu` includes children that were waited for; `threads` is their number now.
    """

    pid: int
    state: str
    group: int
    session: int
    start_ticks: int
    cpu: float
    threads: int
    parent: int


def read_stat(pid: int) -> ProcessStat | None:
    """The process `pid`, or None when there is none (any more)."""
    try:
        file = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        return None
    try:
        text = os.read(file, 4096)
    except ProcessLookupError:
        return None
    finally:
        os.close(file)
    fields = text[text.rindex(b")") + 2 :].split()  # the name before may hold anything
    return ProcessStat(
        pid=pid,
        state=fields[0].decode(),
        group=int(fields[2]),
        session=int(fields[3]),
        start_ticks=int(fields[19]),
        cpu=sum(int(field) for field in fields[11:15]) * _TICK,
        threads=int(fields[17]),
        parent=int(fields[1]),
    )


def sessions() -> dict[int, list[int]]:
    """Process ids by session id, of every process on the machine."""
    found: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 - half the cost of iterdir, each second
        if entry.isdigit():
            with suppress(ProcessLookupError, PermissionError):
                found.setdefault(os.getsid(int(entry)), []).append(int(entry))
    return found


def descendants(pid: int) -> list[ProcessStat]:
    """The children of process `pid`, theirs, and so on; each before its own, zombies too."""
    children: dict[int, list[ProcessStat]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 - half the cost of iterdir, each second
        if entry.isdigit() and (stat := read_stat(int(entry))) is not None:
            children.setdefault(stat.parent, []).append(stat)
    found = children.get(pid, [])
    for stat in found:  # grows meanwhile
        found.extend(children.get(stat.pid, []))
    return found


def live(pids: Iterable[int]) -> list[ProcessStat]:
    """Those of `pids` that exist and have not ended (a zombie has)."""
    stats = (read_stat(pid) for pid in pids)
    return [stat for stat in stats if stat is not None and stat.state not in "ZX"]


def environment_value(pid: int, name: str) -> str | None:
    """The variable `name` that process `pid` was started with; None if unset or unreadable."""
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    prefix = f"{name}=".encode()
    return next(
        (e[len(prefix) :].decode(errors="replace") for e in entries if e.startswith(prefix)), None
    )


def command_line(pid: int) -> bytes:
    """The arguments of process `pid`, each ended by a zero byte; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def signal_process(stat: ProcessStat, number: signal.Signals) -> None:
    """Signal this very process, and none that was given its id since; nothing if it may not be."""
    with suppress(ProcessLookupError, PermissionError):
        handle = os.pidfd_open(stat.pid)
        try:
            now = read_stat(stat.pid)
            if now is not None and now.start_ticks == stat.start_ticks:
                signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)


def send_signal(stats: Iterable[ProcessStat], number: signal.Signals) -> None:
    """Signal the process groups of `stats`; those that are gone meanwhile do not matter."""
    for group in {stat.group for stat in stats}:
        with suppress(ProcessLookupError):
            os.killpg(group, number)
