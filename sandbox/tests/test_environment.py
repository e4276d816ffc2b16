# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables that `cloudspill-sandbox env` prints, evaluated by a real shell."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cloudspill_sandbox.control import environment
from cloudspill_sandbox.settings import Settings


@pytest.fixture
def variables() -> dict[str, str]:
    """What a shell is given."""
    settings = Settings(name="test", port=9999)
    play = environment.play_environment(settings, no_proxy="intranet.example", project="acme-one")
    return environment.shell_environment(settings, play)


def shell(script: str, inherited: dict[str, str]) -> dict[str, str]:
    """Run a script in sh and return its environment afterwards."""
    done = subprocess.run(
        ["sh", "-c", script + "\nenv -0"],
        env=inherited | {"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    pairs = (item.partition("=") for item in done.stdout.split("\0") if item)
    return {name: value for name, _, value in pairs}


def test_exports_then_unset_give_the_shell_back_what_it_had(variables: dict[str, str]) -> None:
    before = {"REQUESTS_CA_BUNDLE": "/etc/it's mine.pem", "HTTPS_PROXY": "http://upstream:3128"}
    inside = shell(environment.exports(variables, before), before)
    assert variables.items() <= inside.items()
    after = shell(environment.unsets(inside), inside)
    assert {name: after.get(name) for name in variables} == {
        name: before.get(name) for name in variables
    }
    assert environment.SAVED not in after


def test_evaluating_twice_still_remembers_the_first_values(variables: dict[str, str]) -> None:
    before = {"REQUESTS_CA_BUNDLE": "/mine.pem"}
    once = shell(environment.exports(variables, before), before)
    twice = shell(environment.exports(variables, once), once)
    after = shell(environment.unsets(twice), twice)
    assert after["REQUESTS_CA_BUNDLE"] == "/mine.pem"


def test_unset_in_a_shell_that_never_evaluated_env_changes_nothing() -> None:
    after = shell(environment.unsets({}), {"HTTPS_PROXY": "http://mine"})
    assert after["HTTPS_PROXY"] == "http://mine"


def test_an_existing_no_proxy_is_kept(variables: dict[str, str]) -> None:
    assert variables["NO_PROXY"].endswith(",intranet.example")


def test_google_cloud_tasks_with_access_tokens_are_not_broken(variables: dict[str, str]) -> None:
    assert "GCP_SERVICE_ACCOUNT_FILE" not in variables


def test_the_file_for_plays_is_whole_and_readable(tmp_path: Path) -> None:
    settings = Settings(name="test", run_root=tmp_path)
    settings.run_dir.mkdir()
    play = environment.play_environment(settings, None, settings.project)
    environment.write(settings.environment_file, play)
    assert environment.read(settings.environment_file) == play
    assert settings.environment_file.stat().st_mode & 0o777 == 0o644
