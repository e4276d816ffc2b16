# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/roles.md names every role, variable, default and playbook."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
ROLES = sorted(path.parents[1].name for path in ROOT.glob("roles/*/meta/argument_specs.yml"))
PLAYBOOKS = sorted(path.name for path in ROOT.glob("playbooks/*.yml"))
REFERENCE = ROOT / "docs" / "roles.md"


def rows(role: str) -> dict[str, list[str]]:
    """The cells of a role's table, by variable."""
    _, _, section = REFERENCE.read_text().partition(f"\n## {role}\n")
    lines = section.partition("\n## ")[0].splitlines()
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines if line[:2] == "| "]
    return {row[0].strip("`"): row[1:] for row in cells[1:]}


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_of_a_role_stands_there_with_its_default(role: str) -> None:
    path = ROOT / "roles" / role / "defaults" / "main.yml"
    defaults = yaml.safe_load(path.read_text())
    shown = {name: cells[0].strip("`") for name, cells in rows(role).items()}
    assert shown == {name: as_shown(value) for name, value in defaults.items()}


def as_shown(value: object) -> str:
    """A default as a person reads it: a variable's name for a template."""
    if value in ("", [], {}):
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(as_shown(item) for item in value)
    text = str(value)
    return text.strip("{} ").split(" | ")[0] if text.startswith("{{") else text


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_every_playbook_stands_there(playbook: str) -> None:
    assert f"`playbooks/{playbook}`" in REFERENCE.read_text()
