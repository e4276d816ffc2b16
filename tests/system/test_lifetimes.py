# SPDX-License-Identifier: GPL-3.0-or-later
"""How real machines end: preempted with notice, and at the end of a limited run time."""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.system.sandbox import Sandbox, eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(280)]

ZONE = "us-west1-b"

WATCH = """#!/bin/bash
url=http://metadata.google.internal/computeMetadata/v1/instance/preempted
echo "watching, preempted is $(curl -s -H Metadata-Flavor:Google $url)" >/dev/console
answer=$(curl -s -H Metadata-Flavor:Google "$url?wait_for_change=true")
echo "told that preempted is $answer" >/dev/console
touch /run/told
"""

LAST_WORDS = """#!/bin/bash
until test -e /run/told; do sleep 0.1; done  # in the 30 s that a Spot VM has
echo "last words" >/dev/console
"""


def gcloud(sandbox: Sandbox, *arguments: str) -> Any:
    """Run `gcloud compute …` and return its JSON."""
    answer = sandbox.client("gcloud", "compute", *arguments, "--format", "json").stdout
    return json.loads(answer or "null")


def create(sandbox: Sandbox, name: str, *options: str) -> dict[str, Any]:
    """Make an instance."""
    place = ("--zone", ZONE, "--machine-type", "f1-micro")
    (made,) = gcloud(sandbox, "instances", "create", name, *place, *options)
    return dict(made)


def status(sandbox: Sandbox, name: str) -> str | None:
    """Status of an instance; None when it is gone."""
    shown = json.loads(sandbox.cli("status", "--output", "json").stdout)["instances"]
    return next((each["status"] for each in shown if each["name"] == name), None)


def now(sandbox: Sandbox) -> datetime:
    """The cloud's time."""
    shown = json.loads(sandbox.cli("clock", "show", "--output", "json").stdout)
    return datetime.fromisoformat(shown["now"])


def by_system(sandbox: Sandbox, name: str) -> list[tuple[str, str]]:
    """(type, status) of the operations on an instance that nobody asked for."""
    chosen = f"user=system AND targetLink~instances/{name}$"
    listed = gcloud(sandbox, "operations", "list", "--zones", ZONE, "--filter", chosen)
    return [(each["operationType"], each["status"]) for each in listed]


def test_a_spot_instance_is_told_and_runs_its_shutdown_script(
    running: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "watch").write_text(WATCH)
    (tmp_path / "last-words").write_text(LAST_WORDS)
    scripts = f"startup-script={tmp_path}/watch,shutdown-script={tmp_path}/last-words"
    model = ("--provisioning-model", "SPOT", "--instance-termination-action", "STOP")
    create(running, "spot", *model, "--metadata-from-file", scripts)

    def console() -> str:
        return running.cli("serial", "spot").stdout

    eventually(lambda: "watching, preempted is FALSE" in console(), 60, "the script watches")
    gcloud(running, "instances", "simulate-maintenance-event", "spot", "--zone", ZONE)
    eventually(lambda: status(running, "spot") == "TERMINATED", 60, "the instance is off")
    assert "told that preempted is TRUE" in console()
    assert "last words" in console()
    assert by_system(running, "spot") == [("compute.instances.preempted", "DONE")]


def test_the_end_of_its_run_time_deletes_an_instance_and_its_disk(running: Sandbox) -> None:
    limit = ("--max-run-duration", "10m", "--instance-termination-action", "DELETE")
    create(running, "brief", *limit)
    made = gcloud(running, "instances", "describe", "brief", "--zone", ZONE)
    assert made["resourceStatus"]["scheduling"]["terminationTimestamp"]
    assert status(running, "brief") == "RUNNING"
    assert "brief" in running.resources()["disks"]
    running.cli("clock", "advance", "600")
    eventually(lambda: status(running, "brief") is None, 30, "the instance is gone")
    assert "brief" not in running.resources()["disks"]
    assert by_system(running, "brief") == [("compute.instances.deferredDelete", "DONE")]


def test_a_run_time_that_ends_while_the_sandbox_is_killed_ends_at_its_start(
    running: Sandbox,
) -> None:
    limit = ("--max-run-duration", "10m", "--instance-termination-action", "DELETE")
    create(running, "overdue", *limit)
    create(running, "stays")
    made = gcloud(running, "instances", "describe", "overdue", "--zone", ZONE)
    end = datetime.fromisoformat(made["resourceStatus"]["scheduling"]["terminationTimestamp"])
    left = end - now(running)
    running.cli("clock", "advance", f"{left.total_seconds() - 3}")
    daemon = json.loads(running.cli("status", "--output", "json").stdout)
    os.kill(daemon["pid"], signal.SIGKILL)
    eventually(lambda: running.cli("status", check=False).returncode == 3, 10, "it is dead")
    host_end = end.timestamp() - daemon["clock"]["ahead_seconds"]
    eventually(lambda: time.time() > host_end, 10, "its last seconds pass")
    running.up()
    assert now(running) >= end, "a new life does not step back"
    eventually(lambda: status(running, "overdue") is None, 30, "the instance is gone")
    assert "overdue" not in running.resources()["disks"]
    assert by_system(running, "overdue") == [("compute.instances.deferredDelete", "DONE")]
    assert status(running, "stays") == "RUNNING"
