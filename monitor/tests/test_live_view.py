# SPDX-License-Identifier: GPL-3.0-or-later
"""The live view: it neither costs nor breaks the watch."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from cloudspill_monitor.live_view import LiveReporter
from cloudspill_monitor.workload import TaskEvent

from .test_metrics import SNAPSHOT

TITLE = "cloudspill-monitor (moves are only announced)"


def terminal(file: io.StringIO) -> Console:
    return Console(file=file, force_terminal=True, width=80, height=24)


def test_lines_of_tasks_cost_one_redraw_a_sample() -> None:
    screen = io.StringIO()
    with LiveReporter(terminal(screen)) as reporter:
        reporter.sample(SNAPSHOT)
        before = screen.getvalue().count(TITLE)
        for number in range(1000):
            reporter.log("loud", f"line {number}")
        reporter.sample(SNAPSHOT)
        assert "line 999" in screen.getvalue()
        assert screen.getvalue().count(TITLE) - before <= 2
        reporter.log("loud", "last words")
    assert "last words" in screen.getvalue()


def test_lines_and_events_keep_their_order() -> None:
    screen = io.StringIO()
    with LiveReporter(terminal(screen)) as reporter:
        reporter.log("a", "before")
        reporter.task(TaskEvent("a", "stopped"))
    assert screen.getvalue().index("before") < screen.getvalue().index("stopped")


def test_the_last_frame_tells_what_has_become_of_a_task() -> None:
    screen = io.StringIO()
    with LiveReporter(terminal(screen)) as reporter:
        reporter.sample(SNAPSHOT)
        assert "running" in screen.getvalue()
        drawn = len(screen.getvalue())
        ended = replace(SNAPSHOT.tasks[0], phase="done", pid=None)
        reporter.state(replace(SNAPSHOT, tasks=(ended,)))
        reporter.task(TaskEvent("odd", "completed (exit status 0)"))
        last = screen.getvalue()[drawn:]
    assert "done" in last
    assert "running" not in last


def test_what_a_task_writes_cannot_draw_over_the_view() -> None:
    screen = io.StringIO()
    with LiveReporter(terminal(screen)) as reporter:
        drawn = len(screen.getvalue())
        reporter.log("odd", "\x1b[2J\x1b]0;title\x07\x1b[31mred\x1b[0m\ttab [bold]as it is[/]\x08")
        reporter.sample(SNAPSHOT)
        text = screen.getvalue()[drawn:]
    assert "[odd] red" in text
    assert "[bold]as it is[/]" in text
    assert "\x1b[2J" not in text.split(TITLE)[0]
    assert not any(control in text for control in ("\x1b]", "\x07", "\x08"))


def test_a_terminal_that_lacks_a_letter_still_gets_the_line() -> None:
    written = io.BytesIO()
    screen = io.TextIOWrapper(written, encoding="iso-8859-1")
    console = Console(file=screen, force_terminal=True, width=80, height=24)
    with LiveReporter(console) as reporter:
        reporter.log("a", "caf\u00e9 \u2192")
        reporter.sample(SNAPSHOT)
    screen.flush()
    assert b"[a] caf\xe9 \\u2192" in written.getvalue()


class Gone(io.StringIO):
    """A terminal whose window is closed at some time."""

    closed_by_user = False

    def write(self, text: str) -> int:
        if self.closed_by_user:
            raise OSError(5, "Input/output error")
        return super().write(text)


def test_a_terminal_that_goes_away_does_not_end_the_watch() -> None:
    screen = Gone()
    with LiveReporter(terminal(screen)) as reporter:
        reporter.sample(SNAPSHOT)
        drawn = screen.getvalue()
        screen.closed_by_user = True
        reporter.notice("the configuration was read again")
        reporter.log("a", "goes on")
        reporter.sample(SNAPSHOT)
    assert TITLE in drawn
    assert screen.getvalue() == drawn
