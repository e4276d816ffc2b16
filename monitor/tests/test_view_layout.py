# SPDX-License-Identifier: GPL-3.0-or-later
"""The live view's layout on a terminal of 80 columns."""

from __future__ import annotations

import io
import re
from dataclasses import replace

from rich.console import Console

from cloudspill_monitor.live_view import LiveReporter, render
from cloudspill_monitor.snapshot import Snapshot

from .test_metrics import SNAPSHOT


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
