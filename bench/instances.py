# SPDX-License-Identifier: GPL-3.0-or-later
"""From the request for an instance to a command on it by ssh, and part 1 from end to end.

Run as root with the sandbox up (`make up`). What it makes carries the run `bench` and is removed.
Prints a table and writes JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from google.cloud import compute_v1
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
ZONE = "us-west1-b"
IMAGE = "projects/ubuntu-os-cloud/global/images/family/ubuntu-2204-lts"
DEADLINE = 60.0


@dataclass(frozen=True, slots=True)
class Creation:
    """Seconds from the request of one instance."""

    operation: float
    login: float


def create(client: compute_v1.InstancesClient, project: str, name: str, key: Path) -> Creation:
    """Make an instance and log in; the clock starts with the request."""
    public = key.with_suffix(".pub").read_text().strip()
    instance = compute_v1.Instance(
        name=name,
        machine_type=f"zones/{ZONE}/machineTypes/f1-micro",
        labels={"cloudspill-run": "bench"},
        disks=[
            compute_v1.AttachedDisk(
                boot=True,
                auto_delete=True,
                initialize_params=compute_v1.AttachedDiskInitializeParams(source_image=IMAGE),
            )
        ],
        network_interfaces=[
            compute_v1.NetworkInterface(
                network="global/networks/default",
                access_configs=[compute_v1.AccessConfig(type_="ONE_TO_ONE_NAT")],
            )
        ],
        metadata=compute_v1.Metadata(
            items=[compute_v1.Items(key="ssh-keys", value=f"bench:{public}")]
        ),
    )
    began = time.monotonic()
    client.insert(project=project, zone=ZONE, instance_resource=instance).result()
    operation = time.monotonic() - began
    made = client.get(project=project, zone=ZONE, instance=name)
    address = made.network_interfaces[0].access_configs[0].nat_i_p
    while not logs_in(address, key):
        if time.monotonic() - began > DEADLINE:
            raise TimeoutError(f"no login on {name} within {DEADLINE:.0f} s")
        time.sleep(0.02)
    return Creation(operation, time.monotonic() - began)


def logs_in(address: str, key: Path) -> bool:
    """Whether a command runs there as root. The key of a bench instance is nobody's secret."""
    options = (
        f"-i{key}",
        "-oBatchMode=yes",
        "-oConnectTimeout=2",
        "-oStrictHostKeyChecking=no",
        "-oUserKnownHostsFile=/dev/null",
        "-oLogLevel=ERROR",
    )
    command = ["ssh", *options, f"bench@{address}", "sudo -n true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def measure_creation(project: str, count: int) -> list[Creation]:
    """Make instances one after another, and remove them all."""
    client = compute_v1.InstancesClient()
    names = [f"bench-{number}" for number in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        key = Path(folder) / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        try:
            return [create(client, project, name, key) for name in names]
        finally:
            made = {instance.name for instance in client.list(project=project, zone=ZONE)}
            for name in made & set(names):
                client.delete(project=project, zone=ZONE, instance=name).result()


def guest_seconds(instance: str) -> float:
    """Return how long the startup script of an instance ran, as its systemd counted."""
    show = [
        *("systemctl", "show", "google-startup-scripts", "--timestamp=unix"),
        *("-p", "ExecMainStartTimestampMonotonic", "-p", "ExecMainExitTimestampMonotonic"),
    ]
    done = subprocess.run(
        [BIN / "cloudspill-sandbox", "ssh", instance, *show],
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    values = dict(line.split("=", 1) for line in done.stdout.splitlines())
    start = int(values["ExecMainStartTimestampMonotonic"])
    return (int(values["ExecMainExitTimestampMonotonic"]) - start) / 1e6


def measure_part1() -> dict[str, float]:
    """Run part 1 warm (its image exists), and remove what it made; seconds."""
    options = ("-e", "cloudspill_run=bench", "-e", "instance_name=bench-part1")
    play = [str(BIN / "ansible-playbook"), "playbooks/part1.yml", *options]
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    try:
        began = time.monotonic()
        subprocess.run(play, cwd=ROOT, env=environment, check=True, capture_output=True)
        wall = time.monotonic() - began
        return {"wall": wall, "guest": guest_seconds("bench-part1")}
    finally:
        subprocess.run(
            [BIN / "ansible-playbook", "playbooks/teardown.yml", *options],
            cwd=ROOT,
            env=environment,
            check=True,
            capture_output=True,
        )


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5)
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench" / "instances.json")
    arguments = parser.parse_args()
    shown = subprocess.run(
        [BIN / "cloudspill-sandbox", "env", "--output", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    variables = json.loads(shown.stdout)
    os.environ.update(variables)
    creations = measure_creation(variables["GCP_PROJECT"], arguments.count)
    for name in variables:
        del os.environ[name]
    part1 = measure_part1()
    status = subprocess.run(
        [BIN / "cloudspill-sandbox", "status", "--output", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    figures = {
        "create → operation done (median, s)": statistics.median(c.operation for c in creations),
        "create → ssh login (median, s)": statistics.median(c.login for c in creations),
        "part 1 warm, wall (s)": part1["wall"],
        "part 1 warm, startup script in the guest (s)": part1["guest"],
        "part 1 warm, wall minus guest (s)": part1["wall"] - part1["guest"],
        "sandbox, resident memory (MB)": json.loads(status.stdout)["memory_mb"],
    }
    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, f"{value:.2f}")
    Console().print(table)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    report = {"figures": figures, "creations": [asdict(creation) for creation in creations]}
    arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
