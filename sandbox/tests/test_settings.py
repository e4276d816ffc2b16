# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings and the environment that carries them from the command to the daemon."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudspill_sandbox.settings import ENVIRONMENT, LatencyProfile, Settings


def test_settings_survive_the_way_through_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(
        name="other",
        port=1234,
        state_root=Path("/s"),
        run_root=Path("/r"),
        in_memory=True,
        latency=LatencyProfile.GCE,
        seed=-7,
    )
    for name, value in settings.to_environment().items():
        monkeypatch.setenv(name, value)
    assert Settings.from_environment() == settings


@pytest.mark.parametrize(
    "name", ["", "Capital", "with-dash", "much-too-long-name", "../x", "ca", "images"]
)
def test_a_name_that_host_resources_cannot_carry_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="CLOUDSPILL_SANDBOX"):
        Settings(name=name)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_that_does_not_exist_is_refused(port: int) -> None:
    with pytest.raises(ValueError, match="CLOUDSPILL_SANDBOX_PORT"):
        Settings(port=port)


def test_a_relative_root_means_the_same_to_the_command_and_to_the_daemon(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CLOUDSPILL_STATE_ROOT", "state")
    monkeypatch.chdir(tmp_path)
    assert Settings.from_environment().state_root == tmp_path / "state"


def test_only_a_sandbox_under_the_common_root_touches_the_host(tmp_path: Path) -> None:
    assert Settings().owns_host
    assert not Settings(in_memory=True).owns_host
    assert not Settings(run_root=tmp_path).owns_host


def test_a_latency_profile_that_does_not_exist_names_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CLOUDSPILL_SANDBOX_LATENCY", "aws")
    with pytest.raises(ValueError, match="CLOUDSPILL_SANDBOX_LATENCY='aws'"):
        Settings.from_environment()


def test_a_port_that_is_no_number_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT["port"][0], "http")
    with pytest.raises(ValueError, match="CLOUDSPILL_SANDBOX_PORT='http'"):
        Settings.from_environment()
