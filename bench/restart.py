# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the API is gone after kill -9, and how long it takes from `up` to a login after `down`.

python -m bench.restart [--rounds 5] [--json FILE]

Run as root with the sandbox up; it is killed, stopped and started again, and is up afterwards.
Checks that the guest's boot goes on through a kill, and that disk and addresses last through both.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.cloud import compute_v1
from rich.console import Console
from rich.table import Table

from bench.instances import BIN, DEADLINE, ROOT, ZONE, create, logs_in

NAME = "bench-restart"


def cli(*arguments: str) -> str:
    """Run cloudspill-sandbox and return what it prints."""
    command = [str(BIN / "cloudspill-sandbox"), *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"cloudspill-sandbox {arguments[0]}: {done.stderr.decode()}")
    return done.stdout.decode()


def status() -> dict[str, Any]:
    """Return what the sandbox says of itself."""
    document: dict[str, Any] = json.loads(cli("status", "--output", "json"))
    return document


def facts() -> dict[str, Any]:
    """Return what must last of the instance: its addresses, and what stands on its disk."""
    own: dict[str, Any]
    (own,) = [item for item in status()["instances"] if item["name"] == NAME]
    return {**own, "disk": cli("ssh", NAME, "cat", "/root/note")}


def boot() -> str:
    """Return what tells one boot of the instance from another."""
    show = ("systemctl", "show", "--property", "UserspaceTimestampMonotonic", "--value")
    return cli("ssh", NAME, *show)


def seconds_until(holds: Callable[[], bool], began: float) -> float:
    """Return the seconds from `began` until something holds."""
    while not holds():
        if time.monotonic() - began > DEADLINE:
            raise TimeoutError(f"not within {DEADLINE:.0f} s")
        time.sleep(0.01)
    return time.monotonic() - began


def answers(port: int) -> bool:
    """Whether the API's port is open."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def kill_and_up(before: dict[str, Any]) -> float:
    """Kill the sandbox, start it again; return the seconds that its API was gone."""
    running, seen = status(), boot()
    began = time.monotonic()
    os.kill(running["pid"], signal.SIGKILL)
    with subprocess.Popen([BIN / "cloudspill-sandbox", "up"], stderr=subprocess.DEVNULL) as up:
        seconds_until(lambda: not answers(running["port"]), began)
        gone = seconds_until(lambda: answers(running["port"]), began)
    if up.returncode or (boot(), facts()) != (seen, before):
        raise RuntimeError("the instance is not what it was before the kill")
    return gone


def down_and_up(before: dict[str, Any], key: Path) -> dict[str, float]:
    """Stop the sandbox and start it again; return the seconds of both, up to a login."""
    began = time.monotonic()
    cli("down")
    stopped = time.monotonic()
    cli("up")
    up = time.monotonic()
    login = seconds_until(lambda: logs_in(before["external_ip"], key), stopped)
    if facts() != before:
        raise RuntimeError("the instance is not what it was before `down`")
    return {"down": stopped - began, "up": up - stopped, "login": login}


def measure(rounds: int, project: str) -> dict[str, list[float]]:
    """Make an instance, kill and restart the sandbox under it, and remove it; seconds."""
    client = compute_v1.InstancesClient()
    figures: dict[str, list[float]] = {
        "kill -9, up → the API answers": [],
        "down": [],
        "up → the command returns": [],
        "up → ssh login": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        key = Path(folder) / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        try:
            create(client, project, NAME, key)
            cli("ssh", NAME, "sh", "-c", "date +%s.%N > /root/note")
            before = facts()
            for _ in range(rounds):
                gone, stops = kill_and_up(before), down_and_up(before, key)
                for values, seconds in zip(figures.values(), [gone, *stops.values()], strict=True):
                    values.append(seconds)
        finally:
            cli("up")
            if NAME in {instance.name for instance in client.list(project=project, zone=ZONE)}:
                client.delete(project=project, zone=ZONE, instance=NAME).result()
    return figures


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench" / "restart.json")
    arguments = parser.parse_args()
    variables = json.loads(cli("env", "--output", "json"))
    os.environ.update(variables)
    figures = measure(arguments.rounds, variables["GCP_PROJECT"])
    table = Table("seconds", "median", "worst", title=f"{arguments.rounds} rounds")
    for name, values in figures.items():
        table.add_row(name, f"{statistics.median(values):.2f}", f"{max(values):.2f}")
    Console().print(table)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
