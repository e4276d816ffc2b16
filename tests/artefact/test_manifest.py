# SPDX-License-Identifier: GPL-3.0-or-later
"""What ships: all of the collection's content, and nothing else that lies in the repository."""

from __future__ import annotations

import re
import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

CONTENT = re.compile(
    r"(MANIFEST\.json|FILES\.json|(README|CONTRIBUTING)\.md|LICENSE|CHANGELOG\.rst|bindep\.txt|requirements\.txt"
    r"|tests/config\.yml|changelogs/(changelog|config)\.yaml|meta/[a-z-]+\.yml|docs/[a-z-]+\.md"
    r"|inventory/(gcp|sandbox)/(cloud\.gce|group_vars/all)\.yml|playbooks/[a-z0-9_]+\.yml"
    r"|plugins/[a-z_]+/[a-z_]+\.py|roles/[a-z_]+/.+)"
)
DEBRIS = re.compile(r"\.(pyc|pyo|retry|orig|swp)$|/\.git|__pycache__|/molecule/")


@pytest.fixture(scope="module")
def shipped(artefact: Path) -> set[str]:
    """Paths of the artefact's files."""
    with tarfile.open(artefact) as archive:
        return {member.name for member in archive if not member.isdir()}


def test_nothing_but_collection_content_ships(shipped: set[str]) -> None:
    assert {name for name in shipped if not CONTENT.fullmatch(name)} == set()
    assert {name for name in shipped if DEBRIS.search(name)} == set()


def test_every_tracked_file_of_the_content_ships(shipped: set[str]) -> None:
    folders = ("playbooks", "plugins", "roles", "inventory", "meta", "docs/*.md")
    alone = (
        "README.md",
        "CONTRIBUTING.md",
        "LICENSE",
        "CHANGELOG.rst",
        "bindep.txt",
        "requirements.txt",
    )
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *folders, *alone],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    # What git is told is of no use to who installs a collection.
    tracked = {name for name in listed.stdout.split("\0") if name and "/.git" not in name}
    assert tracked
    assert {name for name in tracked if (ROOT / name).is_file()} - shipped == set()


def test_no_file_of_it_names_a_file_that_stays_behind(artefact: Path) -> None:
    """A play that reads the checkout would work here and nowhere else."""
    outside = re.compile(r"(?:playbook_dir|role_path)[^\n]*(?:\.\./){2,}")
    with tarfile.open(artefact) as archive:
        names = [
            member.name
            for member in archive
            if member.name.startswith(("playbooks/", "roles/"))
            and member.isfile()
            and (file := archive.extractfile(member))
            and outside.search(file.read().decode())
        ]
    assert names == []
