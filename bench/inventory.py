# SPDX-License-Identifier: GPL-3.0-or-later
"""What an inventory of thousands costs: this collection's plugin against google.cloud's.

python -m bench.inventory [--instances 5000] [--rounds 3] [--json FILE]

Both read the same sandbox in memory, in turn, by `ansible-inventory --list`: all of it, and the
tenth that has a label. Starts a sandbox of its own; needs no root.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.api import ROOT, sandbox
from bench.scale import CONNECTIONS, Api, body

PROGRAM = Path(sys.executable).with_name("ansible-inventory")
ZONES = ("us-west1-a", "us-west1-b", "us-central1-a", "us-east1-b", "europe-west1-b")
LABELLED = 10
"""One in so many instances has the label."""

LABEL = "burst"
TARGET_ALL, TARGET_FILTERED = 0.5, 0.1
THEIRS, OURS, FILTERED = "google.cloud", "cloudspill", "cloudspill, one label"


@dataclass(frozen=True, slots=True)
class Reading:
    """One inventory that was read.

    Attributes:
        seconds: wall time of the whole command.
        hosts: how many it lists.
    """

    seconds: float
    hosts: int


def fill(api: Api, count: int) -> None:
    """Make instances, spread over zones; one in LABELLED has the label."""

    def make(number: int) -> None:
        zone = ZONES[number % len(ZONES)]
        instance = body(f"vm-{number:05}", external=True)
        instance["machineType"] = f"zones/{zone}/machineTypes/f1-micro"
        if number % LABELLED == 0:
            instance["labels"] |= {"cloudspill-role": LABEL}
        operation = api.call("POST", f"zones/{zone}/instances", instance)
        while operation["status"] != "DONE":
            operation = api.call("POST", f"zones/{zone}/operations/{operation['name']}/wait")

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for _ in track(pool.map(make, range(count)), "insert", total=count, transient=True):
            pass


def write_inventories(folder: Path, project: str, environment_file: Path) -> dict[str, Path]:
    """Write one inventory for each plugin, and ours with a filter; return them by name."""
    ours: dict[str, object] = {
        "plugin": "cloudspill.gcp.gce",
        "environment_file": str(environment_file),
    }
    contents: dict[str, tuple[str, dict[str, object]]] = {
        THEIRS: ("all.gcp.yml", {"plugin": "google.cloud.gcp_compute", "hostnames": ["name"]}),
        OURS: ("all.gce.yml", ours),
        FILTERED: ("some.gce.yml", ours | {"filters": [f"labels.cloudspill-role={LABEL}"]}),
    }
    files = {}
    for name, (file, content) in contents.items():
        files[name] = folder / file
        content |= {"projects": [project], "auth_kind": "application"}
        files[name].write_text(json.dumps(content))
    return files


def read(inventory: Path) -> Reading:
    """List an inventory as Ansible does before a play."""
    settings = inventory.with_name("ansible.cfg")  # none of whoever measures
    settings.touch()
    began = time.perf_counter()
    done = subprocess.run(
        [PROGRAM, "-i", inventory, "--list"],
        env=os.environ | {"ANSIBLE_CONFIG": str(settings)},
        check=True,
        stdout=subprocess.PIPE,
    )
    seconds = time.perf_counter() - began
    return Reading(seconds, len(json.loads(done.stdout)["_meta"]["hostvars"]))


def compare(inventories: dict[str, Path], rounds: int) -> dict[str, list[Reading]]:
    """Read each inventory `rounds` times, in turn."""
    readings: dict[str, list[Reading]] = {name: [] for name in inventories}
    for _ in range(rounds):
        for name, path in inventories.items():
            readings[name].append(read(path))
    return readings


def figures_of(readings: Mapping[str, Sequence[Reading]], instances: int) -> dict[str, float]:
    """Return the median seconds of each, and how they compare.

    Raises:
        RuntimeError: one did not list what there is.
    """
    wanted = {THEIRS: instances, OURS: instances, FILTERED: -(-instances // LABELLED)}
    found = {name: {reading.hosts for reading in each} for name, each in readings.items()}
    if found != {name: {count} for name, count in wanted.items()}:
        raise RuntimeError(f"the inventories list {found}, and there are {wanted}")
    seconds = {
        name: statistics.median(reading.seconds for reading in each)
        for name, each in readings.items()
    }
    figures = {f"{name} (s)": round(value, 2) for name, value in seconds.items()}
    figures["all, times google.cloud"] = round(seconds[OURS] / seconds[THEIRS], 3)
    figures["one label, times google.cloud"] = round(seconds[FILTERED] / seconds[THEIRS], 3)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return figures | {"most memory of a reading (MB)": round(peak / 1024)}


@contextlib.contextmanager
def variables(added: dict[str, str]) -> Iterator[None]:
    """Let environment variables hold for a while."""
    before = dict(os.environ)
    os.environ.update(added)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def measure(instances: int, rounds: int, say: Callable[[str], object]) -> dict[str, float]:
    """Make the instances and read them."""
    with tempfile.TemporaryDirectory() as directory, sandbox(directory) as cloud:
        environment_file = Path(directory, "run", "bench", "environment.json")
        with variables(cloud.variables):
            fill(Api(cloud.variables), instances)
            say(f"{instances} instances; reading them {rounds} times with each")
            project = cloud.variables["GCP_PROJECT"]
            files = write_inventories(Path(directory), project, environment_file)
            return figures_of(compare(files, rounds), instances)


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description="Inventories of thousands.")
    parser.add_argument("--instances", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench" / "inventory.json")
    arguments = parser.parse_args()
    console = Console()
    figures = measure(arguments.instances, arguments.rounds, console.print)
    table = Table(f"ansible-inventory --list of {arguments.instances}", "value", "target")
    targets = {
        "all, times google.cloud": f"≤ {TARGET_ALL}",
        "one label, times google.cloud": f"≤ {TARGET_FILTERED}",
    }
    for name, value in figures.items():
        table.add_row(name, f"{value:g}", targets.get(name, ""))
    console.print(table)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
