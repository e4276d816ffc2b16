# SPDX-License-Identifier: GPL-3.0-or-later
"""Run molecule's scenarios on a sandbox of their own, two at a time, and tell how long each took.

python -m tests.molecule [SCENARIO…]

Run as root; a person's sandbox is stopped meanwhile and started again. What a playbook says is
shown where it failed. The exit status is molecule's: 0 when every scenario went well.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.system.sandbox import ROOT, Sandbox, host_to_ourselves

VARIABLES = {"CLOUDSPILL_SANDBOX": "molecule", "CLOUDSPILL_SANDBOX_PORT": "8468"}
SHARED = "default"
"""The scenario that creates and destroys for all; see extensions/molecule/README.md."""
STEP = re.compile(r"\[(\w+) > \w+\] \S*Execut(?:ing|ed)")


@contextmanager
def sandbox(home: Path) -> Iterator[Sandbox]:
    """A sandbox of the scenarios' own."""
    with host_to_ourselves():
        made = Sandbox(home, VARIABLES)
        try:
            made.destroy()
            made.up()
            yield made
        finally:
            made.destroy()


def test(scenarios: list[str], environment: dict[str, str]) -> tuple[int, dict[str, float]]:
    """Run scenarios, show what molecule says as it comes; its status, and each one's seconds."""
    chosen = [word for name in [SHARED, *scenarios] for word in ("--scenario-name", name)]
    command = ["molecule", "test", *(chosen if scenarios else ["--all"])]
    begun: dict[str, float] = {}
    ended: dict[str, float] = {}
    with subprocess.Popen(
        [*command, "--workers=2", "--continue-on-failure"],
        cwd=ROOT,
        env=environment | {"PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                sys.stdout.write(line)
                sys.stdout.flush()
                if step := STEP.search(line):
                    begun.setdefault(step[1], time.monotonic())
                    ended[step[1]] = time.monotonic()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
    return process.returncode, {name: ended[name] - begun[name] for name in begun}


def show(seconds: dict[str, float], total: float) -> None:
    """Print how long each scenario took; two run at a time, so the sum is more than the total."""
    table = Table("scenario", "seconds", title="molecule", title_justify="left")
    for name in sorted(seconds.keys() - {SHARED}):
        table.add_row(name, f"{seconds[name]:.0f}")
    table.add_row("[bold]all, two at a time", f"[bold]{total:.0f}")
    Console().print(table)


def main() -> int:
    """Run the scenarios that the command line names, or all."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    # ssh keeps its shared connections below the home, and the path of a socket must be short.
    with tempfile.TemporaryDirectory(prefix="home-", ignore_cleanup_errors=True) as home:
        began = time.monotonic()
        with sandbox(Path(home)) as made:
            status, seconds = test(sys.argv[1:], made.base)
        show(seconds, time.monotonic() - began)
    return status


if __name__ == "__main__":
    sys.exit(main())
