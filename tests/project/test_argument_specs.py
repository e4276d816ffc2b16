# SPDX-License-Identifier: GPL-3.0-or-later
"""Every role documents exactly the variables that it has, with the defaults that it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").glob("[!_.]*") if path.is_dir())


def read(path: Path) -> dict[str, Any]:
    """Return a YAML mapping, empty where the file has none or is absent."""
    content = yaml.safe_load(path.read_text()) if path.exists() else None
    return content or {}


def options(role: str) -> dict[str, dict[str, Any]]:
    """Return the documented options of a role, all its entry points taken together."""
    specs = read(ROOT / "roles" / role / "meta" / "argument_specs.yml").get("argument_specs", {})
    assert "main" in specs, f"roles/{role}/meta/argument_specs.yml describes no entry point main"
    return {
        name: option
        for entry in specs.values()
        for name, option in entry.get("options", {}).items()
    }


@pytest.mark.parametrize("role", ROLES)
def test_documented_defaults_are_the_defaults(role: str) -> None:
    documented = {
        name: option["default"] for name, option in options(role).items() if "default" in option
    }
    assert documented == read(ROOT / "roles" / role / "defaults" / "main.yml")


@pytest.mark.parametrize("role", ROLES)
def test_an_option_is_named_after_its_role_and_described(role: str) -> None:
    for name, option in options(role).items():
        assert name.startswith((f"{role}_", "cloudspill_")), name
        assert option.get("description"), name
        assert option.get("type"), name


@pytest.mark.parametrize("role", ROLES)
def test_a_required_option_has_no_default(role: str) -> None:
    for name, option in options(role).items():
        assert not (option.get("required") and "default" in option), name
