# SPDX-License-Identifier: GPL-3.0-or-later
"""The `KEY=value` form of older monitors: thresholds in a file, four CPU-bound tasks built in."""

from __future__ import annotations

import sys
from pathlib import Path

_FIELDS = {
    "THRESHOLD_HIGH": ("threshold_high",),
    "THRESHOLD_LOW": ("threshold_low",),
    "CHECK_INTERVAL": ("interval",),
    "HIGH_CPU_DURATION": ("high_duration",),
    "LOW_CPU_DURATION": ("low_duration",),
    "PROJECT_ID": ("burst", "project"),
    "ZONE": ("burst", "zones"),
    "MACHINE_TYPE": ("burst", "machine_types"),
    "IMAGE_FAMILY": ("burst", "image_family"),
    "IMAGE_PROJECT": ("burst", "image_project"),
}
_LISTS = ("zones", "machine_types")

Lines = dict[tuple[str | int, ...], int]


class LineError(Exception):
    """A mistake on `line` (counted from 1)."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def parse(text: str) -> tuple[dict[str, object], Lines]:
    """Translate to the keys of `monitor.yml`; also returns the line of each.

    Raises LineError for a line without `=`, a key that is not known, and one that stands twice.
    """
    data: dict[str, object] = {"tasks": classic_tasks()}
    burst: dict[str, object] = {}
    lines: Lines = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals:
            raise LineError(number, f"{line!r} is not KEY=value")
        if key not in _FIELDS:
            raise LineError(number, f"unknown key {key!r} (known: {', '.join(_FIELDS)})")
        field = _FIELDS[key]
        if field in lines:
            raise LineError(number, f"{key} stands here a second time")
        lines[field] = number
        target = burst if field[0] == "burst" else data
        target[field[-1]] = [value] if field[-1] in _LISTS else value
    if burst:
        data["burst"] = burst
    return data, lines


def classic_tasks() -> list[dict[str, object]]:
    """Four tasks that count for ever; the last two may move."""
    program = Path(__file__).with_name("counting_task.py")
    return [
        {
            "name": f"Task {n}",
            "command": [sys.executable, str(program), f"task-{n}.count"],
            "movable": n > 2,
            "checkpoint_paths": [f"task-{n}.count"],
        }
        for n in range(1, 5)
    ]
