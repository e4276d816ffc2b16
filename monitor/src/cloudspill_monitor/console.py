# SPDX-License-Identifier: GPL-3.0-or-later
"""What `run` prints: plain lines, or JSON lines. The live view is in `live_view`."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol, TextIO

from cloudspill_monitor.clock import Clock
from cloudspill_monitor.policy_types import LOCAL
from cloudspill_monitor.snapshot import Snapshot, TaskView
from cloudspill_monitor.workload import TaskEvent


class Reporter(Protocol):
    """Where the daemon says what it sees and does."""

    def sample(self, snapshot: Snapshot) -> None:
        """A sample was judged."""
        ...

    def decision(self, action: str, words: str, reason: str) -> None:
        """A move was decided: what will be done, and why."""
        ...

    def task(self, event: TaskEvent) -> None:
        """Something happened to a task."""
        ...

    def log(self, task: str, line: str) -> None:
        """A task wrote a line."""
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

    def decision(self, action: str, words: str, reason: str) -> None:
        """What will be done, and why."""
        self._line(f"{action.upper()}: {words}, because {reason}")

    def task(self, event: TaskEvent) -> None:
        """Something happened to a task."""
        self._line(f"{event.task} {event.text}")

    def log(self, task: str, line: str) -> None:
        """A task's line under its name."""
        self._line(f"[{task}] {line}")

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
            self._out.write(f"{time:%H:%M:%S} {shown}\n")
            self._out.flush()


class JsonReporter:
    """One JSON object a line; every sample."""

    def __init__(self, out: TextIO, clock: Clock) -> None:
        self._out = out
        self._clock = clock

    def sample(self, snapshot: Snapshot) -> None:
        """The whole snapshot."""
        self._object("sample", **snapshot.as_json())

    def decision(self, action: str, words: str, reason: str) -> None:
        """What will be done, and why."""
        self._object("decision", action=action, words=words, reason=reason)

    def task(self, event: TaskEvent) -> None:
        """Something happened to a task."""
        self._object("task", task=event.task, text=event.text, failure=event.failure)

    def log(self, task: str, line: str) -> None:
        """A task's line."""
        self._object("log", task=task, text=line)

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


def summary(snapshot: Snapshot) -> str:
    """A snapshot in one line."""
    here = ", ".join(_brief(task) for task in snapshot.tasks if task.place == LOCAL)
    away = ", ".join(_brief(task) for task in snapshot.tasks if task.place != LOCAL)
    parts = [f"cpu {snapshot.cpu:.1f} % mem {snapshot.memory:.1f} %"]
    if snapshot.ignored >= 0.05:
        parts.append(f"ignored {snapshot.ignored:.1f} %")
    if snapshot.elsewhere >= 0.05:
        parts.append(f"counted elsewhere {snapshot.elsewhere:.1f} %")
    parts.append(f"here: {here or 'nothing'}")
    if away:
        parts.append(f"away: {away}")
    return " | ".join([*parts, snapshot.judgement])


def _brief(task: TaskView) -> str:
    if task.phase != "running":
        return f"{task.name} ({task.phase})"
    return task.name if task.cores is None else f"{task.name} ({task.cores:.2f} cores)"
