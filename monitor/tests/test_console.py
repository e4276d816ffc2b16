# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain lines: whatever the console can show, none is lost, and a dead console ends nothing."""

from __future__ import annotations

import io
import json
from dataclasses import replace

from cloudspill_monitor.console import JsonReporter, PlainReporter, summary

from .conftest import FakeClock
from .test_metrics import SNAPSHOT, VM


def test_a_console_that_knows_no_accents_still_gets_the_line(clock: FakeClock) -> None:
    written = io.BytesIO()
    out = io.TextIOWrapper(written, encoding="ascii")
    PlainReporter(out, clock, 1.0).log("t", "caf\u00e9 \u2192")
    assert written.getvalue().endswith(b"[t] caf\\xe9 \\u2192\n")


def test_a_console_that_is_gone_is_no_error(clock: FakeClock) -> None:
    out = io.StringIO()
    reporter = PlainReporter(out, clock, 1.0)
    reporter.notice("seen")
    assert out.getvalue().endswith(" seen\n")
    out.close()
    reporter.notice("unseen")


def test_a_line_says_where_it_was_written(clock: FakeClock) -> None:
    out = io.StringIO()
    reporter = PlainReporter(out, clock, 1.0)
    reporter.log("Task 3", "one", "burst-1")
    reporter.log("Task 3", "two")
    assert [line.split(" ", 1)[1] for line in out.getvalue().splitlines()] == [
        "[burst-1 Task 3] one",
        "[Task 3] two",
    ]
    objects = io.StringIO()
    JsonReporter(objects, clock).log("Task 3", "one", "burst-1")
    assert json.loads(objects.getvalue())["place"] == "burst-1"


def test_every_line_of_an_error_has_its_time(clock: FakeClock) -> None:
    out = io.StringIO()
    PlainReporter(out, clock, 1.0).error("two mistakes:\nmonitor.yml:3: one")
    first, second = out.getvalue().splitlines()
    assert first.endswith(" ERROR: two mistakes:")
    assert second == f"{first.split()[0]} monitor.yml:3: one"


def test_the_summary_tells_of_vms() -> None:
    away = replace(SNAPSHOT.tasks[0], name="Task 3", place=VM.name, cores=0.5, phase="away")
    lost = replace(VM, name="b2", connected=False, age=None, state="planned")
    text = summary(replace(SNAPSHOT, tasks=(away,), vms=(VM, lost)))
    assert "| away: Task 3 (0.50 cores) at burst-3f2a9c-1 |" in text
    assert "burst-3f2a9c-1 (up for 3m07s, cost 0.0025), b2 (being made, cost 0.0025)" in text
    assert "no connection" in summary(replace(SNAPSHOT, vms=(replace(VM, connected=False),)))
