# SPDX-License-Identifier: GPL-3.0-or-later
"""Up, down, kill, again: what a sandbox does to its host, and what it gives back."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.system.sandbox import BIN, Sandbox, control_groups

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(280)]

ZONE = "us-west1-b"


def own_processes() -> list[str]:
    """Command lines of what runs in the tests' sandbox's name; the dead that init has yet to reap
    have none."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if b"CLOUDSPILL_SANDBOX=systest" in environment.split(b"\0") or "systest" in command:
            found.append(command)
    return sorted(found)


def host_footprint() -> dict[str, str]:
    """Everything on the host that a sandbox touches while it runs."""

    def output(*command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    sysctls = output("sysctl", "-a", "--pattern", r"^(net\.ipv4|net\.ipv6|fs\.inotify)\.")
    volatile = r"(?m)^(net\.ipv4\.(tcp_fastopen_key|route\.|netfilter)|.*\.nf_conntrack_count).*\n"
    # Other tests, side by side with these, mount small disks in folders of their own.
    mounts = sorted(
        line.split(" ", 3)[3]
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if "/pytest-of-" not in line
    )
    return {
        "links": re.sub(r"(?m)^\d+: ", "", output("ip", "-brief", "link")),
        "addresses": output("ip", "-brief", "address"),
        "routes": output("ip", "route", "show", "table", "all"),
        "rules": output("ip", "rule"),
        "nft": output("nft", "list", "ruleset"),
        "sysctls": re.sub(volatile, "", sysctls),
        "mounts": "\n".join(mounts),
        "namespaces": output("ip", "netns", "list"),
        "containers": output("podman", "ps", "--all", "--quiet"),
        "cgroups": "\n".join(map(str, control_groups("*systest*"))),
        "processes": "\n".join(own_processes()),
    }


def boot(sandbox: Sandbox, name: str) -> str:
    """Make an instance with gcloud; return its external address."""
    made = sandbox.client(
        "gcloud",
        "compute",
        "instances",
        "create",
        name,
        "--zone",
        ZONE,
        "--machine-type",
        "f1-micro",
        "--format",
        "json",
    )
    (instance,) = json.loads(made.stdout)
    external: str = instance["networkInterfaces"][0]["accessConfigs"][0]["natIP"]
    return external


def names(sandbox: Sandbox) -> dict[str, str]:
    """Status of each instance by name."""
    document = json.loads(sandbox.cli("status", "--output", "json").stdout)
    return {item["name"]: item["status"] for item in document["instances"]}


def test_down_leaves_the_host_as_it_was(sandbox: Sandbox) -> None:
    before = host_footprint()
    sandbox.up()
    boot(sandbox, "vm")
    during = host_footprint()
    sandbox.cli("down")
    after = host_footprint()
    changed = {key for key in before if during[key] != before[key]}
    assert {"links", "routes", "nft", "mounts", "namespaces", "processes"} <= changed
    assert after == before


def test_up_again_boots_what_was_running_with_its_disk_and_address(sandbox: Sandbox) -> None:
    sandbox.up()
    assert names(sandbox) == {"vm": "RUNNING"}
    external = boot(sandbox, "vm2")
    sandbox.cli("ssh", "vm2", "sh", "-c", "echo kept > /root/note; sync")
    sandbox.cli("down")
    sandbox.up()
    assert names(sandbox) == {"vm": "RUNNING", "vm2": "RUNNING"}
    assert sandbox.cli("ssh", "vm2", "cat", "/root/note").stdout == "kept\n"
    document = json.loads(sandbox.cli("status", "--output", "json").stdout)
    addresses = {item["name"]: item["external_ip"] for item in document["instances"]}
    assert addresses["vm2"] == external


def test_a_second_up_is_no_error_and_a_different_port_is_refused(sandbox: Sandbox) -> None:
    sandbox.up()
    pid = sandbox.pid()
    again = sandbox.cli("up")
    assert f"pid {pid}" in again.stderr
    assert sandbox.pid() == pid
    other = sandbox.cli("up", "--port", "8999", check=False)
    assert other.returncode == 1
    assert "8461" in other.stderr


def test_two_ups_at_once_start_one_sandbox(sandbox: Sandbox) -> None:
    sandbox.cli("down")
    commands = [
        subprocess.Popen(
            [BIN / "cloudspill-sandbox", "up"],
            env=sandbox.base,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    ended = [(command.communicate(timeout=120)[1], command.returncode) for command in commands]
    assert [status for _, status in ended] == [0, 0], ended
    assert names(sandbox)["vm"] == "RUNNING"


def test_after_a_kill_the_next_up_works_and_nothing_acknowledged_is_lost(
    sandbox: Sandbox,
) -> None:
    sandbox.up()
    boot(sandbox, "witness")
    sandbox.kill()
    assert sandbox.cli("status", check=False).returncode == 3
    sandbox.up()
    assert names(sandbox)["witness"] == "RUNNING"
    assert sandbox.cli("ssh", "witness", "hostname").stdout.strip().startswith("witness")


def test_down_after_a_kill_gives_the_host_back(sandbox: Sandbox) -> None:
    sandbox.cli("down")
    before = host_footprint()
    sandbox.up()
    sandbox.kill()
    swept = sandbox.cli("down")
    assert "removed" in swept.stderr
    assert host_footprint() == before


def test_down_after_lives_that_were_killed_gives_the_host_back(sandbox: Sandbox) -> None:
    sandbox.cli("down")
    before = host_footprint()
    sandbox.up()
    assert "RUNNING" in names(sandbox).values()
    for _ in range(2):
        sandbox.kill()
        sandbox.up()
    sandbox.cli("down")
    assert host_footprint() == before


def test_reset_empties_the_cloud_and_keeps_it_running(sandbox: Sandbox) -> None:
    sandbox.up()
    assert names(sandbox)
    sandbox.cli("reset")
    assert names(sandbox) == {}
    assert list((sandbox.state_dir / "git").glob("*.git")), "published repositories stay"


def test_a_taken_port_is_named_and_nothing_is_changed(sandbox: Sandbox) -> None:
    sandbox.cli("down")
    before = host_footprint()
    with socket.create_server(("127.0.0.1", 8461)):
        refused = sandbox.cli("up", check=False)
    assert refused.returncode == 1
    assert "port 8461" in refused.stderr
    assert "--port" in refused.stderr
    assert host_footprint() == before


def test_a_missing_podman_is_named_with_its_package_before_anything_changes(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.cli("down")
    for folder in ("/usr/bin", "/usr/sbin"):
        for program in Path(folder).iterdir():
            if program.name != "podman" and not (tmp_path / program.name).exists():
                (tmp_path / program.name).symlink_to(program)
    before = host_footprint()
    refused = sandbox.run(
        str(BIN / "cloudspill-sandbox"), "up", check=False, extra={"PATH": str(tmp_path)}
    )
    assert refused.returncode == 1
    assert "podman" in refused.stderr
    assert "apt" in refused.stderr
    assert host_footprint() == before


def test_commands_for_a_sandbox_that_does_not_run_say_how_to_start_it(sandbox: Sandbox) -> None:
    sandbox.cli("down")
    for command in (["status"], ["env"], ["ssh", "vm"], ["serial", "vm"]):
        refused = sandbox.cli(*command, check=False)
        assert refused.returncode == 3, command
        assert "cloudspill-sandbox up" in refused.stderr


def test_a_client_environment_survives_without_leaking_secrets(sandbox: Sandbox) -> None:
    sandbox.up()
    key = sandbox.state_dir / "client" / "credentials.json"
    assert key.stat().st_mode & 0o777 == 0o600
    private = json.loads(key.read_text())["private_key"].splitlines()[1]
    assert private not in (sandbox.state_dir / "sandbox.log").read_text()
    assert (
        shutil.which("gcloud") is None
        or "vm" not in sandbox.client("gcloud", "compute", "instances", "list").stdout
    )
