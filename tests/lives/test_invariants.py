# SPDX-License-Identifier: GPL-3.0-or-later
"""Each thing that can be wrong with a sandbox is told; a whole one has nothing wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.lives.api import Json
from tests.lives.invariants import violations
from tests.lives.inventory import KINDS, Host, Inventory

ROOT = "https://www.googleapis.com/compute/v1/"
VM, DISK, ADDRESS = (f"projects/p/zones/z/{name}" for name in ("instances/vm", "disks/vm", "a"))
Change = Callable[[Inventory], Inventory]


def whole() -> Inventory:
    instance: Json = {
        "id": "7",
        "selfLink": ROOT + VM,
        "status": "RUNNING",
        "disks": [{"boot": True, "source": ROOT + DISK}],
        "networkInterfaces": [
            {"networkIP": "10.138.0.2", "accessConfigs": [{"natIP": "198.18.0.2"}]}
        ],
    }
    disk: Json = {
        "id": "8",
        "kind": "compute#disk",
        "selfLink": ROOT + DISK,
        "status": "READY",
        "users": [ROOT + VM],
    }
    address: Json = {"selfLink": ROOT + ADDRESS, "status": "RESERVED", "address": "198.18.0.3"}
    listed: dict[str, list[Json]] = {kind: [] for kind in KINDS}
    listed |= {"instances": [instance], "disks": [disk], "addresses": [address]}
    return Inventory(
        listed=listed,
        leases={"10.138.0.2": VM, "198.18.0.2": VM, "198.18.0.3": ADDRESS},
        machines={"7": VM},
        guest_attributes=frozenset({"7"}),
        volumes=frozenset({"d8"}),
        named=frozenset({"c1"}),
        contents=frozenset({"c1"}),
        host=Host(("7",), frozenset({"0a8a0002"}), frozenset({"0a8a0002"}), frozenset({"d8"})),
    )


def listed(kind: str, **fields: object) -> Change:
    """Change a field of the first document of a kind."""

    def change(inventory: Inventory) -> Inventory:
        documents = copy.deepcopy(inventory.listed)
        documents[kind][0].update(fields)
        return replace(inventory, listed=documents)

    return change


def hosted(**fields: object) -> Change:
    def change(inventory: Inventory) -> Inventory:
        assert inventory.host is not None
        return replace(inventory, host=replace(inventory.host, **fields))  # type: ignore[arg-type]

    return change


def kept(**fields: object) -> Change:
    return lambda inventory: replace(inventory, **fields)  # type: ignore[arg-type]


def test_nothing_is_wrong_with_a_whole_sandbox() -> None:
    assert violations(whole()) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (listed("instances", status="STOPPING"), "vm is STOPPING"),
        (listed("disks", status="CREATING"), "vm is CREATING"),
        (listed("disks", users=[]), "does not know it"),
        (listed("instances", disks=[]), "does not have it"),
        (kept(volumes=frozenset()), "disks/vm has no volume"),
        (kept(volumes=frozenset({"d8", "d9"})), "d9 has no disk"),
        (kept(leases={"10.138.0.2": VM, "198.18.0.2": VM}), "198.18.0.3 without a lease"),
        (kept(leases=whole().leases | {"10.138.0.9": VM}), "10.138.0.9 is leased"),
        (listed("addresses", address="10.138.0.2"), "10.138.0.2 belongs to"),
        (kept(contents=frozenset()), "an object has no content c1"),
        (kept(named=frozenset()), "content c1 has no object"),
        (kept(machines={}), "machines are found as"),
        (kept(guest_attributes=frozenset({"9"})), "guest attributes of 9"),
        (hosted(machines=()), "7 is RUNNING and has no machine"),
        (hosted(machines=("7", "7")), "7 has 2 machines"),
        (hosted(machines=("7", "9")), "a machine of instance 9 runs"),
        (listed("instances", status="TERMINATED"), "a machine of instance 7 runs"),
        (hosted(mounted=frozenset()), "d8 of a running machine is not mounted"),
        (hosted(namespaces=frozenset()), "no namespace 0a8a0002"),
        (hosted(links=frozenset()), "no link 0a8a0002"),
        (hosted(namespaces=frozenset({"0a8a0002", "0a8a0009"})), "namespace 0a8a0009 belongs"),
        (hosted(links=frozenset({"0a8a0002", "0a8a0009"})), "link 0a8a0009 belongs"),
    ],
)
def test_what_is_wrong_is_told(change: Change, told: str) -> None:
    found = violations(change(whole()))
    assert any(told in sentence for sentence in found), found
