# SPDX-License-Identifier: GPL-3.0-or-later
"""Many instances at once: what gce_instances itself costs, and how near all come to the slowest.

python -m bench.clones [--quick] [--json FILE]

Starts sandboxes in memory of its own; needs no root. With no latency, the seconds are the program's
own, beside those of a loop of google.cloud's module over as many instances, in the same run; an
empty play's seconds are taken off both. With the latency profile `gce` (left out by --quick), how
long three clones of a snapshot and thirty of an image take beside the slowest of them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from bench.api import ROOT, ZONE, sandbox

DEBIAN = "projects/debian-cloud/global/images/family/debian-12"
COUNTS = (1, 10, 100)
LOOPED = (1, 10)
"""google.cloud's module takes seconds each: a hundred would take minutes and tell nothing new."""
TARGET_FASTER, TARGET_THREE, TARGET_THIRTY = 6.0, 1.10, 1.30

Json = dict[str, Any]


class Player:
    """Runs plays of one task against a sandbox.

    Args:
        variables: the environment of the sandbox's clients.
        folder: for plays and their results.
    """

    def __init__(self, variables: dict[str, str], folder: Path) -> None:
        self._variables = variables
        self._folder = folder
        self._credentials = {
            "project": variables["GCP_PROJECT"],
            "auth_kind": "serviceaccount",
            "service_account_file": variables["GOOGLE_APPLICATION_CREDENTIALS"],
        }

    def play(self, *tasks: Json) -> tuple[float, Json]:
        """Run tasks; return the seconds, and what the last one returned.

        Raises:
            RuntimeError: a task failed.
        """
        result = self._folder / "result.json"
        done = [{**task, "register": "done"} for task in tasks]
        content = "{{ done | default({}) | to_json }}"
        keep = {"ansible.builtin.copy": {"content": content, "dest": str(result), "mode": "0600"}}
        groups = ("group/google.cloud.gcp", "group/cloudspill.gcp.gcp")
        play = {
            "hosts": "localhost",
            "connection": "local",
            "vars": {"ansible_python_interpreter": sys.executable},
            "gather_facts": False,
            "module_defaults": dict.fromkeys(groups, self._credentials),
            "tasks": [*done, keep],
        }
        path = self._folder / "play.yml"
        path.write_text(yaml.safe_dump([play]))
        program = Path(sys.executable).with_name("ansible-playbook")
        command = [str(program), "-i", "localhost,", str(path)]
        began = time.monotonic()
        ran = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | self._variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        seconds = time.monotonic() - began
        if ran.returncode:
            raise RuntimeError(f"the play failed:\n{ran.stdout[-2000:]}")
        return seconds, json.loads(result.read_text())


def at_once(names: list[str], kind: str = "image", source: str = DEBIAN) -> Json:
    """Return a task that makes instances of an image or a snapshot with gce_instances."""
    instances = {"names": names, "zones": [ZONE], "machine_types": ["f1-micro"], "timeout": 300}
    return {"cloudspill.gcp.gce_instances": {**instances, f"source_{kind}": source}}


def in_a_loop(names: list[str]) -> Json:
    """Return a task that makes the same with google.cloud."""
    disk = {"auto_delete": True, "boot": True, "initialize_params": {"source_image": DEBIAN}}
    interface = {
        "network": {"selfLink": "global/networks/default"},
        "access_configs": [{"name": "External NAT", "type": "ONE_TO_ONE_NAT"}],
    }
    instance = {
        "name": "{{ item }}",
        "zone": ZONE,
        "machine_type": "f1-micro",
        "disks": [disk],
        "network_interfaces": [interface],
    }
    return {"google.cloud.gcp_compute_instance": instance, "loop": names}


def measure_own_time(console: Console) -> dict[str, float]:
    """Return the seconds of both ways, less those of an empty play."""
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as directory, sandbox(directory) as cloud:
        player = Player(cloud.variables, Path(directory))
        empty = min(player.play({"ansible.builtin.set_fact": {"a": 1}})[0] for _ in range(3))
        figures["empty_play_s"] = empty
        for count in COUNTS:
            console.print(f"{count} instances, no latency", style="dim")
            names = [f"own-{count}-{number}" for number in range(count)]
            figures[f"own_{count}_s"] = player.play(at_once(names))[0] - empty
            if count in LOOPED:
                looped = [f"loop-{count}-{number}" for number in range(count)]
                figures[f"loop_{count}_s"] = player.play(in_a_loop(looped))[0] - empty
    figures["faster_at_10"] = figures["loop_10_s"] / figures["own_10_s"]
    return figures


def measure_makespan(console: Console) -> dict[str, float]:
    """Return how long many take beside the slowest of them, with Google's times."""
    figures: dict[str, float] = {}
    with (
        tempfile.TemporaryDirectory() as directory,
        sandbox(directory, "--latency", "gce", "--seed", "1") as cloud,
    ):
        player = Player(cloud.variables, Path(directory))
        console.print("an instance and its snapshot, at Google's pace", style="dim")
        snapshot: Json = {
            "google.cloud.gcp_compute_snapshot": {
                "name": "base",
                "zone": ZONE,
                "source_disk": {"name": "base"},
            }
        }
        player.play(at_once(["base"]), snapshot)
        for count, kind, source in ((3, "snapshot", "base"), (30, "image", DEBIAN)):
            console.print(f"{count} clones, at Google's pace", style="dim")
            names = [f"clone-{count}-{number}" for number in range(count)]
            made = player.play(at_once(names, kind, source))[1]["instances"]
            first = min(clone["began"] for clone in made)
            makespan = max(c["began"] + c["seconds"]["running"] for c in made) - first
            slowest = max(clone["seconds"]["running"] for clone in made)
            figures |= {
                f"makespan_{count}_s": makespan,
                f"slowest_of_{count}_s": slowest,
                f"makespan_over_slowest_{count}": makespan / slowest,
            }
    return figures


def show(figures: dict[str, float], console: Console) -> None:
    """Print the table."""
    table = Table(title="many instances at once (in memory)", title_justify="left")
    for column in ("", "gce_instances", "google.cloud loop", "target"):
        table.add_column(column)
    for count in COUNTS:
        loop = figures.get(f"loop_{count}_s")
        table.add_row(
            f"{count}: own time",
            f"{figures[f'own_{count}_s']:.2f} s",
            "" if loop is None else f"{loop:.2f} s",
        )
    faster = figures["faster_at_10"]
    table.add_row("10: times faster", f"{faster:.1f}", "", f">= {TARGET_FASTER:.0f}")
    for count, target in ((3, TARGET_THREE), (30, TARGET_THIRTY)):
        if ratio := figures.get(f"makespan_over_slowest_{count}"):
            table.add_row(
                f"{count}, latency gce: makespan / slowest",
                f"{ratio:.3f} ({figures[f'makespan_{count}_s']:.1f} s)",
                "",
                f"<= {target:.2f}",
            )
    console.print(table)


def main() -> int:
    """Measure, show, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave out Google's pace")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench" / "clones.json")
    options = parser.parse_args()
    console = Console()
    figures = measure_own_time(console)
    if not options.quick:
        figures |= measure_makespan(console)
    show(figures, console)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
