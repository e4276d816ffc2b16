# SPDX-License-Identifier: GPL-3.0-or-later
"""Host keys: what ssh is told, and what is kept."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cloudspill.gcp.plugins.module_utils import host_keys, ssh_options
from ansible_collections.cloudspill.gcp.plugins.module_utils.api_errors import (
    CloudError,
    DeadlineError,
)
from ansible_collections.cloudspill.gcp.plugins.module_utils.compute import Compute

INSTANCE = "zones/z/instances/a"
ATTRIBUTES = f"{INSTANCE}/getGuestAttributes"
TARGET = ssh_options.Target(
    project="acme", zone="z", name="a", instance_id="42", address="198.51.100.7"
)


def published(*keys: tuple[str, str]) -> dict[str, Any]:
    items = [{"namespace": "hostkeys", "key": kind, "value": value} for kind, value in keys]
    return {"queryPath": "hostkeys/", "queryValue": {"items": items}}


def fetch(compute: Compute, time: Any) -> str:
    return host_keys.fetch(compute, INSTANCE, "42", deadline=5, now=time.now, sleep=time.sleep)


def test_published_keys_become_lines_under_the_instances_alias(
    google: Any, compute: Compute, time: Any
) -> None:
    google.add(INSTANCE, id="42")
    keys = [("ssh-rsa", "BBBB\n"), ("ssh-ed25519", "AAAA")]
    google.resources[ATTRIBUTES] = published(*keys)
    assert fetch(compute, time) == "compute.42 ssh-ed25519 AAAA\ncompute.42 ssh-rsa BBBB\n"


def test_keys_that_come_late_are_waited_for(google: Any, compute: Compute, time: Any) -> None:
    google.add(INSTANCE, id="42")
    not_yet = {"error": {"code": 404, "message": "The resource 'hostkeys/' was not found"}}
    google.answers = [(200, {"id": "42"}), (404, not_yet), (200, {}), (404, not_yet)]
    google.resources[ATTRIBUTES] = published(("ssh-ed25519", "AAAA"))
    assert fetch(compute, time) == "compute.42 ssh-ed25519 AAAA\n"
    assert len(time.pauses) == 3


def test_an_instance_that_publishes_nothing_is_given_up_with_the_way_out(
    google: Any, compute: Compute, time: Any
) -> None:
    google.add(INSTANCE, id="42")
    with pytest.raises(DeadlineError, match="enable-guest-attributes=TRUE") as caught:
        fetch(compute, time)
    assert "host_keys" in str(caught.value)
    assert time.seconds == pytest.approx(5, abs=0.5)


def test_a_policy_against_guest_attributes_is_told_with_the_way_out(
    google: Any, compute: Compute, time: Any
) -> None:
    message = "Guest attributes endpoint access is disabled."
    google.answers = [(200, {"id": "42"}), (403, {"error": {"code": 403, "message": message}})]
    with pytest.raises(CloudError, match=r"access is disabled.*option host_keys"):
        fetch(compute, time)
    assert time.pauses == []


def test_keys_of_another_instance_of_that_name_are_refused(
    google: Any, compute: Compute, time: Any
) -> None:
    google.add(INSTANCE, id="43")
    google.resources[ATTRIBUTES] = published(("ssh-ed25519", "AAAA"))
    with pytest.raises(CloudError, match=r"another instance now \(id 43, not 42\)"):
        fetch(compute, time)


def test_what_other_programs_publish_is_no_host_key() -> None:
    items = [{"namespace": "lease", "key": "ssh-ed25519", "value": "EVIL"}]
    assert host_keys.known_hosts_lines("42", {"queryValue": {"items": items}}) == ""


def test_kept_keys_are_readable_by_the_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "host_keys"
    host_keys.keep(folder, "42", "compute.42 ssh-ed25519 AAAA\n")
    assert host_keys.cached(folder, "42") == "compute.42 ssh-ed25519 AAAA\n"
    assert [path.name for path in folder.iterdir()] == ["compute.42"]
    assert stat.S_IMODE((folder / "compute.42").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_command_that_ssh_runs_prints_kept_keys_without_asking_anybody(
    tmp_path: Path,
) -> None:
    host_keys.keep(tmp_path / "cloudspill" / "host_keys", "42", "compute.42 ssh-ed25519 AAAA\n")
    done = subprocess.run(
        ssh_options.known_hosts_command(TARGET).split(),
        env={"XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "compute.42 ssh-ed25519 AAAA\n"
    assert done.stderr == ""


def test_the_command_fails_with_a_sentence_when_the_target_is_gone(tmp_path: Path) -> None:
    target = ssh_options.Target(
        project="acme",
        zone="z",
        name="a",
        instance_id="42",
        address="198.51.100.7",
        environment_file=str(tmp_path / "none.json"),
    )
    done = subprocess.run(
        ssh_options.known_hosts_command(target).split(),
        env={"XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == f"cloudspill: there is no {tmp_path}/none.json\n"


def test_a_key_that_is_given_replaces_what_is_published() -> None:
    target = ssh_options.Target(
        project="acme",
        zone="z",
        name="a",
        instance_id="42",
        address="198.51.100.7",
        host_key="ssh-ed25519 AAAA",
    )
    assert '--host-key "ssh-ed25519 AAAA"' in ssh_options.known_hosts_command(target)


def test_ssh_itself_understands_the_options() -> None:
    done = subprocess.run(
        ["ssh", "-G", *ssh_options.options(TARGET), "198.51.100.7"],
        capture_output=True,
        text=True,
        check=True,
    )
    settings = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    assert settings["hostkeyalias"] == "compute.42"
    assert settings["stricthostkeychecking"] == "true"
    assert settings["userknownhostsfile"] == "/dev/null"
    assert settings["knownhostscommand"] == ssh_options.known_hosts_command(TARGET)
