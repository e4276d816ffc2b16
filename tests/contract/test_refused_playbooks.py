# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks whose caller may not, or whose API is not enabled, say so before they make anything."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from .plays import Plays
from .rest import Json, Rest
from .target import Target

CRM = "https://cloudresourcemanager.googleapis.com/v1/projects"
IAM = "https://iam.googleapis.com/v1"
SERVICES = "https://serviceusage.googleapis.com/v1"

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("sandbox_only")]


@pytest.fixture(scope="module")
def owner(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Plays:
    """Runs playbooks as an owner of the project."""
    return Plays(target, tmp_path_factory.mktemp("home"), target.key_file)


@pytest.fixture
def disable(rest: Rest) -> Iterator[Callable[[str], None]]:
    """Disable a service; all are enabled again afterwards."""
    disabled: list[str] = []

    def off(name: str) -> None:
        disabled.append(f"{SERVICES}/projects/{rest.project}/services/{name}")
        posted(rest, f"{disabled[-1]}:disable", {"disableDependentServices": True})

    yield off
    for url in disabled:
        posted(rest, f"{url}:enable", {})


@pytest.fixture(scope="module")
def viewer(owner: Plays, rest: Rest, prefix: str) -> Iterator[Plays]:
    """Runs playbooks as an account that sees everything of Compute Engine and changes nothing."""
    accounts = f"{IAM}/projects/{rest.project}/serviceAccounts"
    made = posted(rest, accounts, {"accountId": f"{prefix}viewer"})
    try:
        key = posted(rest, f"{accounts}/{made['email']}/keys", {})
        key_file = owner.home / "viewer.json"
        key_file.touch(mode=0o600)
        key_file.write_bytes(base64.b64decode(key["privateKeyData"]))
        asked = {"options": {"requestedPolicyVersion": 3}}
        policy = posted(rest, f"{CRM}/{rest.project}:getIamPolicy", asked)
        binding = {"role": "roles/compute.viewer", "members": [f"serviceAccount:{made['email']}"]}
        policy["bindings"].append(binding)
        posted(rest, f"{CRM}/{rest.project}:setIamPolicy", {"policy": policy})
        yield replace(owner, key_file=key_file)
    finally:
        rest.session.delete(f"{accounts}/{made['email']}", timeout=60)


def posted(rest: Rest, url: str, body: Json) -> Json:
    """Return the answer to a call that must succeed."""
    answer = rest.session.post(url, json=body, timeout=60)
    assert answer.ok, answer.text
    return dict(answer.json())


PLAYBOOKS: list[tuple[str, dict[str, Any], str]] = [
    ("part1.yml", {}, "compute.images.create, compute.images.setLabels"),
    ("part1.yml", {"image_state": "absent"}, "compute.images.delete"),
    ("part2.yml", {}, "compute.disks.createSnapshot, compute.snapshots.create"),
    ("part3.yml", {}, "compute.firewalls.create, compute.firewalls.update"),
    ("part3.yml", {"firewall_state": "absent"}, "compute.firewalls.delete"),
    ("project_setup.yml", {}, "iam.roles.delete, iam.roles.get, iam.serviceAccountKeys.delete"),
]


@pytest.mark.parametrize(("playbook", "variables", "permissions"), PLAYBOOKS)
def test_a_caller_is_told_which_permissions_are_missing(
    viewer: Plays, playbook: str, variables: dict[str, Any], permissions: str
) -> None:
    play = viewer.run(playbook, **variables)
    assert play.status != 0
    assert f"the credentials lack {permissions}" in play.output
    assert "in this project: " in play.output, "and what to do"
    assert play.changed == 0, play.output


@pytest.mark.parametrize(
    ("playbook", "service"),
    [
        ("part1.yml", "compute.googleapis.com"),
        ("part2.yml", "compute.googleapis.com"),
        ("part3.yml", "storage-api.googleapis.com"),
        ("teardown.yml", "compute.googleapis.com"),
    ],
)
def test_an_api_that_is_not_enabled_is_named_with_what_enables_it(
    owner: Plays, disable: Callable[[str], None], playbook: str, service: str
) -> None:
    disable(service)
    play = owner.run(playbook, "--skip-tags", "firewall")  # part 3 begins with it
    assert play.status != 0
    assert f"the API {service} is not enabled in this project; enable it with" in play.output
    assert f"`gcloud services enable {service}`" in play.output


def test_a_caller_whose_permissions_cannot_be_asked_for_goes_on_without(
    owner: Plays, disable: Callable[[str], None]
) -> None:
    disable("cloudresourcemanager.googleapis.com")
    play = owner.run("part1.yml", "--check", "--skip-tags", "flask_app")
    assert play.status == 0, play.output
    assert "would make the instance flask-1" in play.output
