# SPDX-License-Identifier: GPL-3.0-or-later
"""`check`: what would keep moves from working is said before the first one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cloudspill_monitor.checking import check

TASK = "tasks: [{name: t, command: python3 count.py t.count, checkpoint_paths: [t.count]%s}]\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "count.py").touch()
    (tmp_path / "t.count").touch()
    (tmp_path / "inventory").mkdir()
    return tmp_path / "monitor.yml"


def found(path: Path, base: Path | None = None) -> list[str]:
    return [f"{finding.level} {finding.text}" for finding in check(path, base)]


def about(findings: list[str], word: str) -> list[str]:
    return [finding for finding in findings if word in finding]


def test_a_program_that_does_not_go_along_is_noticed(config: Path) -> None:
    config.write_text(TASK % "")
    assert about(found(config), "count.py") == [
        "warning task 't': count.py is in its cwd but not among its files, so it will not be there "
        "when the task runs on a VM"
    ]
    config.write_text(TASK % ", files: [count.py]")
    assert about(found(config), "count.py") == []
    config.write_text(TASK % ", movable: false")
    assert about(found(config), "count.py") == []


def test_a_file_that_is_to_go_along_and_is_not_there_is_an_error(config: Path) -> None:
    config.write_text(TASK % ", files: [count.py, cuont.py]")
    assert about(found(config), "cuont.py") == [
        f"error task 't': there is no cuont.py in {config.parent}, which its files name"
    ]
    config.write_text(TASK % ", files: [cuont.py], movable: false")
    assert about(found(config), "cuont.py") == []


def test_without_an_inventory_it_says_that_nothing_moves(config: Path) -> None:
    config.write_text(TASK % "")
    assert about(found(config), "burst.inventory") == [
        "warning burst.inventory names no inventory: moves are only announced"
    ]


def test_an_inventory_that_is_not_there_is_an_error(config: Path) -> None:
    config.write_text("burst: {inventory: nowhere}\n" + TASK % "")
    assert about(found(config), "burst.inventory") == [
        f"error burst.inventory: there is no {config.parent / 'nowhere'}"
    ]


def test_the_collection_is_looked_for(
    config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, script in (("ansible-playbook", ""), ("ansible-galaxy", "echo $2 $3 $GALAXY")):
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(programs / "python3"))
    config.write_text("burst: {inventory: inventory}\n" + TASK % "")
    monkeypatch.setenv("GALAXY", "cloudspill.gcp 1.0.0")
    assert about(found(config), "ansible-") == [f"ok moves are made by {programs}/ansible-playbook"]
    (programs / "ansible-galaxy").write_text("#!/bin/sh\nexit 1\n")
    (missing,) = about(found(config), "ansible-galaxy")
    assert missing.startswith(f"error {programs}/ansible-galaxy finds no collection cloudspill.gcp")


def test_a_machine_without_ansible_is_an_error(
    config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3"))
    monkeypatch.setenv("PATH", str(tmp_path))
    config.write_text("burst: {inventory: inventory}\n" + TASK % "")
    assert about(found(config), "install ansible-core")[0].startswith("error ")


def test_relative_paths_may_start_elsewhere(config: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "candidate"
    elsewhere.parent.mkdir()
    elsewhere.write_text("burst: {inventory: inventory}\n" + TASK % "")
    assert about(found(elsewhere), "burst.inventory: there is no")
    assert not about(found(elsewhere, tmp_path), "burst.inventory: there is no")
