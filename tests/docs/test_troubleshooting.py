# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/troubleshooting.md quotes what is really said."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from cloudspill_monitor.burst.failures import FailureKind

from .pages import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
SOURCES = ("sandbox/src", "monitor/src", "plugins", "roles", "scripts", "inventory")
SUFFIXES = {"", ".py", ".yml", ".sh", ".j2"}
THEIRS = {
    "'cloudspill_environment' is undefined",
    "Validation of arguments failed",
    "Permission denied (publickey",
    "Host key verification failed",
    "ZONE_RESOURCE_POOL_EXHAUSTED",
    "QUOTA_EXCEEDED",
    "is not signed",
    "database or disk is full",
    "This may be due to network connectivity issues",
    "gcloud compute ssh",
    "401 Anonymous caller",
    "502, b'Bad Gateway'",
    "CONNECT via proxy status: 502",
}
"""What Ansible, ssh, Google, gcloud, apt, SQLite or the kernel say, and what one types."""
KINDS = {f"failed ({kind})" for kind in FailureKind}
"""How the monitor begins to tell of a move that failed."""
PATTERNS = re.compile(r"^_SIGNS\b.*$", re.MULTILINE)
"""What the monitor looks for in others' sentences, and says nowhere."""


def quotes() -> list[str]:
    """What stands in the first column of the tables of symptoms as words that one sees."""
    _, _, tables = PAGE.partition("\n## ")
    rows = (line.split(" | ")[0] for line in tables.splitlines() if line.startswith("| "))
    return [quote for row in rows for quote in re.findall(r"`([^`]+)`", row)]


@cache
def said() -> str:
    """All sources as one line, without what Python programs do not say: comments, docstrings."""
    paths = (path for folder in SOURCES for path in (ROOT / folder).rglob("*"))
    files = (path for path in paths if path.is_file() and path.suffix in SUFFIXES)
    texts = (
        (path.suffix, path.read_bytes().decode(errors="replace"))
        for path in files
        if "__pycache__" not in path.parts
    )
    spoken = (_program(text) if suffix == ".py" else text for suffix, text in texts)
    return " ".join(PATTERNS.sub("", "\n".join(spoken)).split())


def _program(text: str) -> str:
    """A Python program with each string in one piece."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value.value = ...
    return ast.unparse(tree)


@pytest.mark.parametrize("quote", sorted(set(quotes()) - THEIRS - KINDS))
def test_a_quoted_sentence_is_in_the_sources(quote: str) -> None:
    for part in quote.split("…"):
        assert part.strip() in said(), part


def test_every_foreign_sentence_is_quoted() -> None:
    assert set(quotes()) >= THEIRS


def test_every_kind_of_failure_of_a_move_has_a_row() -> None:
    assert set(quotes()) >= KINDS
    table = (ROOT / "docs" / "monitor.md").read_text().partition("| kind | what it means")[2]
    cells = [line.split(" | ")[0] for line in table.partition("\n\n")[0].splitlines()]
    assert {kind for cell in cells for kind in re.findall(r"`([^`]+)`", cell)} == set(FailureKind)
