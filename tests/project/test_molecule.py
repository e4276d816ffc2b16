# SPDX-License-Identifier: GPL-3.0-or-later
"""Every role has a scenario of molecule's, or a word why it has none."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SCENARIOS = ROOT / "extensions" / "molecule"
ROLES = sorted(path.parents[1].name for path in ROOT.glob("roles/*/meta/argument_specs.yml"))
TESTED = sorted(path.parent.name for path in SCENARIOS.glob("*/converge.yml"))
SHARED = yaml.safe_load((SCENARIOS / "config.yml").read_text())


def test_every_role_has_a_scenario_or_a_word_why_it_has_none() -> None:
    without = (SCENARIOS / "README.md").read_text().partition("## What has none")[2]
    assert [role for role in ROLES if role not in TESTED and f"- `{role}` " not in without] == []
    assert [role for role in TESTED if role not in ROLES] == []


@pytest.mark.parametrize("scenario", TESTED)
def test_a_scenario_takes_every_step(scenario: str) -> None:
    its = yaml.safe_load((SCENARIOS / scenario / "molecule.yml").read_text())
    sequence = its.get("scenario", SHARED["scenario"])["test_sequence"]
    prepared = (SCENARIOS / scenario / "prepare.yml").exists()
    steps = ["destroy", "create", *(["prepare"] if prepared else []), "check", "verify"]
    steps += ["converge", "idempotence", "verify", "cleanup", "destroy"]
    assert [step.partition(" ")[0] for step in sequence] == steps
    unmade = sequence[steps.index("verify")].partition(" ")[2]
    assert (SCENARIOS / scenario / unmade).is_file(), "what check mode must not have made"
    assert (SCENARIOS / scenario / "verify.yml").is_file()
