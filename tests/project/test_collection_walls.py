# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection knows neither the sandbox nor the monitor: import-linter cannot see plugins."""

from __future__ import annotations

import ast
from pathlib import Path

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


def test_plugins_import_neither_the_sandbox_nor_the_monitor() -> None:
    ours = {"cloudspill_sandbox", "cloudspill_monitor"}
    assert PLUGINS
    assert [path for path in PLUGINS if imported(path) & ours] == []


def test_the_collection_never_mentions_the_sandbox() -> None:
    assert CONTENT
    assert [path for path in CONTENT if "sandbox" in path.read_text().lower()] == []
