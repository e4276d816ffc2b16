# SPDX-License-Identifier: GPL-3.0-or-later
"""What is taken for a misspelt variable of a role, and what for somebody else's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleLookupError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.cloudspill.gcp.plugins.lookup.misspelt_variables import (
    LookupModule,
    misspelt,
)

ROOT = Path(__file__).parents[4]
ENDINGS = ["disk_size_gb", "machine_type", "name", "port", "path", "run", "zone"]


def meant(*names: str) -> dict[str, str]:
    return dict(misspelt(names, "vm_", ENDINGS))


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("vm_machine_typ", "vm_machine_type"),
        ("vm_mahcine_typ", "vm_machine_type"),
        ("vm_machinetype", "vm_machine_type"),
        ("vm_Name", "vm_name"),
        ("vm_names", "vm_name"),
        ("vm_prot", "vm_port"),
        ("vm_type", "vm_machine_type"),
        ("vm_disk_size", "vm_disk_size_gb"),
    ],
)
def test_a_name_a_letter_or_two_or_a_word_away_was_meant_so(wrong: str, right: str) -> None:
    assert meant(wrong) == {wrong: right}


@pytest.mark.parametrize(
    "name",
    ["vm_name", "vm_rename", "vm_result", "vm_id", "vm_name_prefix", "vms", "other_nam", "vm_"],
)
def test_any_other_name_is_somebody_elses(name: str) -> None:
    assert meant(name) == {}


def test_the_nearest_is_named() -> None:
    assert dict(misspelt(["a_zoness"], "a_", ["a_zone", "zones"])) == {"a_zoness": "a_zones"}


def asked(**variables: Any) -> list[str]:
    """What the lookup says in a task of the role instance."""
    loader = DataLoader()
    known = {"role_path": str(ROOT / "roles" / "instance"), **variables}
    return LookupModule(loader=loader, templar=Templar(loader, known)).run([], known)


def test_a_sentence_says_what_to_set_and_how_to_keep_the_name() -> None:
    assert asked(instance_machine_typ="e2-small", instance_zone="us-west1-b") == [
        "instance_machine_typ is no variable: set instance_machine_type, or name "
        "instance_machine_typ in cloudspill_foreign_variables if it is not meant for this "
        "collection"
    ]


def test_what_is_declared_foreign_is_left_alone() -> None:
    assert asked(instance_names=["a"], cloudspill_foreign_variables=["instance_names"]) == []


def test_what_is_declared_foreign_must_be_a_list() -> None:
    with pytest.raises(AnsibleLookupError, match="set cloudspill_foreign_variables to a list"):
        asked(cloudspill_foreign_variables="instance_names")


def test_what_all_roles_share_is_held_against_its_list() -> None:
    assert [said.split()[0] for said in asked(cloudspill_rnu="a", gcp_projcet="b")] == [
        "cloudspill_rnu",
        "gcp_projcet",
    ]


def test_outside_a_role_it_refuses() -> None:
    with pytest.raises(AnsibleLookupError, match="for tasks of a role"):
        LookupModule().run([], {})
