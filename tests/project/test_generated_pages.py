# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages that scripts write say what the sandbox implements and what modules say of themselves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = (ROOT / "docs" / "modules.md").read_text()


@pytest.mark.parametrize("script", ["fidelity.py", "modules.py"])
def test_the_page_is_up_to_date(script: str) -> None:
    done = subprocess.run(
        [sys.executable, f"scripts/{script}", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_every_module_and_plugin_stands_there() -> None:
    kinds = ("modules", "inventory", "lookup", "filter")
    names = [path.stem for kind in kinds for path in ROOT.glob(f"plugins/{kind}/[!_]*.py")]
    assert [name for name in names if f"\n### {name}\n" not in MODULES] == []
