# SPDX-License-Identifier: GPL-3.0-or-later
"""How the tests of all parts run side by side, and what they tell at the end.

`make test` gives them to as many processes as there are processors (pytest-xdist). What runs real
machines shares one network and goes to one process, the longest first; the tests of any other file
share their fixtures, and stay together.
"""

from __future__ import annotations

from typing import Any

import pytest

FIGURE = "figure"
"""Name of the property by which a test tells a figure: `record_property("figure", "…")`."""


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Say which tests belong together, where they run side by side."""
    if not hasattr(config, "workerinput"):
        return
    for item in items:
        together = "machines" if item.get_closest_marker("sandbox") else item.nodeid.split("::")[0]
        item.add_marker(pytest.mark.xdist_group(together))
    items.sort(key=lambda item: item.get_closest_marker("sandbox") is None)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the figures that tests told."""
    reports = terminalreporter.getreports("passed")
    figures = [value for r in reports for name, value in r.user_properties if name == FIGURE]
    if figures:
        terminalreporter.section("figures")
        for figure in figures:
            terminalreporter.write_line(figure)
