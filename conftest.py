# SPDX-License-Identifier: GPL-3.0-or-later
"""How the tests of all parts run side by side, and what they tell at the end.

`make test` gives them to as many processes as there are processors (pytest-xdist). What runs real
machines (tests/system) shares one network and goes to one process, first of all since it takes
longest; the tests of any other file share their fixtures, and stay together.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.table import Recorder

MACHINES = "tests/system/"
FIGURE = "figure"
"""Name of the property by which a test tells a figure: `record_property("figure", "…")`."""


def pytest_configure(config: pytest.Config) -> None:
    """Gather what the contract tests find."""
    config.pluginmanager.register(Recorder(), "contract-table")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put first what takes longest, where tests run side by side."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not item.nodeid.startswith(MACHINES))


# A scheduler of our own: the groups of pytest-xdist 3.8 have no effect with pytest 9.2.
@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Say which tests belong together."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return MACHINES if nodeid.startswith(MACHINES) else nodeid.split("::", 1)[0]

    return ByFile(config, log)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the figures that tests told."""
    reports = terminalreporter.getreports("passed")
    figures = [value for r in reports for name, value in r.user_properties if name == FIGURE]
    if figures:
        terminalreporter.section("figures")
        for figure in figures:
            terminalreporter.write_line(figure)
