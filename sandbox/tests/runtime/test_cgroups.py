# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that are paused for a copy."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from cloudspill_sandbox.runtime.cgroups import SandboxCgroup


@pytest.fixture
def freezer(tmp_path: Path) -> Path:
    """A container's switch in a cgroup v2 hierarchy whose kernel freezes at once."""
    (tmp_path / "cgroup.controllers").touch()
    group = tmp_path / "cloudspill" / "box" / "libpod-0123"
    group.mkdir(parents=True)
    (group / "cgroup.events").write_text("populated 1\nfrozen 1\n")
    switch = group / "cgroup.freeze"
    switch.write_text("0")
    return switch


def test_a_machine_goes_on_when_the_last_copy_is_done(tmp_path: Path, freezer: Path) -> None:
    group = SandboxCgroup("box", tmp_path)
    with ExitStack() as second:
        with group.paused("0123"):
            second.enter_context(group.paused("0123"))
            assert freezer.read_text() == "1"
        assert freezer.read_text() == "1"
    assert freezer.read_text() == "0"
    with group.paused("0123"):
        assert freezer.read_text() == "1"
    assert freezer.read_text() == "0"


def test_a_pause_ends_when_the_copy_fails(tmp_path: Path, freezer: Path) -> None:
    with pytest.raises(OSError, match="full"), SandboxCgroup("box", tmp_path).paused("0123"):
        raise OSError("the disk is full")
    assert freezer.read_text() == "0"
