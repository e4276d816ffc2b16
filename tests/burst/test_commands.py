# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's commands in the middle of a burst: `status`, `drain`, and what the dead leave."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from tests.burst.bench import Bench


def command(bench: Bench, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the product on the bench's configuration."""
    name, *options = words
    return subprocess.run(
        [sys.executable, "-m", "cloudspill_monitor", name, str(bench.config), *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def vm_shown(bench: Bench) -> dict[str, Any]:
    """The only VM, as `status` shows it."""
    shown = bench.ask(do="status")["vms"]
    return dict(shown[0]) if len(shown) == 1 else {}


def test_status_shows_the_vm_and_drain_tells_until_it_is_gone(bench: Bench) -> None:
    bench.start()
    bench.load(100)
    bench.until(bench.away)
    (vm,) = bench.vms()
    bench.until(lambda: vm_shown(bench).get("tasks") == ["mover"])
    shown = vm_shown(bench)
    assert (shown["name"], shown["state"], shown["connected"]) == (vm, "up", True)
    assert min(shown[key] for key in ("cost", "lease", "lifetime")) > 0
    done = command(bench, "status")
    assert f"  {vm}: " in done.stdout
    assert "tasks: mover, lease " in done.stdout
    done = command(bench, "drain", "--timeout", "60")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert f"mover: at {vm}" in lines
    assert {"mover: home", f"{vm}: gone"} <= set(lines), lines
    assert lines[-1].startswith("every task is at home")
    assert bench.vms() == []
    bench.stop()
    bench.audit()


def test_a_dead_monitors_status_names_the_vm_and_how_long_it_may_live(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(lease=60)  # it outlives the commands
    bench.start()
    bench.load(100)
    bench.until(bench.away)
    (vm,) = bench.vms()
    bench.signal(signal.SIGKILL)
    bench.end_for_good()
    done = command(bench, "status")
    assert done.returncode == 3
    assert f"mover: was at {vm}; `run` will bring it home" in done.stdout
    assert f"{vm} (" in done.stdout
    assert "deletes itself by " in done.stdout
    (left,) = json.loads(command(bench, "status", "--output", "json").stdout)["vms"]
    assert left["vm"] == vm
    assert left["cost"] > 0
    bench.load(10)
    bench.start()
    bench.until(bench.at_home)
    bench.stop()
    assert json.loads(command(bench, "status", "--output", "json").stdout)["vms"] == []
    assert "may still exist" not in command(bench, "status").stdout
    bench.audit()
