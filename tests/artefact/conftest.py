# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as it ships: built once, and installed beside what it depends on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

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


@pytest.fixture(scope="session")
def ansible(collections: Path) -> dict[str, str]:
    """An environment in which Ansible finds the artefact, and no checkout."""
    return {name: text for name, text in os.environ.items() if "ANSIBLE" not in name} | {
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_COLLECTIONS_SCAN_SYS_PATH": "false",
        "ANSIBLE_FORCE_COLOR": "0",
    }


@pytest.fixture(scope="session")
def documented(ansible: dict[str, str], collections: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """What ansible-doc reads of the collection: kind of plugin → name → parts of its text."""
    program = Path(sys.executable).with_name("ansible-doc")
    command = [str(program), "--metadata-dump", "cloudspill.gcp"]
    done = subprocess.run(
        command, cwd=collections, env=ansible, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    kinds: dict[str, dict[str, dict[str, Any]]] = json.loads(done.stdout)["all"]
    return {
        kind: {name.removeprefix("cloudspill.gcp."): told for name, told in plugins.items()}
        for kind, plugins in kinds.items()
        if kind != "keyword"
    }
