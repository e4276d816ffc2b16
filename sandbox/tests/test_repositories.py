# SPDX-License-Identifier: GPL-3.0-or-later
"""Publishing a folder as a git repository."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from cloudspill_sandbox.repositories import PublishError, publish


def clone(repository: Path, target: Path) -> Path:
    """Clone with plain git and return the work tree."""
    subprocess.run(["git", "clone", "--quiet", str(repository), str(target)], check=True)
    return target


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one file and an interpreter's left-over."""
    source = tmp_path / "source"
    (source / "pkg" / "__pycache__").mkdir(parents=True)
    (source / "pkg" / "app.py").write_text("print('hello')\n")
    (source / "pkg" / "__pycache__" / "app.pyc").write_bytes(b"\0")
    return source


def test_a_published_folder_can_be_cloned_without_build_products(
    tmp_path: Path, folder: Path
) -> None:
    assert publish(tmp_path / "git", "app", folder)
    work_tree = clone(tmp_path / "git" / "app.git", tmp_path / "clone")
    files = {str(path.relative_to(work_tree)) for path in work_tree.rglob("*") if path.is_file()}
    assert {name for name in files if not name.startswith(".git/")} == {"pkg/app.py"}


def test_publishing_again_makes_no_commit_and_a_change_makes_one(
    tmp_path: Path, folder: Path
) -> None:
    publish(tmp_path / "git", "app", folder)
    assert not publish(tmp_path / "git", "app", folder)
    (folder / "pkg" / "app.py").write_text("print('changed')\n")
    assert publish(tmp_path / "git", "app", folder)
    work_tree = clone(tmp_path / "git" / "app.git", tmp_path / "clone")
    log = subprocess.run(
        ["git", "log", "--oneline"], cwd=work_tree, capture_output=True, text=True, check=True
    )
    assert len(log.stdout.splitlines()) == 2
    assert (work_tree / "pkg" / "app.py").read_text() == "print('changed')\n"


def test_the_same_folder_gives_the_same_commit_elsewhere(tmp_path: Path, folder: Path) -> None:
    publish(tmp_path / "one", "app", folder)
    publish(tmp_path / "two", "app", folder)
    heads = [(tmp_path / side / "app.git/refs/heads/main").read_text() for side in ("one", "two")]
    assert heads[0] == heads[1]


@pytest.mark.parametrize("lost", ["HEAD", "info/refs", "refs/heads"])
def test_publishing_again_mends_what_a_killed_publication_left(
    tmp_path: Path, folder: Path, lost: str
) -> None:
    publish(tmp_path / "git", "app", folder)
    repository = tmp_path / "git" / "app.git"
    whole = (repository / "info/refs").read_text()
    victim = repository / lost
    shutil.rmtree(victim) if victim.is_dir() else victim.unlink()
    publish(tmp_path / "git", "app", folder)
    assert (repository / "info/refs").read_text() == whole
    assert (clone(repository, tmp_path / "clone") / "pkg" / "app.py").exists()


@pytest.mark.parametrize("name", ["../escape", "", "Up", "-option", "a/b"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, folder: Path, name: str) -> None:
    with pytest.raises(PublishError, match="must match"):
        publish(tmp_path / "git", name, folder)
    assert not (tmp_path / "git").exists()


def test_an_absent_or_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "absent", tmp_path / "empty"):
        with pytest.raises(PublishError, match="not a folder with content"):
            publish(tmp_path / "git", "app", folder)
