# SPDX-License-Identifier: GPL-3.0-or-later
"""The changelog is antsibull-changelog's: fragments it can read, and a page that is its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """What antsibull-changelog reads, copied."""
    shutil.copy(ROOT / "galaxy.yml", tmp_path)
    shutil.copytree(ROOT / "changelogs", tmp_path / "changelogs")
    return tmp_path


def antsibull_changelog(command: str, collection: Path) -> None:
    program = Path(sys.executable).with_name("antsibull-changelog")
    done = subprocess.run(
        [program, command], cwd=collection, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_fragments_are_well_formed(collection: Path) -> None:
    antsibull_changelog("lint", collection)


def test_the_page_is_made_of_the_changelog(collection: Path) -> None:
    antsibull_changelog("generate", collection)
    assert (collection / "CHANGELOG.rst").read_text() == (ROOT / "CHANGELOG.rst").read_text()


def test_the_version_that_ships_is_released_in_it(collection: Path) -> None:
    version = yaml.safe_load((collection / "galaxy.yml").read_text())["version"]
    releases = yaml.safe_load((collection / "changelogs" / "changelog.yaml").read_text())[
        "releases"
    ]
    assert releases[version]["changes"]["release_summary"].strip()
