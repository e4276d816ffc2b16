# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection knows neither the sandbox nor the monitor: import-linter cannot see plugins."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))
CONTENT = sorted(
    path
    for folder in ("roles", "playbooks", "plugins")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".yml", ".yaml", ".j2", ".sh", ".md"}
)


def imported(path: Path) -> set[str]:
    """Return the top-level packages that a module imports anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.stem)
def test_a_plugin_imports_neither_the_sandbox_nor_the_monitor(path: Path) -> None:
    assert not imported(path) & {"cloudspill_sandbox", "cloudspill_monitor"}


@pytest.mark.parametrize("path", CONTENT, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_collection_never_mentions_the_sandbox(path: Path) -> None:
    assert re.findall(r".*sandbox.*", path.read_text(), re.IGNORECASE) == []
