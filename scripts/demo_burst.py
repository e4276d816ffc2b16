# SPDX-License-Identifier: GPL-3.0-or-later
"""One round trip of the monitor: a load rises, two tasks go to a VM; it falls, they come home.

Durations are 2 s here, 10 s by default. The load is real: a busy loop for each core, for as long as
the tasks take to leave. Ends with a table of how long each task ran nowhere, and of its count.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
MONITOR = Path(sys.executable).parent / "cloudspill-monitor"
MOVABLE = ("Task 3", "Task 4")
CONFIGURATION = """\
# Written by `make demo`. Durations are 2 s, so that one need not wait; the defaults are 10 s.
interval: 0.5s
high_duration: 2s
low_duration: 2s
min_dwell: 2s
ignore_cgroups: [cloudspill, machine.slice]
burst:
  inventory: {inventory}
  machine_types: [n1-standard-1]
  service_account: ""
tasks:
"""
TASK = """\
  - name: Task {number}
    command: python3 count.py task-{number}.count --duty 0.25
    movable: {movable}
    files: [count.py]
    checkpoint_paths: [task-{number}.count]
"""
AWAY = re.compile(r"(Task \d) runs on (\S+); it ran nowhere for ([\d.]+) s")
HOME = re.compile(r"(Task \d) is home from (\S+); it ran nowhere for ([\d.]+) s")
COUNT = re.compile(r"\[.*?(Task \d)\] (counting from|stopped at) (\d+)")


@dataclass(slots=True)
class Trip:
    """What one task told of its journey; seconds that it ran nowhere, and its counts in order."""

    out: float | None = None
    home: float | None = None
    counts: tuple[int, ...] = ()

    @property
    def went_on(self) -> bool:
        """Whether it went on from where it had stopped, each time."""
        pairs = list(zip(self.counts[1::2], self.counts[2::2], strict=False))
        return len(pairs) >= 2 and all(stopped == resumed for stopped, resumed in pairs)


def configure(folder: Path) -> Path:
    """A fresh folder with the tasks and their configuration."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    source = ROOT / "monitor" / "src" / "cloudspill_monitor" / "counting_task.py"
    shutil.copyfile(source, folder / "count.py")
    tasks = (
        TASK.format(number=n, movable=str(f"Task {n}" in MOVABLE).lower()) for n in range(1, 5)
    )
    path = folder / "monitor.yml"
    text = CONFIGURATION.format(inventory=ROOT / "inventory" / "sandbox") + "".join(tasks)
    path.write_text(f"state_dir: {folder / 'state'}\n{text}")
    return path


def burn() -> None:
    """Use a core until it is ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        pass


@contextmanager
def load() -> Iterator[threading.Event]:
    """All cores busy, until the event is set or the block is left."""
    burners = [
        multiprocessing.Process(target=burn, daemon=True)
        for _ in range(multiprocessing.cpu_count())
    ]
    enough = threading.Event()

    def end() -> None:
        enough.wait()
        for burner in burners:
            burner.kill()
            burner.join()

    for burner in burners:
        burner.start()
    ender = threading.Thread(target=end)
    ender.start()
    try:
        yield enough
    finally:
        enough.set()
        ender.join()


def watch(process: subprocess.Popen[str], enough: threading.Event) -> dict[str, Trip]:
    """Relay what it says; end the load when all tasks are away, the monitor when all are home."""
    trips = {name: Trip() for name in MOVABLE}
    assert process.stdout is not None
    for line in process.stdout:
        sys.stdout.write(line)
        sys.stdout.flush()
        if (found := COUNT.search(line)) and found[1] in trips:
            trip = trips[found[1]]
            trip.counts = (*trip.counts, int(found[3]))
        if found := AWAY.search(line):
            trips[found[1]].out = float(found[3])
        if found := HOME.search(line):
            trips[found[1]].home = float(found[3])
        if not enough.is_set() and all(trip.out is not None for trip in trips.values()):
            print("--- the load ends: below 60 % for 2 s brings the tasks home")
            enough.set()
        back = all(len(trip.counts) >= 5 for trip in trips.values())
        if back and process.poll() is None and enough.is_set():
            process.send_signal(signal.SIGTERM)
    return trips


def show(trips: dict[str, Trip]) -> None:
    """Print the table."""
    table = Table(title="one round trip (2 s durations)", title_justify="left")
    for heading in ("task", "ran nowhere, out", "ran nowhere, home", "its count went on"):
        table.add_column(heading)
    for name, trip in trips.items():
        counts = " → ".join(f"{count:,}" for count in trip.counts)
        table.add_row(
            name,
            "did not leave" if trip.out is None else f"{trip.out:.2f} s",
            "did not return" if trip.home is None else f"{trip.home:.2f} s",
            f"{'yes' if trip.went_on else 'NO'}: {counts}",
        )
    Console().print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "demo-burst")
    parser.add_argument("--timeout", type=float, default=180.0, help="seconds until it is given up")
    arguments = parser.parse_args()
    path = configure(arguments.folder)
    print("a load on every core: above 75 % for 2 s (10 s by default) sends tasks 3 and 4 away")
    with (
        load() as enough,
        subprocess.Popen(
            [MONITOR, "run", "--plain", "--every", "5", str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        alarm = threading.Timer(arguments.timeout, process.send_signal, [signal.SIGTERM])
        alarm.start()
        try:
            trips = watch(process, enough)
        except KeyboardInterrupt:
            watch(process, enough)  # it has heard the same Ctrl-C, and deletes its VM
            raise
        finally:
            alarm.cancel()
    show(trips)
    return 0 if process.returncode == 0 and all(trip.went_on for trip in trips.values()) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
