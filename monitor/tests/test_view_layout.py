# SPDX-License-Identifier: GPL-3.0-or-later
"""The live view's layout on a terminal of 80 columns."""

from __future__ import annotations

import io
import re
from dataclasses import replace

from rich.console import Console

from cloudspill_monitor.live_view import LiveReporter, render
from cloudspill_monitor.snapshot import FailureView, Snapshot

from .test_metrics import SNAPSHOT, VM


def drawn(snapshot: Snapshot) -> str:
    screen = io.StringIO()
    Console(file=screen, width=80).print(render(snapshot), end="")
    return screen.getvalue()


def test_the_facts_fit_into_80_columns() -> None:
    lines = drawn(replace(SNAPSHOT, memory=100.0, ignored=100.0, elsewhere=100.0)).splitlines()
    assert any("ignored 100.0 %, counted elsewhere 100.0 %" in line for line in lines), lines
    assert any("memory 100.0 %" in line and "2 out, 1 in" in line for line in lines), lines


def test_what_follows_a_view_that_is_cut_short_begins_a_line() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80, height=24)
    with LiveReporter(console) as reporter:
        reporter.sample(SNAPSHOT)
        assert re.search(r"the monitor *(\x1b\[0m)?\n *$", screen.getvalue())


def test_vms_and_the_last_failure_fit_too() -> None:
    away = replace(SNAPSHOT.tasks[0], name="Task 3", place=VM.name)
    failure = FailureView(1.7e9, "scale out", "stock-out", "no room in us-west1-b", "Name zones.")
    lines = drawn(replace(SNAPSHOT, tasks=(away,), vms=(VM,), failure=failure)).splitlines()
    row = next(line for line in lines if VM.zone in line)
    assert all(word in row for word in (VM.name, VM.zone, "Spot", "3m07s", "1m50s", "0.0025")), row
    assert any("scale out failed: no room in us-west1-b" in line for line in lines)
    assert any("Name zones." in line for line in lines)
    assert any("Ctrl-C ends the tasks, their VMs and the monitor" in line for line in lines)
