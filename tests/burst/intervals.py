# SPDX-License-Identifier: GPL-3.0-or-later
"""Audits what `interval_task.py` wrote: no task ran twice at a time, none lost what was safe."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Interval:
    """One process of a task: where and when (CLOCK_BOOTTIME) it ran, and from which counter to
    which. `asked` says that it was asked to stop, and ended in order.
    """

    task: str
    run: int
    place: str
    begun: float
    last: float
    counter: int
    reached: int
    asked: bool


def read(folder: Path, names: Collection[str] | None = None) -> list[Interval]:
    """All intervals, or those of the files `names`; the earliest first."""
    paths = folder.iterdir() if names is None else (folder / name for name in names)
    found = [_interval(path.read_text()) for path in paths]
    return sorted((one for one in found if one is not None), key=lambda one: one.begun)


def _interval(text: str) -> Interval | None:
    # A process that was killed may have left half a line, or none.
    head, *lines = text[: text.rfind("\n") + 1].splitlines() or [""]
    if not lines:
        return None
    first, last = lines[0].split(), lines[-1].split()
    known = json.loads(head)
    return Interval(
        known["task"],
        known["run"],
        known["place"],
        begun=float(first[-2]),
        last=float(last[-2]),
        counter=known["counter"],
        reached=int(last[-1]),
        asked=last[0] == "end",
    )


def faults(intervals: list[Interval], safe: Mapping[str, int] | None = None) -> list[str]:
    """What must not be, in words; an empty list is a clean audit.

    Every interval must go on from the counter of the one before. `safe` has, for tasks whose VM was
    lost, the counter that was at home by then: after an interval at a VM, no more is asked.
    """
    safe = safe or {}
    found = []
    for task in sorted({one.task for one in intervals}):
        own = [one for one in intervals if one.task == task]
        for before, after in pairwise(own):
            if after.begun < before.last:
                found.append(
                    f"{task} ran twice for {before.last - after.begun:.3f} s: "
                    f"run {before.run} in {before.place} and run {after.run} in {after.place}"
                )
            needed = before.reached
            if task in safe and before.place != own[0].place:
                needed = min(safe[task], needed)
            if after.counter < needed:
                found.append(
                    f"{task} went back to {after.counter} from {needed}: run {before.run} in "
                    f"{before.place}, then run {after.run} in {after.place}"
                )
    return found


def gaps(intervals: list[Interval]) -> dict[str, list[float]]:
    """For how long each task ran nowhere between two intervals, seconds."""
    found: dict[str, list[float]] = {}
    for task in {one.task for one in intervals}:
        own = [one for one in intervals if one.task == task]
        found[task] = [after.begun - before.last for before, after in pairwise(own)]
    return found
