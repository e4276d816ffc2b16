# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings and the environment that carries them from the command to the daemon."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudspill_sandbox.settings import ENVIRONMENT, Settings


def test_settings_survive_the_way_through_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(
        name="other", port=1234, state_root=Path("/s"), run_root=Path("/r"), in_memory=True
    )
    for name, value in settings.to_environment().items():
        monkeypatch.setenv(name, value)
    assert Settings.from_environment() == settings


@pytest.mark.parametrize("name", ["", "Capital", "with-dash", "much-too-long-name", "../x"])
def test_a_name_that_host_resources_cannot_carry_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="CLOUDSPILL_SANDBOX"):
        Settings(name=name)


def test_a_port_that_is_no_number_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT["port"][0], "http")
    with pytest.raises(ValueError, match="CLOUDSPILL_SANDBOX_PORT='http'"):
        Settings.from_environment()
