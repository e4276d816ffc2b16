# SPDX-License-Identifier: GPL-3.0-or-later
"""What the monitor itself costs while nothing happens: CPU and memory at 1 Hz."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

_CONFIG = """\
state_dir: state
ignore_cgroups: [machine.slice, libpod_parent]
tasks:
""" + "".join(f"  - {{name: Task {n}, command: sleep 1000000}}\n" for n in range(1, 5))


def measure(seconds: float) -> dict[str, float]:
    """Run the monitor with four idle tasks; CPU in percent of one core, memory in MB."""
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "monitor.yml"
        config.write_text(_CONFIG)
        command = [sys.executable, "-m", "cloudspill_monitor", "run", "--dry-run", str(config)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as monitor:
            try:
                _wait_for(Path(directory) / "state" / "control.sock", monitor)
                process = psutil.Process(monitor.pid)
                # Start-up is not idling: begin once it has taken some samples.
                time.sleep(3.0)
                before, start = process.cpu_times(), time.monotonic()
                time.sleep(seconds)
                after, passed = process.cpu_times(), time.monotonic() - start
                memory = process.memory_info().rss
            finally:
                monitor.send_signal(signal.SIGTERM)
    used = after.user + after.system - before.user - before.system
    return {
        "seconds": round(passed, 1),
        "cpu_percent_of_a_core": round(100.0 * used / passed, 3),
        "rss_mb": round(memory / 1e6, 1),
        "processes_on_machine": len(psutil.pids()),
    }


def _wait_for(path: Path, monitor: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30.0
    while not path.exists():
        if monitor.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("the monitor did not start")
        time.sleep(0.05)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    print(json.dumps(measure(parser.parse_args().seconds)))
