# SPDX-License-Identifier: GPL-3.0-or-later
"""A process around one playbook, so that its end is the end of everything that the playbook began.

Started by :mod:`playbooks` as ``python -m cloudspill_monitor.burst.play_process``. It adopts what
its descendants leave behind (``PR_SET_CHILD_SUBREAPER``, prctl(2)): ansible's workers lead sessions
of their own, and ssh's connection masters outlive the play, yet none can leave this family. The
time that they use is this family's too, however short they live.

Standard input is one line of JSON, a Job, and then stays open: its end (the monitor cancels, or was
killed) ends the play. Standard output is JSON lines: ``{"step": Step}`` when a host begins a task,
and last ``{"end": End}``.
"""

from __future__ import annotations

import ctypes
import json
import os
import queue
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cloudspill_monitor import procfs
from cloudspill_monitor.burst.play_failure import PlayFailure
from cloudspill_monitor.burst.play_job import End, Job, Step

_PR_SET_CHILD_SUBREAPER = 36
_KEPT_ARTIFACTS = 10
_CANCEL_POLL = 0.5  # seconds between the runner's looks at its child
_GRACE = 1.0  # seconds for ssh's masters to close their sockets
_POLL = 0.02


def main() -> None:
    """Run the play that standard input names."""
    _adopt_orphans()
    # Whatever else writes to standard output must not come between our lines.
    channel = os.dup(1)
    os.dup2(2, 1)
    job = Job(**json.loads(sys.stdin.buffer.readline()))
    told: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    # A thread writes: the runner must never wait for the monitor to read.
    writer = threading.Thread(target=_write, args=(channel, told), daemon=True)
    writer.start()
    over = threading.Event()
    threading.Thread(target=_end_with_input, args=(over,), daemon=True).start()
    failure = PlayFailure()
    reason = _play(job, failure, told.put)
    over.set()
    _end_descendants()
    end = End(reason, failure.unreachable, failure.asked, _cpu_of_family())
    told.put({"end": asdict(end)})
    told.put(None)
    writer.join()


def _play(job: Job, failure: PlayFailure, tell: Callable[[dict[str, Any]], None]) -> str | None:
    from ansible_runner import Runner, RunnerConfig

    directory = Path(job.directory)
    variables = directory / "env" / "extravars"

    def on_event(event: dict[str, Any]) -> bool:
        data = event.get("event_data") or {}
        if event.get("event") == "runner_on_start":
            tell({"step": asdict(Step(data.get("task", ""), data.get("host", "")))})
        failure.see(event)
        return False  # nothing of it need be kept: the output is

    def on_status(status: dict[str, Any], runner_config: RunnerConfig) -> None:
        if status["status"] == "running":  # the runner has written the whole environment by now
            (Path(runner_config.artifact_dir) / "command").write_text(
                json.dumps({"command": runner_config.command, "cwd": runner_config.cwd})
            )

    try:
        _write_private(variables, json.dumps(job.variables))
        config = RunnerConfig(
            private_data_dir=job.directory,
            playbook=job.playbook,
            inventory=job.inventory,
            ident=job.ident,
            rotate_artifacts=_KEPT_ARTIFACTS,
            fact_cache_type="memory",  # the default leaves every host's facts in the artefacts
            quiet=True,
        )
        config.prepare()
        config.pexpect_timeout = _CANCEL_POLL
        config.command[0] = job.program
        runner = Runner(config=config, event_handler=on_event, status_handler=on_status)
        status, code = runner.run()
    except Exception as error:  # noqa: BLE001 - whatever it is, the monitor is told, and goes on
        failure.lose_sight()
        return f"the playbook could not be run here: {error}"
    finally:
        with suppress(OSError):
            variables.unlink(missing_ok=True)
    return None if status == "successful" else failure.text(code)


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _adopt_orphans() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def _write(channel: int, told: queue.SimpleQueue[dict[str, Any] | None]) -> None:
    with suppress(BrokenPipeError):  # the monitor was killed: there is nobody to tell
        while (message := told.get()) is not None:
            os.write(channel, json.dumps(message).encode() + b"\n")


def _end_with_input(over: threading.Event) -> None:
    os.read(sys.stdin.fileno(), 1)
    while not over.wait(_POLL):
        _signal_family(signal.SIGKILL)


def _end_descendants() -> None:
    """End every descendant. It is done when there is no child left: orphans become children."""
    deadline = time.monotonic() + _GRACE
    asked = False
    while _reap():
        if time.monotonic() >= deadline:
            _signal_family(signal.SIGKILL)
        elif not asked:
            _signal_family(signal.SIGTERM)
            asked = True
        time.sleep(_POLL)


def _reap() -> bool:
    """Whether there are children that have not ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    return False


def _signal_family(number: signal.Signals) -> None:
    for stat in procfs.descendants(os.getpid()):
        if stat.state not in "ZX":
            procfs.signal_process(stat, number)


def _cpu_of_family() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


if __name__ == "__main__":
    main()
