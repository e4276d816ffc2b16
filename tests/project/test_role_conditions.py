# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible's templates make of an expression, where Python would make something else."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_no_role_compares_items_of_mappings() -> None:
    """In a template `items()` is a list: `<=` sorts, and says "ours" of a stranger's label."""
    roles = (ROOT / "roles").glob("*/**/*.yml")
    wrong = [path for path in roles if ".items() <=" in path.read_text()]
    assert wrong == []
