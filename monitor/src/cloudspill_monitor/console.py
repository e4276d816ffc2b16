# SPDX-License-Identifier: GPL-3.0-or-later
"""What `run` prints: plain lines, or JSON lines. The live view is in `live_view`."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol, TextIO

from cloudspill_monitor.clock import Clock
from cloudspill_monitor.policy_types import LOCAL
from cloudspill_monitor.snapshot import Snapshot, TaskView, VmView
from cloudspill_monitor.workload import TaskEvent


class Reporter(Protocol):
    """Where the daemon says what it sees and does."""

    def sample(self, snapshot: Snapshot) -> None:
        """A sample was judged."""
        ...

    def state(self, snapshot: Snapshot) -> None:
        """Tasks or VMs have changed since the last sample."""
        ...

    def decision(self, action: str, words: str, reason: str) -> None:
        """A move was decided: what will be done, and why."""
        ...

    def task(self, event: TaskEvent) -> None:
        """Something happened to a task."""
        ...

    def log(self, task: str, line: str, place: str = LOCAL) -> None:
        """A task wrote a line, at `place`."""
        ...

    def notice(self, text: str) -> None:
        """Something worth knowing."""
        ...

    def error(self, text: str) -> None:
        """Something went wrong."""
        ...


class PlainReporter:
    """Lines for people and for the system's log; samples at most once every `every` seconds."""

    def __init__(self, out: TextIO, clock: Clock, every: float) -> None:
        self._out = out
        self._clock = clock
        self._every = every
        self._last = -every

    def sample(self, snapshot: Snapshot) -> None:
        """CPU, memory, what runs where, the judgement."""
        if snapshot.at - self._last >= self._every:
            self._last = snapshot.at
            self._line(summary(snapshot))

    def state(self, snapshot: Snapshot) -> None:
        """Nothing: what has happened is told in words."""

    def decision(self, action: str, words: str, reason: str) -> None:
        """What will be done, and why."""
        self._line(f"{action.upper()}: {words}, because {reason}")

    def task(self, event: TaskEvent) -> None:
        """Something happened to a task."""
        self._line(f"{event.task} {event.text}")

    def log(self, task: str, line: str, place: str = LOCAL) -> None:
        """A task's line under its name, and under that of its VM if it is at one."""
        self._line(f"{heading(task, place)} {line}")

    def notice(self, text: str) -> None:
        """Something worth knowing."""
        self._line(text)

    def error(self, text: str) -> None:
        """Something went wrong."""
        self._line(f"ERROR: {text}")

    def _line(self, text: str) -> None:
        time = datetime.fromtimestamp(self._clock.wall(), UTC).astimezone()
        coding = self._out.encoding or "utf-8"
        shown = text.encode(coding, "backslashreplace").decode(coding)
        with suppress(OSError, ValueError):  # a console that is gone must not end the monitor
            for line in shown.split("\n"):
                self._out.write(f"{time:%H:%M:%S} {line}\n")
            self._out.flush()


class JsonReporter:
    """One JSON object a line; every sample."""

    def __init__(self, out: TextIO, clock: Clock) -> None:
        self._out = out
        self._clock = clock

    def sample(self, snapshot: Snapshot) -> None:
        """The whole snapshot."""
        self._object("sample", **snapshot.as_json())

    def state(self, snapshot: Snapshot) -> None:
        """Nothing: samples tell."""

    def decision(self, action: str, words: str, reason: str) -> None:
        """What will be done, and why."""
        self._object("decision", action=action, words=words, reason=reason)

    def task(self, event: TaskEvent) -> None:
        """Something happened to a task."""
        self._object("task", task=event.task, text=event.text, failure=event.failure)

    def log(self, task: str, line: str, place: str = LOCAL) -> None:
        """A task's line."""
        self._object("log", task=task, place=place, text=line)

    def notice(self, text: str) -> None:
        """Something worth knowing."""
        self._object("notice", text=text)

    def error(self, text: str) -> None:
        """Something went wrong."""
        self._object("error", text=text)

    def _object(self, kind: str, **content: object) -> None:
        with suppress(OSError, ValueError):
            self._out.write(
                json.dumps({"kind": kind, "wall": self._clock.wall(), **content}) + "\n"
            )
            self._out.flush()


def heading(task: str, place: str) -> str:
    """What stands before a line that a task wrote: `[Task 3]`, or `[burst-1 Task 3]`."""
    return f"[{task}]" if place == LOCAL else f"[{place} {task}]"


def summary(snapshot: Snapshot) -> str:
    """A snapshot in one line."""
    here = ", ".join(_brief(task) for task in snapshot.tasks if task not in snapshot.away)
    away = ", ".join(f"{_brief(task)} at {task.place}" for task in snapshot.away)
    parts = [f"cpu {snapshot.cpu:.1f} % mem {snapshot.memory:.1f} %"]
    if snapshot.ignored >= 0.05:
        parts.append(f"ignored {snapshot.ignored:.1f} %")
    if snapshot.elsewhere >= 0.05:
        parts.append(f"counted elsewhere {snapshot.elsewhere:.1f} %")
    parts.append(f"here: {here or 'nothing'}")
    if away:
        parts.append(f"away: {away}")
    if snapshot.vms:
        parts.append(f"VMs: {', '.join(_brief_vm(vm) for vm in snapshot.vms)}")
    return " | ".join([*parts, snapshot.judgement])


def _brief(task: TaskView) -> str:
    if not task.runs:
        return f"{task.name} ({task.phase})"
    notes = [] if task.cores is None else [f"{task.cores:.2f} cores"]
    notes += ["would be at a VM"] if task.announced else []
    return f"{task.name} ({', '.join(notes)})" if notes else task.name


def _brief_vm(vm: VmView) -> str:
    return f"{vm.name} ({vm_state(vm)}, cost {vm.cost:.4f})"


def vm_state(vm: VmView) -> str:
    """What becomes of a VM, in words."""
    if vm.state == "up" and not vm.connected:
        return "no connection"
    words = {"planned": "being made", "deleting": "being deleted"}.get(vm.state, vm.state)
    return words if vm.age is None else f"{words} for {duration(vm.age)}"


def duration(seconds: float) -> str:
    """Seconds as people write them: 42s, 3m07s, 2h05m, 4d03h."""
    whole = int(seconds)
    for unit, size, below, factor in (("d", 86400, "h", 3600), ("h", 3600, "m", 60)):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // factor:02d}{below}"
    return f"{whole // 60}m{whole % 60:02d}s" if whole >= 60 else f"{whole}s"
