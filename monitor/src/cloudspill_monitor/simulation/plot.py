# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of a replay: one panel a rule, CPU above, where the tasks were below."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from cloudspill_monitor.simulation.machine import clip
from cloudspill_monitor.simulation.replay import Replay

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from cloudspill_monitor.simulation.command import Comparison

_MOST_POINTS = 4000
_RECORDED, _HERE, _AWAY, _HIGH, _LOW = "#dcdcdc", "#1f5fa8", "#d9822b", "#c23030", "#2a8f4f"


def draw(comparison: Comparison, path: Path) -> None:
    """Write the picture to `path`; its ending says which kind (.png or .svg).

    Raises OSError when it cannot be written.
    """
    hours = comparison.trace.seconds >= 2 * 3600
    unit, scale = ("h", 3600.0) if hours else ("s", 1.0)
    count = len(comparison.replays)
    figure = Figure(figsize=(12, 3.4 * count), layout="constrained")
    grid = figure.subplots(2 * count, 1, sharex=True, squeeze=False, height_ratios=[4, 1] * count)
    for index, result in enumerate(comparison.replays):
        above, below = grid[2 * index][0], grid[2 * index + 1][0]
        _draw_cpu(above, comparison, result, scale)
        _draw_places(below, comparison, result, scale)
    grid[0][0].legend(loc="lower left", bbox_to_anchor=(0, 1.12), ncols=4, frameon=False)
    grid[-1][0].set_xlabel(f"time ({unit})")
    figure.suptitle(f"{comparison.trace.name}: CPU at home, and where the tasks were")
    figure.savefig(path, dpi=110)


def _draw_cpu(axes: Axes, comparison: Comparison, result: Replay, scale: float) -> None:
    times, recorded, here = _series(comparison, result)
    hours = [time / scale for time in times]
    axes.fill_between(
        hours, recorded, step="post", color=_RECORDED, lw=0, label="recorded, all at home"
    )
    axes.step(hours, here, where="post", color=_HERE, lw=1.1, label="at home with this rule")
    policy = comparison.policy
    axes.axhline(policy.threshold_high, color=_HIGH, ls="--", lw=0.9, label="threshold_high")
    axes.axhline(policy.threshold_low, color=_LOW, ls="--", lw=0.9, label="threshold_low")
    axes.set_ylim(0, 105)
    axes.set_xlim(0, comparison.trace.seconds / scale)
    axes.set_ylabel("CPU (%)")
    axes.set_title(
        f"{result.rule}: {len(result.moves)} move(s), {result.seconds_above:.0f} s above "
        f"{policy.threshold_high:g} %, {result.vm_seconds:.0f} VM s, {result.cost:.4f} USD",
        loc="left",
        fontsize=10,
    )


def _draw_places(axes: Axes, comparison: Comparison, result: Replay, scale: float) -> None:
    tasks = comparison.machine.tasks
    end = comparison.trace.seconds
    for row, task in enumerate(tasks):
        spans = [
            (start / scale, (stop - start) / scale) for start, stop in _away(result, end, task.name)
        ]
        axes.broken_barh([(0, end / scale)], (row - 0.4, 0.8), facecolors=_HERE, alpha=0.25)
        axes.broken_barh(spans, (row - 0.4, 0.8), facecolors=_AWAY)
    lives = [(start / scale, (stop - start) / scale) for start, stop in result.vm_lives]
    axes.broken_barh(lives, (len(tasks) - 0.4, 0.8), facecolors="#555555")
    axes.set_yticks(range(len(tasks) + 1), [*(task.name for task in tasks), "VM"], fontsize=7)
    axes.set_ylim(len(tasks) + 0.6, -0.6)


def _away(result: Replay, end: float, name: str) -> Iterator[tuple[float, float]]:
    for (start, away), (stop, _) in pairwise([*result.away, (end, frozenset())]):
        if name in away:
            yield start, stop


def _series(comparison: Comparison, result: Replay) -> tuple[list[float], list[float], list[float]]:
    """Times (s), recorded CPU and CPU at home, with a point at each row and each change of place.

    Where there are more rows than can be seen, a point is the highest of several.
    """
    trace, machine = comparison.trace, comparison.machine
    stride = max(1, len(trace.values) // _MOST_POINTS)
    moments = {row * trace.row_seconds for row in range(0, len(trace.values), stride)}
    moments |= {at for at, _ in result.away if stride == 1}
    times = sorted(moment for moment in moments if moment < trace.seconds)
    recorded, here, span = [], [], 0
    for time in times:
        while span + 1 < len(result.away) and result.away[span + 1][0] <= time:
            span += 1
        row = int(time / trace.row_seconds + 1e-9)
        value = max(trace.values[row : row + stride])
        home, home_offset = machine.line(frozenset())
        factor, offset = machine.line(result.away[span][1])
        recorded.append(clip(value * home + home_offset))
        here.append(clip(value * factor + offset))
    return times, recorded, here
