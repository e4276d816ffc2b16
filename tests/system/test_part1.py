# SPDX-License-Identifier: GPL-3.0-or-later
"""Part 1 as a person lives it: one machine from nothing to the page, and back to nothing.

The tests tell one story in order; each begins where the one before it ended.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
from pathlib import Path

import pytest

from tests.system.sandbox import Sandbox, eventually, opens, page

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(280)]

INSTANCE = "flask-1"
ZONE = "us-west1-b"


@pytest.fixture(scope="module", autouse=True)
def before(running: Sandbox) -> dict[str, list[str]]:
    """What the project held before part 1."""
    return running.resources()


def hostvars(sandbox: Sandbox) -> dict[str, str]:
    """What the inventory knows of the instance."""
    known: dict[str, str] = json.loads(sandbox.run("ansible-inventory", "--host", INSTANCE).stdout)
    return known


def address(sandbox: Sandbox) -> str:
    """The instance's external address."""
    return hostvars(sandbox)["ansible_host"]


def in_guest(sandbox: Sandbox, *command: str) -> str:
    """Run a command as root by the machine's console, which needs no network."""
    return sandbox.cli("ssh", INSTANCE, *command).stdout


def ad_hoc(
    sandbox: Sandbox, *arguments: str, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run one Ansible module on the instance over ssh."""
    return sandbox.run("ansible", INSTANCE, "-b", *arguments, check=check)


@pytest.mark.slow
def test_check_mode_says_what_it_would_make_and_makes_nothing(
    running: Sandbox, before: dict[str, list[str]]
) -> None:
    play = running.play("part1.yml", "--check")
    assert play.status == 0, play.output
    for name in (INSTANCE, "allow-5000"):
        assert re.search(rf"would make .*{name}", play.output), play.output
    assert running.resources() == before


def test_the_port_is_closed_before_rule_and_tag(running: Sandbox) -> None:
    made = running.play(
        "part1.yml", "--tags", "always,image,instance", "-e", '{"instance_tags": []}'
    )
    assert made.status == 0, made.output
    eventually(
        lambda: "200" in in_guest(running, "sh", "-c", LOCAL_STATUS),
        within=120,
        what="the application answers inside the instance",
    )
    assert not opens(address(running), 5000)


LOCAL_STATUS = "curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:5000/ || true"


def test_part_1_opens_the_page_and_it_is_the_applications(running: Sandbox) -> None:
    play = running.play("part1.yml")
    assert play.status == 0, play.output
    url = f"http://{address(running)}:5000/"
    assert url in play.output
    status, body = page(address(running))
    assert status == 200
    assert "The database of this machine is set up." in body
    assert f"from {INSTANCE}" in body


def test_a_second_run_changes_nothing(running: Sandbox) -> None:
    play = running.play("part1.yml")
    assert (play.status, play.changed) == (0, 0), play.output


def test_the_port_closes_with_the_tag_and_opens_with_it_again(running: Sandbox) -> None:
    external = address(running)
    running.client(
        "gcloud",
        "compute",
        "instances",
        "remove-tags",
        INSTANCE,
        "--zone",
        ZONE,
        "--tags",
        "allow-5000",
    )
    assert not opens(external, 5000)
    assert opens(external, 22), "the machine itself still answers"
    play = running.play("part1.yml")
    assert play.status == 0, play.output
    assert play.changed == 1
    assert page(external)[0] == 200


def test_ssh_verifies_the_key_that_the_instance_published(running: Sandbox) -> None:
    external = address(running)
    offered = running.run("ssh-keyscan", "-t", "ed25519", external).stdout.split()[2]
    published = running.client(
        "gcloud",
        "compute",
        "instances",
        "get-guest-attributes",
        INSTANCE,
        "--zone",
        ZONE,
        "--query-path",
        "hostkeys/ssh-ed25519",
        "--format",
        "value(value)",
    ).stdout.split()
    assert offered in published
    assert "SUCCESS" in ad_hoc(running, "-m", "ansible.builtin.ping").stdout


def test_ssh_refuses_a_machine_with_another_host_key(running: Sandbox) -> None:
    replace = "rm /etc/ssh/ssh_host_*; ssh-keygen -q -A; systemctl restart ssh"
    keep = "cp -a /etc/ssh /root/ssh.kept"
    restore = (
        "rm /etc/ssh/ssh_host_*; cp -a /root/ssh.kept/ssh_host_* /etc/ssh/; systemctl restart ssh"
    )
    fresh = {"ANSIBLE_SSH_ARGS": "-o ControlMaster=no -o ControlPath=none"}
    in_guest(running, "sh", "-c", keep)
    try:
        in_guest(running, "sh", "-c", replace)
        refused = running.run(
            "ansible", INSTANCE, "-m", "ansible.builtin.ping", check=False, extra=fresh
        )
    finally:
        in_guest(running, "sh", "-c", restore)
    assert refused.returncode != 0
    assert "UNREACHABLE" in refused.stdout
    assert "Host key verification failed" in refused.stdout + refused.stderr
    accepted = running.run("ansible", INSTANCE, "-m", "ansible.builtin.ping", extra=fresh)
    assert "SUCCESS" in accepted.stdout


def test_googles_own_clients_list_what_ansible_made(running: Sandbox) -> None:
    listed = running.client("gcloud", "compute", "instances", "list", "--format", "json")
    (instance,) = json.loads(listed.stdout)
    assert instance["name"] == INSTANCE
    assert instance["machineType"].endswith(f"/zones/{ZONE}/machineTypes/f1-micro")
    assert instance["labels"]["cloudspill-run"] == "default"
    assert running.resources()["instances"] == [INSTANCE]


def test_the_page_comes_back_after_a_reboot_from_inside(running: Sandbox) -> None:
    external = address(running)
    boot_id = "/proc/sys/kernel/random/boot_id"
    started = in_guest(running, "stat", "-c", "%Y", "/run/systemd")
    before = in_guest(running, "cat", boot_id)
    # Knows by the boot id that the machine has been away, and waits no longer than this.
    ad_hoc(running, "-m", "ansible.builtin.reboot", "-a", "reboot_timeout=60")
    eventually(lambda: page(external)[0] == 200, within=60, what="the page comes back")
    assert address(running) == external
    assert in_guest(running, "stat", "-c", "%Y", "/run/systemd") != started
    after = in_guest(running, "cat", boot_id)
    assert after != before
    newest = in_guest(running, "journalctl", "-b", "-n", "1", "-o", "json")
    assert json.loads(newest)["_BOOT_ID"] == after.strip().replace("-", "")


def test_the_instance_reaches_googles_api_as_itself_and_not_the_host(running: Sandbox) -> None:
    token = in_guest(
        running,
        "curl",
        "-sf",
        "-H",
        "Metadata-Flavor: Google",
        "http://metadata.google.internal/computeMetadata/v1/instance/name",
    )
    assert token == INSTANCE
    refused = running.cli(
        "ssh", INSTANCE, "curl", "-s", "--max-time", "3", "http://198.19.255.254:22/", check=False
    )
    assert refused.returncode != 0, "the host's own services are out of reach"


def own_address(external: str) -> str:
    """The address from which this host reaches another."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((external, 22))
        return str(probe.getsockname()[0])


def ranges(name: str, port: int, source: str) -> list[str]:
    """The options by which the role `firewall` opens a port to one address alone."""
    rule = {"name": name, "ports": [str(port)], "source_ranges": [f"{source}/32"]}
    given = {f"firewall_{key}": value for key, value in rule.items()}
    return ["-e", json.dumps({**given, "firewall_target_tags": ["allow-5000"]})]


@pytest.mark.slow
def test_port_and_ssh_are_open_to_the_callers_address_alone_if_that_is_wanted(
    running: Sandbox,
) -> None:
    external = address(running)
    everybody = ["gcloud", "compute", "firewall-rules", "update", "default-allow-ssh"]
    only = ["--tags", "firewall"]
    running.client(*everybody, "--disabled")
    try:
        for source, answers in (("203.0.113.7", False), (own_address(external), True)):
            for name, port in (("allow-5000", 5000), ("allow-ssh", 22)):
                play = running.play("part1.yml", *only, *ranges(name, port, source))
                assert play.status == 0, play.output
                assert opens(external, port) is answers, (source, port)
    finally:
        running.client(*everybody, "--no-disabled")
    assert running.play("part1.yml", *only).status == 0


@pytest.mark.slow
def test_absent_takes_the_application_off_the_machine_and_present_brings_it_back(
    running: Sandbox,
) -> None:
    external = address(running)
    only = ["--tags", "flask_app", "-e", "flask_app_delivery=ssh"]
    absent = [*only, "-e", "flask_app_state=absent"]
    removed = running.play("part1.yml", *absent)
    assert removed.status == 0, removed.output
    assert removed.changed == 1
    assert page(external)[0] == 0
    left = in_guest(running, "sh", "-c", "ls /opt; systemctl list-unit-files; cat /etc/passwd")
    assert "flask-app" not in left
    again = running.play("part1.yml", *absent)
    assert (again.status, again.changed) == (0, 0), again.output
    back = running.play("part1.yml", *only)
    assert (back.status, back.changed) == (0, 1), back.output
    assert page(external)[0] == 200


@pytest.mark.slow
def test_a_failing_startup_script_is_reported_with_its_log(running: Sandbox) -> None:
    play = running.play(
        "part1.yml",
        *("-e", "instance_name=broken-1"),
        *("-e", "flask_app_repository=https://git.cloudspill.internal/absent.git"),
    )
    assert play.status != 0
    assert "cloudspill: FAILED" in play.output
    assert "absent.git" in play.output


def test_teardown_leaves_the_project_as_it_was_and_can_be_run_twice(
    running: Sandbox, before: dict[str, list[str]]
) -> None:
    first = running.play("teardown.yml")
    assert first.status == 0, first.output
    assert first.changed > 0
    assert running.resources() == before
    second = running.play("teardown.yml")
    assert (second.status, second.changed) == (0, 0), second.output


def test_without_a_running_sandbox_the_error_names_the_command_that_starts_it(
    running: Sandbox, tmp_path: Path
) -> None:
    running.cli("down")
    play = running.play("part1.yml")
    assert play.status != 0
    assert "make up" in play.output
    assert "Traceback" not in play.output
