# SPDX-License-Identifier: GPL-3.0-or-later
"""Start the sandbox, run part 1 on it, and show what came of it.

The first step, set-up, has been done by whoever runs this (`make demo`).
"""

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
BIN = ROOT / ".venv" / "bin"
PORT = 5000


class StepError(RuntimeError):
    """A step failed; it has said why on the terminal."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was done, and the seconds that it took."""

    name: str
    seconds: float


def run(name: str, command: list[str | Path]) -> Step:
    """Run a command whose output goes to the terminal as it comes.

    Raises:
        StepError: it ended with another status than 0.
    """
    Console(stderr=True).rule(f"[bold]{name}", align="left")
    began = time.monotonic()
    path = f"{BIN}:{os.environ['PATH']}"
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PATH": path}, check=False)
    if done.returncode:
        raise StepError(f"{name} failed (exit status {done.returncode}): see above")
    return Step(name, time.monotonic() - began)


def page_address() -> str:
    """Return the URL of the app on the instance that part 1 made, as the inventory knows it.

    Raises:
        StepError: the inventory holds no instance with an address.
    """
    listing = subprocess.run(
        [BIN / "ansible-inventory", "--list"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    hosts = json.loads(listing.stdout)["_meta"]["hostvars"].values()
    addresses = [host["ansible_host"] for host in hosts if "ansible_host" in host]
    if not addresses:
        raise StepError("the inventory lists no instance with an address")
    return f"http://{addresses[0]}:{PORT}/"


def http_status(url: str) -> int:
    """Return the status of a GET; 0 when nothing answered."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def show(url: str, status: int, steps: list[Step]) -> None:
    """Print the table."""
    table = Table(show_header=False, title="cloudspill demo", title_justify="left")
    table.add_row("URL", url)
    table.add_row("HTTP status", f"[{'green' if status == 200 else 'red'}]{status}")
    for step in steps:
        table.add_row(step.name, f"{step.seconds:.1f} s")
    table.add_row("[bold]total", f"[bold]{sum(step.seconds for step in steps):.1f} s")
    Console().print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--started", type=float, default=time.time(), help="when set-up began")
    steps = [Step("set-up", time.time() - parser.parse_args().started)]
    try:
        steps.append(run("sandbox", ["make", "--no-print-directory", "up"]))
        steps.append(run("part 1", [BIN / "ansible-playbook", "playbooks/part1.yml"]))
        url = page_address()
    except StepError as error:
        Console(stderr=True).print(f"[red]{error}")
        return 1
    status = http_status(url)
    show(url, status, steps)
    return 0 if status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
