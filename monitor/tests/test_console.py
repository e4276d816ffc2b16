# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain lines: whatever the console can show, none is lost, and a dead console ends nothing."""

from __future__ import annotations

import io

from cloudspill_monitor.console import PlainReporter

from .conftest import FakeClock


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
