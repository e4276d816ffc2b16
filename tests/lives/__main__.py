# SPDX-License-Identifier: GPL-3.0-or-later
"""Kill a sandbox many times under load, and count what it lost.

python -m tests.lives [--kills 200] [--machines] [--seed N] [--json FILE]

In memory without more (no root); with --machines on real ones, as root, while no other sandbox
runs. Exit status 1 when anything was lost.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import socket
import statistics
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from cloudspill_sandbox.settings import Settings
from tests.lives.course import Course, Result
from tests.lives.process import SandboxProcess, settings_below

NAME = "lives"


def main() -> int:
    """Run a course and print its figures."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--kills", type=int, default=200)
    options.add_argument("--machines", action="store_true", help="on real machines")
    options.add_argument("--seed", type=int, default=random.randrange(10**6))
    options.add_argument("--json", type=Path, help="write the figures to this file")
    chosen = options.parse_args()
    console = Console()
    console.print(f"{chosen.kills} kills with seed {chosen.seed}", highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        if chosen.machines:
            settings = Settings(name=NAME, port=free_port())
        else:
            settings = settings_below(Path(folder), NAME, free_port())
        process = SandboxProcess(settings)
        try:
            result = run(process, chosen.kills, chosen.seed, console)
        finally:
            process.kill()
            if chosen.machines:
                shutil.rmtree(settings.state_dir, ignore_errors=True)
    figures = summary(result, chosen.seed)
    for name, value in figures.items():
        console.print(f"{name:>24}  {value}", highlight=False, soft_wrap=True)
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(figures, indent=2))
    return 1 if result.wrong else 0


def run(process: SandboxProcess, kills: int, seed: int, console: Console) -> Result:
    """Run a course with a bar that shows how far it is."""
    real = not process.settings.in_memory
    course = Course(process, seed=seed, clients=3 if real else 6, longest=3.0 if real else 0.8)
    with Progress(console=console) as bars:
        bar = bars.add_task("kills", total=kills)
        return course.run(kills, lambda so_far: bars.update(bar, completed=so_far.kills.total()))


def summary(result: Result, seed: int) -> dict[str, object]:
    """Return the figures of a course."""
    return {
        "seed": seed,
        "kills": result.kills.total(),
        "killed during": dict(result.kills),
        "acknowledged": result.acknowledged.total(),
        "by method": dict(result.acknowledged.most_common()),
        "refused": dict(result.refused.most_common()),
        "machines that went on": result.adopted,
        "seconds to come up": round(statistics.median(result.up_seconds), 2),
        "lost or half done": len(result.wrong),
        "which": result.wrong,
    }


def free_port() -> int:
    """Return a port of the loopback that nobody has.

    It stays free between two lives: connections take theirs from 32768 on (ip_local_port_range).
    """
    for port in random.SystemRandom().sample(range(20000, 32768), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise RuntimeError("a hundred ports of the loopback are all taken")


if __name__ == "__main__":
    sys.exit(main())
