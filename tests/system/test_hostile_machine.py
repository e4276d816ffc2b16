# SPDX-License-Identifier: GPL-3.0-or-later
"""Root of a real machine reaches its own metadata, and the API with its own token: no more.

What it cannot reach on the network is in network/test_hostile_guest.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from tests.system.sandbox import Sandbox, eventually, opens
from tests.system.test_faults import create

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(280)]

METADATA = "http://metadata.google.internal/computeMetadata/v1/"
INSTANCES = (
    "https://compute.googleapis.com/compute/v1/projects/cloudspill-sandbox/zones/{}/instances"
)
HERE = INSTANCES.format("us-west1-b")
RAW_SOCKETS = """
import socket
for kind in ((socket.AF_PACKET, socket.SOCK_RAW, 0x300), (socket.AF_INET, socket.SOCK_RAW, 1),
             (socket.AF_INET, socket.SOCK_RAW, 255)):
    try:
        socket.socket(*kind)
    except PermissionError:
        print("refused")
    else:
        print("open", kind)
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """An instance, as its root sees the world."""

    sandbox: Sandbox
    name: str
    internal_ip: str

    def run(self, *words: str) -> tuple[int, str]:
        """Run a command as root, over the console."""
        done = self.sandbox.cli("ssh", self.name, *words, check=False)
        return done.returncode, done.stdout + done.stderr

    def fetch(self, url: str, *options: str) -> tuple[str, str]:
        """Return status (000 for no answer) and body of what curl gets."""
        patience = ("--connect-timeout", "5", "-m", "60")
        words = ("curl", "-s", *patience, "-w", "\n%{http_code}", *options, url)
        body, _, status = self.run(*words)[1].rpartition("\n")
        return status, body

    def metadata(self, path: str, *options: str) -> tuple[str, str]:
        """Ask the metadata server."""
        return self.fetch(METADATA + path, "-H", "Metadata-Flavor: Google", *options)


def machine(sandbox: Sandbox, name: str, *options: str) -> Machine:
    external = create(sandbox, name, *options)
    eventually(lambda: opens(external, 22), 60, f"{name} answers on port 22")
    shown = json.loads(sandbox.cli("status", "--output", "json").stdout)["instances"]
    internal = next(each["internal_ip"] for each in shown if each["name"] == name)
    return Machine(sandbox, name, internal)


@pytest.fixture(scope="module")
def victim(running: Sandbox) -> Machine:
    return machine(
        running, "victim", "--scopes", "compute-ro", "--metadata", "secret=of-the-victim"
    )


@pytest.fixture(scope="module")
def thief(running: Sandbox, victim: Machine) -> Machine:
    return machine(running, "thief", "--no-service-account", "--no-scopes")


def test_root_has_no_raw_sockets(thief: Machine) -> None:
    assert thief.run("python3", "-c", RAW_SOCKETS) == (0, "refused\n" * 3)


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_ping_needs_none(thief: Machine, victim: Machine, user: str) -> None:
    once = ("ping", "-q", "-c", "1", "-W", "5", victim.internal_ip)
    status, said = thief.run("runuser", "-u", user, "--", *once)
    assert status == 0, said


def test_an_address_that_root_takes_is_nobody_s(thief: Machine, victim: Machine) -> None:
    thief.run("ip", "address", "add", f"{victim.internal_ip}/32", "dev", "eth0")
    thief.run("ip", "address", "add", f"{victim.internal_ip}/32", "dev", "lo")
    stolen = thief.metadata("instance/name", "--interface", victim.internal_ip)
    assert stolen == ("000", "")
    assert thief.metadata("instance/name") == ("200", "thief")
    assert victim.metadata("instance/attributes/secret") == ("200", "of-the-victim")


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "Host"])
def test_no_header_makes_it_somebody_else(thief: Machine, victim: Machine, header: str) -> None:
    status, body = thief.metadata("instance/name", "-H", f"{header}: {victim.internal_ip}")
    assert status == "403" or body == "thief"
    assert "victim" not in body


def test_without_an_account_there_is_no_token_and_no_api(thief: Machine) -> None:
    assert thief.metadata("instance/service-accounts/default/token")[0] == "404"
    for token in ("", "none", "eyJhbGciOiJub25lIn0.eyJpc3MiOiJhQGIifQ."):
        status, body = thief.fetch(HERE, "-H", f"Authorization: Bearer {token}")
        assert status == "401"
        assert "victim" not in body


def test_its_own_token_is_good_for_its_own_scopes(victim: Machine) -> None:
    status, body = victim.metadata("instance/service-accounts/default/token")
    assert status == "200"
    bearer = ("-H", f"Authorization: Bearer {json.loads(body)['access_token']}")
    assert victim.fetch(HERE, *bearer)[0] == "200"
    status, body = victim.fetch(f"{HERE}/thief", *bearer, "-X", "DELETE")
    assert status == "403"
    assert "insufficient authentication scopes" in body
    assert victim.fetch(HERE.replace("cloudspill-sandbox", "elsewhere"), *bearer)[0] in (
        "403",
        "404",
    )


def test_root_cannot_reach_the_sandbox_s_own_sockets(thief: Machine) -> None:
    status, listed = thief.run("ls", "/run/cloudspill", "/var/lib/cloudspill")
    assert status != 0
    assert "admin.sock" not in listed
