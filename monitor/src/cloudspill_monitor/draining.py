# SPDX-License-Identifier: GPL-3.0-or-later
"""`drain`: asks the running monitor to bring every task home, and watches until that is done."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from cloudspill_monitor.config_file import ConfigError, load
from cloudspill_monitor.console import vm_state
from cloudspill_monitor.control import NOT_READY, ControlError, ask
from cloudspill_monitor.lock import holder
from cloudspill_monitor.snapshot import FailureView, Snapshot, from_json

_POLL = 0.5  # seconds

Say = Callable[[str], None]


class DrainError(Exception):
    """The order could not be given, or is not carried out yet; the message says why."""


def order(path: Path, *, on: bool) -> Path:
    """Order the monitor whose configuration is `path` to keep every task home (`on`), or to go by
    its rule again. Returns its state directory. Raises DrainError.
    """
    try:
        state_dir = load(path).state_dir
        running = holder(state_dir) is not None
    except ConfigError as error:
        raise DrainError(str(error)) from error
    except OSError as error:
        raise DrainError(f"the monitor's state cannot be read: {error}") from error
    if not running:
        raise DrainError(
            f"no monitor runs on {state_dir}, so there is none to drain; "
            "`cloudspill-monitor status` tells whether it has left VMs, and what to do"
        )
    try:
        ask(state_dir, {"do": "drain", "on": on})
    except ControlError as error:
        raise DrainError(str(error)) from error
    return state_dir


def watch(state_dir: Path, say: Say, timeout: float | None) -> None:
    """Wait until every task is home and every VM is gone; `say` is told of each step.

    Raises DrainError when `timeout` (seconds) is over before, or the monitor ends or is told
    otherwise. The order holds all the same.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    progress = _Progress(say)
    while not progress.done(_snapshot(state_dir)):
        if deadline is not None and time.monotonic() >= deadline:
            left = ", ".join(progress.left) or "it has not answered yet"
            raise DrainError(f"not done after {timeout:g} s ({left}); the order holds")
        time.sleep(_POLL)


class _Progress:
    """What is `left` to do, by name, and what was told of it."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._begun = False  # the monitor's last sample may be older than the order
        self._failed_at: float | None = None
        self.left: dict[str, str] = {}

    def done(self, snapshot: Snapshot | None) -> bool:
        """Tell what has changed; whether nothing is left. Raises DrainError."""
        if snapshot is None:
            return False
        if snapshot.drained_wall is None and self._begun:
            raise DrainError("the order was taken back: tasks may go out again")
        self._begun = snapshot.drained_wall is not None
        self._tell_changes(_left(snapshot))
        self._tell_failure(snapshot.failure)
        return self._begun and not self.left

    def _tell_changes(self, left: dict[str, str]) -> None:
        for name, words in left.items():
            if self.left.get(name) != words:
                self._say(f"{name}: {words}")
        for name in [name for name in self.left if name not in left]:
            self._say(f"{name}: {'home' if self.left[name].startswith('at ') else 'gone'}")
        self.left = left

    def _tell_failure(self, failure: FailureView | None) -> None:
        if failure is not None and failure.wall != self._failed_at:
            self._failed_at = failure.wall
            self._say(f"{failure.action} failed: {failure.text}; it is tried again")


def _left(snapshot: Snapshot) -> dict[str, str]:
    """What is not home yet, and each VM that is there still, in words."""
    tasks = {task.name: f"at {task.place}" for task in snapshot.away}
    # How long a VM has been there changes all the time.
    return tasks | {vm.name: vm_state(vm).partition(" for ")[0] for vm in snapshot.vms}


def _snapshot(state_dir: Path) -> Snapshot | None:
    """What the monitor says; None when it has no sample yet. Raises DrainError."""
    try:
        answer = ask(state_dir, {"do": "status"})
    except ControlError as error:
        if error.kind == NOT_READY:
            return None
        raise DrainError(f"the monitor does not answer any more: {error}") from error
    return from_json(answer)
