# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of real machines, armed as a person does: by the command."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.sandbox import Sandbox, eventually, opens

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(280)]

ZONE = "us-west1-b"
METADATA = "http://169.254.169.254/computeMetadata/v1/instance/name"
ASK = f"curl --silent --connect-timeout 2 --max-time 30 --header Metadata-Flavor:Google {METADATA}"


def create(sandbox: Sandbox, name: str, *options: str) -> str:
    """Make an instance with gcloud; return its external address."""
    words = ("gcloud", "compute", "instances", "create", name, "--zone", ZONE)
    size = ("--machine-type", "f1-micro", "--format", "json")
    (made,) = json.loads(sandbox.client(*words, *size, *options).stdout)
    return str(made["networkInterfaces"][0]["accessConfigs"][0]["natIP"])


def status(sandbox: Sandbox, name: str) -> str:
    """Status of an instance."""
    shown = json.loads(sandbox.cli("status", "--output", "json").stdout)["instances"]
    return str(next(each["status"] for each in shown if each["name"] == name))


def arm(sandbox: Sandbox, *words: str) -> str:
    """Arm a fault; return its id."""
    return str(sandbox.cli("faults", "add", *words).stdout.strip())


def fault(sandbox: Sandbox, identity: str) -> dict[str, Any]:
    """Return a fault that has struck."""
    waited = sandbox.cli("faults", "wait", identity, "--timeout", "60", "--json")
    return dict(json.loads(waited.stdout))


def shell(sandbox: Sandbox, script: str) -> tuple[int, str]:
    """Run a script as root in the instance `vm`, over its console."""
    done = sandbox.cli("ssh", "vm", "sh", "-c", script, check=False)
    return done.returncode, done.stdout + done.stderr


def greeted(address: str) -> socket.socket:
    """Return a connection on which sshd has said who it is; for its first moments see `SSH`."""
    flows: list[socket.socket] = []

    def greets() -> bool:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            flow = stack.enter_context(socket.create_connection((address, 22), timeout=10))
            if flow.recv(100).startswith(b"SSH-2.0"):
                flows.append(flow)
                stack.pop_all()
        return bool(flows)

    eventually(greets, 60, "a greeting of sshd")
    return flows[0]


@pytest.fixture(scope="module")
def address(running: Sandbox) -> Iterator[str]:
    """External address of an instance `vm` that answers on port 22."""
    external = create(running, "vm")
    eventually(lambda: opens(external, 22), 60, "vm answers on port 22")
    try:
        yield external
    finally:
        running.cli("faults", "clear")


def test_a_cut_stops_flows_under_way_too_and_heals(running: Sandbox, address: str) -> None:
    with greeted(address) as flow:
        cut = arm(running, "network-cut", "--match", "vm")
        assert fault(running, cut)["state"] == "active"
        flow.sendall(b"SSH-2.0-test\r\n")
        flow.settimeout(2)
        with pytest.raises(TimeoutError):
            flow.recv(1)
        assert not opens(address, 22)
        assert shell(running, ASK) == (0, "vm")
        running.cli("faults", "clear", cut)
        flow.settimeout(120)  # what was cut is sent again after twice as long each time
        assert flow.recv(1)
    assert opens(address, 22)


def test_a_cut_from_the_api_leaves_the_host_and_ends_by_itself(
    running: Sandbox, address: str
) -> None:
    cut = arm(running, "network-cut", "--match", "vm", "--from", "api", "--for", "600")
    assert fault(running, cut)["fired"] == 1
    assert shell(running, ASK)[0] == 28
    assert opens(address, 22)
    running.cli("clock", "advance", "600")
    eventually(lambda: shell(running, ASK) == (0, "vm"), 15, "the metadata server answers again")
    assert fault(running, cut)["state"] == "spent"


def test_a_full_disk_refuses_what_is_written_and_is_emptied(running: Sandbox, address: str) -> None:
    assert shell(running, "echo kept >/root/old") == (0, "")
    full = arm(running, "disk-full", "--match", "vm")
    assert fault(running, full)["state"] == "active"
    for script in ("echo x >/root/new", "echo x >>/root/old", "mkdir /var/lib/new", "rm /root/old"):
        code, said = shell(running, script)
        assert code != 0
        assert "No space left on device" in said
    assert shell(running, "cat /root/old") == (0, "kept\n")
    assert "100%" in shell(running, "df /var")[1]
    assert opens(address, 22)
    running.cli("faults", "clear", full)
    assert shell(running, "echo x >/root/new && cat /root/old /root/new") == (0, "kept\nx\n")


def test_a_guest_that_does_not_boot_is_running_without_ssh(running: Sandbox) -> None:
    broken = arm(running, "boot-failure", "--match", "broken")
    external = create(running, "broken")
    assert fault(running, broken)["state"] == "spent"
    assert status(running, "broken") == "RUNNING"
    eventually(
        lambda: "emergency mode" in running.cli("serial", "broken").stdout,
        30,
        "the console says so",
    )
    assert not opens(external, 22)
    zone = ("--zone", ZONE)
    running.client("gcloud", "compute", "instances", "reset", "broken", *zone)
    eventually(lambda: opens(external, 22), 60, "the next boot is well")


def test_a_preemption_and_a_crash_turn_instances_off(running: Sandbox) -> None:
    spot = ("--provisioning-model", "SPOT", "--instance-termination-action", "STOP")
    create(running, "spot", *spot)
    create(running, "fragile")
    preemption = arm(running, "preemption", "--match", "spot", "--after", "1")
    crash = arm(running, "crash", "--match", "fragile")
    assert fault(running, crash)["firings"][0]["target"].endswith("/instances/fragile")
    assert fault(running, preemption)["firings"][0]["target"].endswith("/instances/spot")
    eventually(lambda: status(running, "fragile") == "TERMINATED", 20, "fragile is off")
    eventually(lambda: status(running, "spot") == "TERMINATED", 60, "spot is off")
