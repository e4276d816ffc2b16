# SPDX-License-Identifier: GPL-3.0-or-later
"""What part 2 refuses, and why: one sentence each, and nothing is left behind."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from .faults import Faults
from .plays import Plays
from .rest import Json, Rest
from .target import Target

IAM = "https://iam.googleapis.com/v1"
Named = Callable[[str], str]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("sandbox_only")]


@pytest.fixture(scope="module")
def owner(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Plays:
    """Runs playbooks as an owner of the project."""
    return Plays(target, tmp_path_factory.mktemp("home"), target.key_file)


@pytest.fixture
def viewer(owner: Plays, rest: Rest, tmp_path: Path) -> Iterator[Plays]:
    """Runs playbooks as an account that may look at Compute Engine and no more."""
    accounts = f"{IAM}/projects/{rest.project}/serviceAccounts"
    made = rest.session.post(accounts, json={"accountId": "part2-viewer"}, timeout=60).json()
    member = f"serviceAccount:{made['email']}"
    try:
        grant(rest, {"role": "roles/compute.viewer", "members": [member]})
        key = rest.session.post(f"{IAM}/{made['name']}/keys", json={}, timeout=60).json()
        path = tmp_path / "key.json"
        path.touch(mode=0o600)
        path.write_bytes(base64.b64decode(key["privateKeyData"]))
        yield replace(owner, key_file=path)
    finally:
        grant(rest, {"role": "roles/compute.viewer", "members": []})
        rest.session.delete(f"{IAM}/{made['name']}", timeout=60)


def grant(rest: Rest, binding: Json) -> None:
    """Let a role of the project be held by these members alone."""
    url = f"https://cloudresourcemanager.googleapis.com/v1/projects/{rest.project}"
    asked = {"options": {"requestedPolicyVersion": 3}}
    policy = rest.session.post(f"{url}:getIamPolicy", json=asked, timeout=60).json()
    kept = [each for each in policy["bindings"] if each["role"] != binding["role"]]
    policy |= {"bindings": [*kept, binding] if binding["members"] else kept, "version": 3}
    answer = rest.session.post(f"{url}:setIamPolicy", json={"policy": policy}, timeout=60)
    assert answer.ok, answer.text


@pytest.fixture
def machine(rest: Rest, named: Named, tmp_path: Path) -> dict[str, str]:
    """A machine to clone, as the variables of part 2, which nobody can log in to."""
    name = named("vm")
    rest.done("POST", f"zones/{rest.zone}/instances", rest.instance(name))
    return {
        "snapshot_instance": name,
        "snapshot_name": f"{name}-base",
        "snapshot_zone": rest.zone,
        "snapshot_quiesce": "none",
        "clones_ssh_key_file": str(tmp_path / "ssh_key"),
    }


def snapshots(rest: Rest, name: str) -> list[Json]:
    found: list[Json] = rest.get("global/snapshots").get("items", [])
    return [item for item in found if item["name"] == name]


def clones(rest: Rest, of: str) -> list[str]:
    listed = rest.get("aggregated/instances")["items"].values()
    names = [item["name"] for scope in listed for item in scope.get("instances", [])]
    return [name for name in names if name.startswith(f"{of}-clone")]


def test_a_machine_that_is_missing_is_named(owner: Plays, rest: Rest, named: Named) -> None:
    name = named("gone")
    play = owner.run("part2.yml", snapshot_instance=name, snapshot_zone=rest.zone)
    assert play.status != 0
    assert f"there is no instance {name} in {rest.zone}: make it with the role" in play.output
    assert "set snapshot_instance and snapshot_zone to another" in play.output


def test_a_snapshot_of_a_stranger_is_left_alone(
    owner: Plays, rest: Rest, machine: dict[str, str]
) -> None:
    name, disk = machine["snapshot_name"], machine["snapshot_instance"]
    # A label that stands behind the mark in the alphabet once counted as it.
    body = {"name": name, "labels": {"zzz": "1"}}
    rest.done("POST", f"zones/{rest.zone}/disks/{disk}/createSnapshot", body)
    for state in ("present", "absent"):
        play = owner.run("part2.yml", "--tags", "snapshot", **machine, snapshot_state=state)
        assert play.status != 0
        assert f"the snapshot {name} does not carry the mark of run default" in play.output
        assert "choose another snapshot_name" in play.output
    assert snapshots(rest, name)[0]["labels"] == {"zzz": "1"}


def test_a_snapshot_of_another_machine_is_refused(
    owner: Plays, rest: Rest, machine: dict[str, str], named: Named
) -> None:
    first = owner.run("part2.yml", "--tags", "snapshot", **machine)
    assert first.status == 0, first.output
    again = owner.run("part2.yml", "--tags", "snapshot", **machine)
    assert (again.status, again.changed) == (0, 0), again.output
    other = named("other")
    rest.done("POST", f"zones/{rest.zone}/instances", rest.instance(other))
    play = owner.run("part2.yml", "--tags", "snapshot", **machine | {"snapshot_instance": other})
    assert play.status != 0
    assert "was taken of another disk" in play.output


def test_permissions_that_are_missing_are_named_before_anything_is_changed(
    viewer: Plays, rest: Rest, machine: dict[str, str]
) -> None:
    play = viewer.run("part2.yml", **machine)
    assert play.status != 0
    lacking = "compute.disks.createSnapshot, compute.snapshots.create, compute.snapshots.delete"
    assert f"the credentials lack {lacking}, " in play.output
    assert "grant roles/compute.admin, or a role that holds them" in play.output
    assert snapshots(rest, machine["snapshot_name"]) == []


def test_every_zone_s_answer_is_told_when_none_has_room(
    owner: Plays, rest: Rest, machine: dict[str, str], faults: Faults, tmp_path: Path
) -> None:
    zones = [rest.zone, f"{rest.region}-c"]
    of = machine["snapshot_instance"]
    faults.add("stock-out", match=f"{of}-clone-*", count="forever")
    times = tmp_path / "TIMING.md"
    play = owner.run("part2.yml", **machine, clones_zones=zones, timing_file=str(times))
    assert play.status != 0
    assert "3 of 3 instances failed" in play.output
    for zone in zones:
        assert f"{zone} has no f1-micro: " in play.output
    assert clones(rest, of) == []
    assert not times.exists()


def test_a_quota_ends_the_run_with_its_name(
    owner: Plays, rest: Rest, machine: dict[str, str], faults: Faults
) -> None:
    of = machine["snapshot_instance"]
    faults.add("quota", match=f"{of}-clone-*", count="forever")
    play = owner.run("part2.yml", **machine)
    assert play.status != 0
    assert "Quota 'CPUS' exceeded" in play.output
    assert "ask for more quota" in play.output
    assert clones(rest, of) == []


def test_check_mode_tells_and_makes_nothing(
    owner: Plays, rest: Rest, machine: dict[str, str], tmp_path: Path
) -> None:
    play = owner.run("part2.yml", "--check", **machine)
    assert play.status == 0, play.output
    assert f"would take the snapshot {machine['snapshot_name']}" in play.output
    assert snapshots(rest, machine["snapshot_name"]) == []
    assert clones(rest, machine["snapshot_instance"]) == []
    assert not (tmp_path / "ssh_key").exists()
