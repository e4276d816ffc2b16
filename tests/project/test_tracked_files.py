# SPDX-License-Identifier: GPL-3.0-or-later
"""What every tracked file keeps to: no machine's paths, no registry's address, size, names."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAX_LINES = 400
SAYS_NOTHING = re.compile(r"(utils?|helpers?|common|misc|manager)", re.IGNORECASE)
SPDX = "# SPDX-License-Identifier: GPL-3.0-or-later"

# Where one machine keeps the project or its packages; in pieces, so that this file passes.
MACHINE_PATHS = re.compile(
    r"(?<![\w.])/work/[\w.]"
    r"|/tmp/(?:w|claude)\b|/opt/(?:pypi|wheels)|/root/\.(?:pyenv|venv|cache)"
)
REGISTRIES = re.compile(
    r"\b(?:(?:[\w-]+\.)?pypi\.org|files\.pythonhosted\.org|galaxy\.ansible\.com|registry\.npmjs"
    r"|(?:deb|security)\.debian\.org|(?:archive|security|ports)\.ubuntu\.com"
    r"|docker\.io|quay\.io|ghcr\.io)"
)


def tracked(*patterns: str) -> list[Path]:
    """Return the tracked files (and those not ignored) that match git's patterns."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = (ROOT / name for name in listing.stdout.split("\0") if name)
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def found(pattern: re.Pattern[str]) -> list[str]:
    """Return `file:line: match` of every match in tracked text files."""
    hits = []
    for path in tracked():
        for number, line in enumerate(path.read_bytes().decode(errors="replace").splitlines(), 1):
            hits += [
                f"{path.relative_to(ROOT)}:{number}: {match}" for match in pattern.findall(line)
            ]
    return hits


def test_no_file_names_a_path_of_one_machine() -> None:
    assert found(MACHINE_PATHS) == []


def test_no_file_names_the_place_of_this_checkout() -> None:
    assert found(re.compile(re.escape(f"{ROOT}/"))) == []


def test_no_file_names_a_package_registry() -> None:
    assert found(REGISTRIES) == []


def test_a_file_is_read_in_one_sitting() -> None:
    sources = tracked("*.py", "*.yml", "*.yaml", "*.sh", "*.md")
    long = {
        str(path.relative_to(ROOT)): lines
        for path in sources
        if (lines := len(path.read_text().splitlines())) > MAX_LINES
    }
    assert long == {}


def test_a_module_name_says_what_is_in_it() -> None:
    assert [path for path in tracked("*.py") if SAYS_NOTHING.fullmatch(path.stem)] == []


def test_a_python_file_begins_with_its_licence() -> None:
    def first_line(path: Path) -> str:
        lines = path.read_text().splitlines()
        return next((line for line in lines if not line.startswith("#!")), "")

    assert [path for path in tracked("*.py") if first_line(path) != SPDX] == []


def test_a_python_file_says_what_it_is_for() -> None:
    silent = [
        path for path in tracked("*.py") if not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []
