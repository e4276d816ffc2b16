# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference of modules and plugins is what they say of themselves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "modules.md").read_text()


def test_the_reference_of_modules_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/modules.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_every_module_and_plugin_stands_there() -> None:
    kinds = ("modules", "inventory", "lookup", "filter")
    names = [path.stem for kind in kinds for path in ROOT.glob(f"plugins/{kind}/[!_]*.py")]
    assert [name for name in names if f"\n### {name}\n" not in PAGE] == []
