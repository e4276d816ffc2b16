# SPDX-License-Identifier: GPL-3.0-or-later
"""For how long a task runs nowhere while it moves, and for how long the forerunner's did.

python -m bench.burst [--quick] [--json FILE]

Run as root; a person's sandbox is stopped meanwhile and started again. The monitor, the playbooks,
ssh and the machines are real, on the same cores; what the monitor takes for the CPU is told. The
times are the tasks' own: from the last moment of one process to the first of the next. With the
latency profile `gce` (left out by --quick) making a VM takes as long as at Google. The forerunner's
order of steps (stop, create, wait, copy, start) is made of the same playbooks, in the same run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.burst.intervals import Interval
from tests.system.burst_lab import BurstLab
from tests.system.sandbox import Sandbox, host_to_ourselves

VARIABLES = {"CLOUDSPILL_SANDBOX": "benchburst", "CLOUDSPILL_SANDBOX_PORT": "8467"}
TARGET = 1.5  # seconds
TRIPS = 3

Figures = dict[str, float]


@contextmanager
def sandbox(folder: Path, *options: str) -> Iterator[Sandbox]:
    """A sandbox of the benchmark's own."""
    with host_to_ourselves():
        made = Sandbox(folder, VARIABLES)
        try:
            made.up(*options)
            yield made
        finally:
            made.destroy()


def journeys(cloud: Sandbox, folder: Path, trips: int, **environment: str) -> list[Interval]:
    """Send two tasks out and home again, `trips` times; when each process ran."""
    folder.mkdir()
    lab = BurstLab(cloud, folder)
    try:
        lab.configure()
        lab.start(**environment)
        lab.says(r"Task 4 started as process")
        for _ in range(trips):
            lab.spill()
            lab.return_home()
        if lab.end():
            raise RuntimeError(lab.tail())
        return lab.audit()
    finally:
        lab.destroy()


def nowhere(intervals: list[Interval]) -> tuple[list[float], list[float]]:
    """Seconds that tasks ran nowhere on each way out, and on each way home."""
    out: list[float] = []
    home: list[float] = []
    for task in ("Task 3", "Task 4"):
        for before, after in pairwise(one for one in intervals if one.task == task):
            gap = after.begun - before.last
            (out if "cloudspill-burst" in after.place else home).append(gap)
    return out, home


def measure(console: Console, folder: Path, profile: str) -> Figures:
    """The medians of one latency profile."""
    with sandbox(folder, "--latency", profile) as cloud:
        console.print(f"{profile}: {TRIPS} round trips of two tasks", style="dim")
        out, home = nowhere(journeys(cloud, folder / "ours", TRIPS))
        console.print(f"{profile}: the forerunner's order of steps", style="dim")
        stopped = journeys(cloud, folder / "theirs", 1, BURST_STOP_FIRST="1")
        theirs, _ = nowhere(stopped)
    return {
        f"{profile}_out_median_s": statistics.median(out),
        f"{profile}_out_most_s": max(out),
        f"{profile}_home_median_s": statistics.median(home),
        f"{profile}_home_most_s": max(home),
        f"{profile}_forerunner_out_median_s": statistics.median(theirs),
        f"{profile}_ratio": statistics.median(theirs) / statistics.median(out),
    }


def show(console: Console, figures: Figures) -> None:
    """Print the table."""
    table = Table(title="seconds that a task runs nowhere", title_justify="left")
    for heading in ("", "seconds", ""):
        table.add_column(heading)
    for name, figure in figures.items():
        aimed = "_median_s" in name and "forerunner" not in name
        verdict = "" if not aimed else "within 1.5 s" if figure <= TARGET else "[red]over 1.5 s"
        table.add_row(name.removesuffix("_s").replace("_", " "), f"{figure:.2f}", verdict)
    console.print(table)


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="without the latency profile gce")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    arguments = parser.parse_args()
    console = Console()
    figures: Figures = {}
    for profile in ("instant",) if arguments.quick else ("instant", "gce"):
        with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="bench-") as folder:
            figures |= measure(console, Path(folder), profile)
    show(console, figures)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
