# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a VM, as root: how long a start and a stop take there. Prints seconds as JSON."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

ROUNDS = 7


def call(request: dict[str, object]) -> float:
    """Ask the keeper; return the seconds that the whole command took."""
    began = time.monotonic()
    done = subprocess.run(
        ["/usr/local/bin/cloudspill-burst", "call"],
        input=json.dumps(request).encode() + b"\n",
        stdout=subprocess.PIPE,
        check=False,
    )
    took = time.monotonic() - began
    if done.returncode:
        sys.exit(done.stdout.decode())
    return took


def main() -> None:
    """Start and stop a task that stops at once, a few times."""
    took: dict[str, list[float]] = {"status": [], "start": [], "stop": []}
    for run in range(1000, 1000 + ROUNDS):
        took["status"].append(call({"do": "status"}))
        request = {"move": 1, "run": run, "task": f"T{run}", "slug": f"T{run}", "env": {}}
        took["start"].append(call({"do": "start", **request, "command": ["sleep", "600"]}))
        took["stop"].append(call({"do": "stop", **request}))
    medians = {name: statistics.median(seconds) for name, seconds in took.items()}
    sys.stdout.write(json.dumps(medians))


if __name__ == "__main__":
    main()
