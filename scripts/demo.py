# SPDX-License-Identifier: GPL-3.0-or-later
"""Start the sandbox, run parts 1, 2 and 3 and a burst on it, and show what came of them.

The first step, set-up, has been done by whoever runs this (`make demo`).
"""

import argparse
import os
import re
import signal
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
PARTS = {
    "part 1, a machine that serves an application": "part1.yml",
    "part 2, three clones of it": "part2.yml",
    "part 3, a machine that makes a machine": "part3.yml",
}
INTERRUPTED = 128 + signal.SIGINT


class StepError(RuntimeError):
    """A step failed; it has said why on the terminal."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was done, and the seconds that it took."""

    name: str
    seconds: float


def run(name: str, command: list[str | Path]) -> tuple[Step, str]:
    """Run a command; show its output as it comes, and return it too.

    Raises:
        StepError: it ended with another status than 0.
        KeyboardInterrupt: Ctrl-C, which the terminal gives to the command too; it has ended.
    """
    Console().rule(f"[bold]{name}", align="left")
    began = time.monotonic()
    environment = os.environ | {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "PWD": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }
    errors: int | None = subprocess.STDOUT
    if sys.stdout.isatty():
        environment["ANSIBLE_FORCE_COLOR"] = "1"
        errors = None  # where progress is drawn
    lines: list[str] = []
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
    ) as process:
        try:
            relay(process, lines)
        except KeyboardInterrupt:
            relay(process, lines)
            process.wait()
            raise
    if process.returncode:
        raise StepError(f"{name} failed (exit status {process.returncode}): see above")
    return Step(name, time.monotonic() - began), "".join(lines)


def relay(process: subprocess.Popen[str], lines: list[str]) -> None:
    """Show what the process writes until it has ended, and add it to `lines`."""
    assert process.stdout is not None
    for line in process.stdout:
        sys.stdout.write(line)
        sys.stdout.flush()
        lines.append(line)


def page_addresses(output: str) -> list[str]:
    """Return the URLs that a part says, in order, each once."""
    return list(dict.fromkeys(re.findall(r"msg: \"?(https?://[^\s\"\x1b]+)", output)))


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


def show(statuses: dict[str, int], steps: list[Step]) -> None:
    """Print the table."""
    table = Table(show_header=False, title="cloudspill demo", title_justify="left")
    for url, status in statuses.items():
        table.add_row(url, f"[{'green' if status == 200 else 'red'}]{status or 'no answer'}")
    for step in steps:
        table.add_row(step.name, f"{step.seconds:.1f} s")
    table.add_row("[bold]total", f"[bold]{sum(step.seconds for step in steps):.1f} s")
    Console().print(table)


def demonstrate(started: float) -> int:
    """Take every step and show the result; return the exit status.

    Raises:
        StepError: a step failed, or said no page.
        KeyboardInterrupt: Ctrl-C.
    """
    steps = [Step("set-up", time.time() - started)]
    sandbox, _ = run("sandbox", ["make", "--no-print-directory", "up"])
    steps.append(sandbox)
    statuses: dict[str, int] = {}
    for name, playbook in PARTS.items():
        step, output = run(name, [BIN / "ansible-playbook", f"playbooks/{playbook}"])
        steps.append(step)
        pages = page_addresses(output)
        if not pages:
            raise StepError(f"{name} has not said where its pages are")
        statuses |= {url: http_status(url) for url in pages}
    burst, _ = run("a burst, there and home", [sys.executable, ROOT / "scripts/demo_burst.py"])
    steps.append(burst)
    show(statuses, steps)
    return 0 if set(statuses.values()) == {200} else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--started", type=float, default=time.time(), help="when set-up began")
    started = parser.parse_args().started
    # All is said on stdout: through a pipe, two streams would lose their order.
    try:
        return demonstrate(started)
    except StepError as error:
        Console().print(f"[red]{error}")
        return 1
    except KeyboardInterrupt:
        Console(soft_wrap=True).print(
            "Interrupted; the sandbox may be up: `make demo` goes on, `make down` stops it"
        )
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
