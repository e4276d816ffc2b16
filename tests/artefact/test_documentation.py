# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module and plugin says what it does, takes and returns, as ansible-doc shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
Documented = dict[str, dict[str, dict[str, Any]]]
KINDS = {"modules": "module", "inventory": "inventory", "filter": "filter", "lookup": "lookup"}


def test_every_plugin_of_the_artefact_is_documented(documented: Documented) -> None:
    for folder, kind in KINDS.items():
        files = {path.stem for path in (ROOT / "plugins" / folder).glob("*.py")}
        assert files == set(documented[kind]), folder


def test_every_plugin_says_what_it_is_for_and_shows_it(documented: Documented) -> None:
    for kind in KINDS.values():
        for name, told in documented[kind].items():
            document = told["doc"]
            assert document["short_description"], name
            assert not document["short_description"].endswith("."), name
            assert document["description"], name
            assert document["author"] == ["The cloudspill authors (!UNKNOWN)"], name
            assert yaml.safe_load(told["examples"]), name


def test_every_option_is_described(documented: Documented) -> None:
    for kind in KINDS.values():
        for name, told in documented[kind].items():
            for option in flattened(told["doc"].get("options", {})):
                assert option["description"], name
                assert option["type"], name


def test_every_module_says_what_it_returns(documented: Documented) -> None:
    for name, told in documented["module"].items():
        assert told["return"], name
        for key, value in told["return"].items():
            assert value["description"], f"{name}: {key}"
            assert value["type"], f"{name}: {key}"
            assert value["returned"], f"{name}: {key}"


def test_the_action_group_holds_every_module_that_asks_google(documented: Documented) -> None:
    """So that module_defaults gives project and credentials once."""
    groups = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["action_groups"]
    askers = {
        name
        for name, told in documented["module"].items()
        if "auth_kind" in told["doc"].get("options", {})
    }
    assert askers
    assert sorted(askers) == groups["gcp"]


def flattened(options: dict[str, Any]) -> list[dict[str, Any]]:
    """Return options and those within them."""
    return [
        each
        for option in options.values()
        for each in (option, *flattened(option.get("suboptions") or {}))
    ]
