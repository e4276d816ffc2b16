# SPDX-License-Identifier: GPL-3.0-or-later
"""Trees that a guest made to be in the way."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudspill_sandbox.runtime.trees import directories_below, remove_tree

DEEPER_THAN_PYTHON_RECURSES = sys.getrecursionlimit() + 500
LONGER_THAN_A_PATH = 3000


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    top = tmp_path / "tree"
    top.mkdir()
    yield top
    remove_tree(top)


def dig(top: Path, depth: int) -> None:
    """Make a directory `depth` levels below `top`, with a file in it."""
    here = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=here))
    os.close(here)


@pytest.mark.parametrize("depth", [DEEPER_THAN_PYTHON_RECURSES, LONGER_THAN_A_PATH])
def test_a_tree_of_any_depth_is_removed(tree: Path, depth: int) -> None:
    dig(tree, depth)
    remove_tree(tree)
    assert not tree.exists()


def test_what_a_link_points_at_stays(tree: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    (tree / "link").symlink_to(precious)
    remove_tree(tree)
    assert not tree.exists()
    assert (precious / "file").read_text() == "kept"


def test_removing_what_is_gone_is_no_error(tmp_path: Path) -> None:
    remove_tree(tmp_path / "gone")
    assert list(tmp_path.iterdir()) == []


def test_a_name_is_never_taken_for_an_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    odd = Path("--help")
    odd.mkdir()
    remove_tree(odd)
    assert not odd.exists()


def test_what_cannot_be_removed_is_named() -> None:
    with pytest.raises(OSError, match=r"/proc/self/task could not be removed: .*"):
        remove_tree(Path("/proc/self/task"))


def test_a_deep_tree_is_walked_from_the_top(tree: Path) -> None:
    dig(tree, DEEPER_THAN_PYTHON_RECURSES)
    found = list(directories_below(tree))
    assert len(found) == DEEPER_THAN_PYTHON_RECURSES + 1
    assert found[0] == tree
    assert found[-1].parent == found[-2]


def test_a_walk_passes_over_what_no_path_can_say_and_follows_no_link(tree: Path) -> None:
    dig(tree, LONGER_THAN_A_PATH)
    (tree / "loop").symlink_to(tree)
    found = list(directories_below(tree))
    assert 1 < len(found) < LONGER_THAN_A_PATH
    assert tree / "loop" not in found
