# SPDX-License-Identifier: GPL-3.0-or-later
"""What a project's set-up grants and what it says that things cost, where it is written twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloudspill_sandbox.identity.permissions import NOT_IN_CUSTOM_ROLES, PERMISSIONS

ROOT = Path(__file__).parents[2]
NARROW: dict[str, list[str]] = yaml.safe_load(
    (ROOT / "roles/project_setup/vars/main/permissions.yml").read_text()
)["__project_setup_narrow_by_role"]

DOCUMENT = (ROOT / "docs/real-google-cloud.md").read_text()


def preflight_lists() -> dict[str, set[str]]:
    """What the preflight of each role asks for in the project, but that of project_setup."""
    found: dict[str, set[str]] = {}
    for path in sorted(ROOT.glob("roles/*/vars/main.yml")):
        role = path.parents[1].name
        lists: Any = yaml.safe_load(path.read_text()).get(f"__{role}_permissions")
        if lists:
            found[role] = {each for state in lists.values() for each in state}
    return found


PREFLIGHTS = preflight_lists()


@pytest.mark.parametrize("role", PREFLIGHTS)
def test_what_a_preflight_asks_for_is_granted(role: str) -> None:
    missing = PREFLIGHTS[role] - set(NARROW.get(role, []))
    assert not missing, f"add them to vars/main/permissions.yml of project_setup: {missing}"


def test_there_are_preflights_to_compare_with() -> None:
    assert {"image", "instance", "firewall", "snapshot", "clones"} <= set(PREFLIGHTS)


@pytest.mark.parametrize("role", NARROW)
def test_what_is_granted_can_be_and_stands_once_in_order(role: str) -> None:
    granted = NARROW[role]
    assert granted == sorted(set(granted))
    assert set(granted) <= PERMISSIONS - NOT_IN_CUSTOM_ROLES


@pytest.mark.parametrize("role", NARROW)
def test_the_documentation_has_the_permissions_of_every_role(role: str) -> None:
    by_resource: dict[str, list[str]] = {}
    for permission in NARROW[role]:
        resource, _, verb = permission.rpartition(".")
        by_resource.setdefault(resource, []).append(verb)
    cell = "; ".join(f"`{name}` {', '.join(verbs)}" for name, verbs in by_resource.items())
    assert f"| {role} | {cell} |" in DOCUMENT


def test_the_documentation_has_the_prices_by_which_the_bill_is_reckoned() -> None:
    path = ROOT / "roles/project_setup/vars/main/prices.yml"
    prices = yaml.safe_load(path.read_text())["__project_setup_prices"]
    assert prices
    for name, price in prices.items():
        assert f"| ${price['usd']} a" in DOCUMENT, name
        assert f"({price['source']})" in DOCUMENT, name


def test_nothing_is_granted_by_which_more_could_be_granted() -> None:
    everything = json.dumps(NARROW)
    for word in ("projects.setIamPolicy", "serviceAccounts.setIamPolicy", "actAs", "Keys", "roles"):
        assert word not in everything, word
