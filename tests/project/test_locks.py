# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock files pin everything by hash, name no index and no path, and cover what is imported."""

from __future__ import annotations

import json
import re
import sysconfig
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements"
LOCKS = sorted(REQUIREMENTS.glob("*.txt"))
PIN = r"[\w.-]+(?:\[[\w,-]+\])?==[\w.!+]+(?: ; .+)? \\"
HASH = r" {4}--hash=sha256:[0-9a-f]{64}(?: \\)?"
COMMENT = r" *#.*"
ADDRESS = re.compile(r"://|\s/\w|find-links|index-url")


def locked(lock: Path) -> dict[str, Version]:
    """Return package → version of a lock file."""
    pins = re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;]+)", lock.read_text(), re.MULTILINE)
    return {canonicalize_name(name): Version(version) for name, version in pins}


def wanted(path: Path) -> list[Requirement]:
    """Return the requirements of an .in file (its own, not those it includes)."""
    lines = (line.split(" #")[0].strip() for line in path.read_text().splitlines())
    return [Requirement(line) for line in lines if line and line[0] not in "#-"]


def unmet(requirements: list[Requirement], pins: dict[str, Version]) -> list[str]:
    """Return what the pins do not satisfy."""
    return [
        str(item)
        for item in requirements
        if (version := pins.get(canonicalize_name(item.name))) is None
        or not item.specifier.contains(version, prereleases=True)
    ]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_holds_pins_and_hashes_and_no_index_address_or_path(lock: Path) -> None:
    for line in lock.read_text().splitlines():
        assert re.fullmatch(f"{PIN}|{HASH}|{COMMENT}", line), line
        assert not ADDRESS.search(line), line


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_pin_has_a_hash(lock: Path) -> None:
    text = lock.read_text()
    pins = re.findall(f"^{PIN}$", text, re.MULTILINE)
    assert pins
    assert re.findall(f"^({PIN})\n{HASH}$", text, re.MULTILINE) == pins


def test_the_development_lock_contains_the_runtime_lock() -> None:
    runtime, development = (locked(REQUIREMENTS / name) for name in ("runtime.txt", "dev.txt"))
    assert runtime.items() <= development.items()


@pytest.mark.parametrize("name", ["runtime", "dev"])
def test_a_lock_is_up_to_date_with_its_source(name: str) -> None:
    pins = locked(REQUIREMENTS / f"{name}.txt")
    assert unmet(wanted(REQUIREMENTS / f"{name}.in"), pins) == []


@pytest.mark.parametrize("part", ["sandbox", "monitor"])
def test_the_runtime_lock_covers_what_a_package_declares(part: str) -> None:
    project = tomllib.loads((ROOT / part / "pyproject.toml").read_text())["project"]
    declared = [Requirement(line) for line in project["dependencies"]]
    assert unmet(declared, locked(REQUIREMENTS / "runtime.txt")) == []


def test_the_installed_collections_are_those_of_the_requirements() -> None:
    asked = yaml.safe_load((ROOT / "requirements.yml").read_text())["collections"]
    installed = Path(sysconfig.get_path("purelib")) / "ansible_collections"
    for collection in asked:
        manifest = installed / collection["name"].replace(".", "/") / "MANIFEST.json"
        assert json.loads(manifest.read_text())["collection_info"]["version"] == str(
            collection["version"]
        )
