# SPDX-License-Identifier: GPL-3.0-or-later
"""The page that says what the sandbox implements is what it implements."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_table_of_methods_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/fidelity.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
