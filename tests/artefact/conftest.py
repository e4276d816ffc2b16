# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as it ships: built once, and installed beside what it depends on."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.artefact import build, install


@pytest.fixture(scope="session")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built artefact."""
    return build(tmp_path_factory.mktemp("artefact"))


@pytest.fixture(scope="session")
def collections(artefact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for ANSIBLE_COLLECTIONS_PATH that holds the artefact and its dependencies."""
    folder = tmp_path_factory.mktemp("collections")
    install(artefact, folder)
    return folder
