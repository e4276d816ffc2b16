# SPDX-License-Identifier: GPL-3.0-or-later
"""The definition of an execution environment, as far as ansible-builder goes without a registry."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEFINITION = "execution-environment.yml"


def builder(*arguments: str, cwd: Path) -> str:
    """Run ansible-builder, and return what it says.

    Raises:
        AssertionError: it fails.
    """
    program = Path(sys.executable).with_name("ansible-builder")
    done = subprocess.run(
        [program, *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def context(artefact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build context that ansible-builder makes, having held the definition to its schema."""
    folder = tmp_path_factory.mktemp("environment")
    (folder / "dist").mkdir()
    (folder / "dist" / artefact.name).symlink_to(artefact)
    (folder / DEFINITION).write_text((ROOT / DEFINITION).read_text())
    builder("create", "--file", DEFINITION, "--context", "context", cwd=folder)
    return folder / "context"


def locked(name: str) -> str:
    """The version of a package that the lock file holds."""
    found = re.search(rf"^{name}==(\S+)", (ROOT / "requirements" / "runtime.txt").read_text(), re.M)
    assert found, name
    return found[1]


def test_the_artefact_is_where_its_build_looks_for_it(context: Path) -> None:
    wanted: dict[str, Any] = yaml.safe_load((context / "_build/requirements.yml").read_text())
    (ours,) = (entry for entry in wanted["collections"] if entry.get("type") == "file")
    # The build copies _build to the folder that it works in.
    assert (context / "_build" / ours["name"]).is_file()


def test_it_holds_the_versions_that_are_tested(context: Path) -> None:
    recipe = (context / "Containerfile").read_text()
    for name in ("ansible-core", "ansible-runner"):
        assert f"{name}=={locked(name)}" in recipe
    wanted: dict[str, Any] = yaml.safe_load((context / "_build/requirements.yml").read_text())
    tested: dict[str, Any] = yaml.safe_load((ROOT / "requirements.yml").read_text())
    others = [entry for entry in wanted["collections"] if entry.get("type") != "file"]
    assert others == tested["collections"]


def test_the_collection_tells_which_packages_and_programs_it_needs(collections: Path) -> None:
    needs: dict[str, list[str]] = yaml.safe_load(
        builder("introspect", str(collections), cwd=collections)
    )
    ours = [
        need.split(" #")[0].strip()
        for kind in ("python", "system")
        for need in needs[kind]
        if need.endswith("cloudspill.gcp")
    ]
    python = [
        line for line in (ROOT / "requirements.txt").read_text().splitlines() if line[0] != "#"
    ]
    assert ours == [
        *python,
        "openssh-client [platform:dpkg]",
        "openssh-clients [platform:rpm]",
    ]
    fragment = (ROOT / "plugins" / "doc_fragments" / "gcp.py").read_text()
    for need in python:
        assert f"  - {need.replace('>=', ' >= ')}\n" in fragment, "modules document the same"
