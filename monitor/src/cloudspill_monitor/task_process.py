# SPDX-License-Identifier: GPL-3.0-or-later
"""One task as a process on this machine: started, found again, signalled, and its end read.

A process is started behind a gate. A small shell, leader of a new session, waits for a word from
the monitor; only when the journal holds its process id is the word given. If the monitor is killed
before that, the shell sees the end of the pipe and exits: there is no instant at which a task runs
that the journal does not know. The shell stays, and writes the exit status to a file, so that it
is known even if the monitor that started the task is gone.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cloudspill_monitor import procfs
from cloudspill_monitor.config import TaskConfig
from cloudspill_monitor.procfs import ProcessStat

# The task's whole group is signalled at once, so that no process forked meanwhile is missed; the
# shell is in that group, and its traps let it live to see the task's exit status. What the shell
# itself has to say about that ("Terminated") does not belong in the task's log.
_GATE = """
read -r _ || exit 125
status_file=$1
shift
trap : HUP INT QUIT ABRT ALRM PIPE TERM USR1 USR2
exec 3>&2 2>/dev/null
(exec </dev/null 2>&3 3>&-; exec "$@")
status=$?
echo "$status" >"$status_file"
exit "$status"
"""
_RUN_VARIABLE = "CLOUDSPILL_RUN"


@dataclass(slots=True)
class TaskProcess:
    """A task's session on this machine, by its leader. `child` is None when it was adopted."""

    run: int
    pid: int
    start_ticks: int
    status_file: Path
    child: subprocess.Popen[bytes] | None = None

    def members(self, session: Iterable[int]) -> list[ProcessStat]:
        """The live processes of the session, given its process ids, and the leader reaped if ours.

        Once the leader is gone the id may mean another session, so its processes must then carry
        this run's number in their environment.
        """
        if self.child is not None:
            self.child.poll()
        stats = procfs.live(session)
        if self.leads(stats):
            return stats
        return [s for s in stats if procfs.environment_value(s.pid, _RUN_VARIABLE) == str(self.run)]

    def leads(self, members: Iterable[ProcessStat]) -> bool:
        """Whether the leader is among `members`, and this very process (ids are used again)."""
        return any(m.pid == self.pid and m.start_ticks == self.start_ticks for m in members)

    def begun(self, members: Iterable[ProcessStat]) -> bool:
        """Whether the task itself is there to be signalled.

        Between its fork and its exec it is still a copy of the shell, with the shell's traps, and
        would swallow the signal; a copy has the shell's command line.
        """
        gate = procfs.command_line(self.pid)
        others = (procfs.command_line(m.pid) for m in members if m.pid != self.pid)
        return any(line and line != gate for line in others)

    def exit_status(self) -> int | None:
        """What the task exited with (128 + N for signal N), if it is known."""
        try:
            return int(self.status_file.read_text())
        except (OSError, ValueError):  # not written, for lack of space perhaps
            ended = self.child.returncode if self.child is not None else None
            return 128 - ended if ended is not None and ended < 0 else ended

    def forget(self) -> None:
        """Remove what was only needed while it ran."""
        self.status_file.unlink(missing_ok=True)


def start(
    task: TaskConfig, run: int, log: Path, status_file: Path, record: Callable[[int, int], None]
) -> TaskProcess:
    """Start `task`; `record` is given process id and start time before the task does anything.

    Raises OSError when no process can be made, or when the log cannot be written.
    """
    environment = {**os.environ, **task.env, "CLOUDSPILL_TASK": task.name, _RUN_VARIABLE: str(run)}
    with log.open("ab") as output:
        child = subprocess.Popen(
            ["/bin/sh", "-c", _GATE, "cloudspill-task", str(status_file), *task.command],
            cwd=task.cwd,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    assert child.stdin is not None
    stat = procfs.read_stat(child.pid)
    assert stat is not None  # it waits at the gate, and is ours to reap
    try:
        record(child.pid, stat.start_ticks)
        child.stdin.write(b"go\n")
        child.stdin.close()
    except BaseException:
        with suppress(BrokenPipeError):
            child.stdin.close()  # without a word: the shell exits
        child.wait()
        raise
    return TaskProcess(run, child.pid, stat.start_ticks, status_file, child)


def describe_exit(status: int | None) -> str:
    """An exit status in words."""
    if status is None:
        return "ended with an unknown status"
    if status > 128 and status - 128 in signal.valid_signals():
        return f"was ended by {signal.Signals(status - 128).name}"
    return f"exited with status {status}"
