# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine in two networks, between a neighbour in each.

https://cloud.google.com/vpc/docs/multiple-interfaces-concepts
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from cloudspill_sandbox.network.addressing import NAMESPACES
from cloudspill_sandbox.network.namespaces import exists
from cloudspill_sandbox.settings import Settings
from tests.lives.api import REGION, ZONE, Api, Json
from tests.system.sandbox import Sandbox, eventually, page

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(280)]

SETTINGS = Settings(name="systest", port=8461)
INSTANCES = f"zones/{ZONE}/instances"
IMAGE = "projects/debian-cloud/global/images/family/debian-12"
PAGE = "#!/bin/sh\nmkdir /run/page && cd /run/page && hostname >index.html\n"
PAGE += "systemd-run --working-directory=/run/page python3 -m http.server 5000\n"
ECHO = """
import socket
listener = socket.create_server(("", 5001))
while True:
    accepted, _ = listener.accept()
    while data := accepted.recv(99):
        accepted.sendall(data)
"""
"""Says what it hears, to one after another."""
TALK = """
import pathlib, socket, sys, time
with socket.create_connection((sys.argv[1], 5001), timeout=60) as opened:
    for number in range(10000):
        opened.sendall(b"%d" % number)
        assert opened.recv(99) == b"%d" % number
        pathlib.Path("/run/heard").write_text(str(number))
        time.sleep(0.1)
"""
"""Goes on for as long as every word of one connection comes back."""
FRONT = {"network": "global/networks/default", "accessConfigs": [{}]}
BACK = {"subnetwork": f"regions/{REGION}/subnetworks/back"}


def done(method: str, path: str, body: Json | None = None) -> None:
    """Call, and wait for the operation to end well."""
    with Api(SETTINGS) as api:
        answer = api.call(method, path, body)
        assert answer.ok, answer.text
        operation = answer.json()["selfLink"].split("/", 7)[7]
        ended = api.call("POST", f"{operation}/wait").json()
    assert (ended["status"], "error" in ended) == ("DONE", False), ended


def instance(name: str) -> Json:
    with Api(SETTINGS) as api:
        found = api.get(f"{INSTANCES}/{name}")
    assert found is not None
    return found


def make(name: str, *interfaces: dict[str, Any]) -> None:
    done(
        "POST",
        INSTANCES,
        {
            "name": name,
            "machineType": f"zones/{ZONE}/machineTypes/e2-micro",
            "disks": [
                {"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": IMAGE}}
            ],
            "networkInterfaces": list(interfaces),
            "metadata": {"items": [{"key": "startup-script", "value": PAGE}]},
        },
    )


def make_network(name: str, ip_range: str) -> None:
    """Make a custom network with a subnetwork of its name."""
    done("POST", "global/networks", {"name": name, "autoCreateSubnetworks": False})
    body = {"name": name, "network": f"global/networks/{name}", "ipCidrRange": ip_range}
    done("POST", f"regions/{REGION}/subnetworks", body)


def rule(network: str) -> Json:
    """Return a rule that lets anybody reach the page."""
    allowed = [{"IPProtocol": "tcp", "ports": ["5000", "5001"]}]
    return {"name": network, "network": f"global/networks/{network}", "allowed": allowed}


def addresses() -> list[str]:
    return [each["networkIP"] for each in instance("both")["networkInterfaces"]]


@pytest.fixture(scope="module")
def lab(running: Sandbox) -> Sandbox:
    """`both` in the networks default and back, `left` in default alone, `right` in back alone."""
    make_network("back", "10.77.4.0/24")
    make("both", FRONT, BACK)
    make("left", FRONT)
    make("right", BACK)
    return running


def run(lab: Sandbox, name: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a machine, as root."""
    return lab.cli("ssh", name, *command, check=False)


def reaches(lab: Sandbox, name: str, address: str) -> bool:
    """Whether a machine gets the page of `both` at an address."""
    patience = ("--connect-timeout", "2", "-m", "30")  # who lets it in may be slow to answer
    fetched = run(lab, name, "curl", "-sf", *patience, f"http://{address}:5000/")
    return fetched.stdout.strip() == "both"


def boot(lab: Sandbox) -> str:
    shown = run(lab, "both", "systemctl", "show", "-P", "UserspaceTimestampMonotonic")
    return shown.stdout.strip()


def kill_and_raise(lab: Sandbox) -> None:
    """End the sandbox's process by SIGKILL, and start another life of it."""
    lab.kill()
    lab.up()


def test_either_neighbour_reaches_the_page_by_the_rules_of_its_own_network(lab: Sandbox) -> None:
    front, back = addresses()
    eventually(lambda: reaches(lab, "left", front), within=60, what="the page in default")
    assert not reaches(lab, "right", back)  # nothing lets it in
    done("POST", "global/firewalls", rule("back"))
    eventually(lambda: reaches(lab, "right", back), within=10, what="the page in back")
    assert not reaches(lab, "left", back)
    assert not reaches(lab, "right", front)


def test_the_machine_knows_both_interfaces_and_its_name_leads_to_the_first(lab: Sandbox) -> None:
    front, back = addresses()
    shown = run(lab, "both", "ip", "-br", "address").stdout.split()
    assert f"{front}/32" in shown
    assert f"{back}/32" in shown
    assert run(lab, "both", "ip", "route", "get", "8.8.8.8").stdout.split()[4] == "eth0"
    metadata = "http://metadata.google.internal/computeMetadata/v1/instance/network-interfaces"
    header = "Metadata-Flavor:Google"
    for number, address in enumerate((front, back)):
        told = run(lab, "both", "curl", "-sf", "-H", header, f"{metadata}/{number}/ip")
        assert told.stdout == address
    assert run(lab, "left", "getent", "ahostsv4", "both").stdout.split()[0] == front
    assert run(lab, "right", "getent", "ahostsv4", "both").returncode != 0
    assert run(lab, "both", "systemctl", "--failed", "--no-legend").stdout == ""


def test_a_killed_sandbox_finds_it_running_with_both(lab: Sandbox) -> None:
    before, known = boot(lab), instance("both")["networkInterfaces"]
    kill_and_raise(lab)
    assert (boot(lab), instance("both")["networkInterfaces"]) == (before, known)
    assert reaches(lab, "left", addresses()[0])
    assert reaches(lab, "right", addresses()[1])


def heard(lab: Sandbox) -> int:
    """Return how far the talk of `right` with `both` has come; it must be under way."""
    assert run(lab, "right", "systemctl", "is-active", "talk").stdout.strip() == "active"
    return int(run(lab, "right", "cat", "/run/heard").stdout or -1)


def test_neither_a_wider_subnetwork_nor_forwarding_cuts_it_off(lab: Sandbox) -> None:
    """https://cloud.google.com/vpc/docs/create-modify-vpc-networks#expand-subnet"""
    before, (_, back) = boot(lab), addresses()
    run(lab, "both", "systemd-run", "python3", "-c", ECHO)
    eventually(
        lambda: bool(run(lab, "both", "ss", "-Hltn", "sport", "=", ":5001").stdout),
        within=20,
        what="the echo listens",
    )
    run(lab, "right", "systemd-run", "--unit", "talk", "python3", "-c", TALK, back)
    eventually(lambda: heard(lab) > 0, within=20, what="the talk begins")
    body = {"ipCidrRange": "10.77.0.0/16"}
    done("POST", f"regions/{REGION}/subnetworks/back/expandIpCidrRange", body)
    make("wide", BACK)
    wide = instance("wide")["networkInterfaces"][0]["networkIP"]
    assert wide == "10.77.0.2"  # where no address was before
    for verb in ("suspend", "resume"):
        done("POST", f"{INSTANCES}/both/{verb}")
    done("PUT", f"{INSTANCES}/both", instance("both") | {"canIpForward": True})
    kill_and_raise(lab)
    eventually(lambda: reaches(lab, "wide", back), within=60, what="the page in the wider range")
    shown = run(lab, "both", "ip", "-br", "route", "show", "dev", "eth1").stdout.split("\n")
    assert [line.split()[:3] for line in shown if line] == [
        ["10.77.0.0/16", "via", "10.77.0.1"],
        ["10.77.0.1", "scope", "link"],
    ]
    said = heard(lab)
    eventually(lambda: heard(lab) > said, within=20, what="the talk goes on")
    assert boot(lab) == before
    done("DELETE", f"{INSTANCES}/wide")


def test_both_addresses_outlive_a_stop_and_a_start(lab: Sandbox) -> None:
    before = addresses()
    done("POST", f"{INSTANCES}/both/stop")
    done("POST", f"{INSTANCES}/both/start")
    assert addresses() == before
    eventually(lambda: reaches(lab, "left", before[0]), within=60, what="the page in default")
    eventually(lambda: reaches(lab, "right", before[1]), within=10, what="the page in back")


def test_a_stopped_machine_s_interface_moves(lab: Sandbox) -> None:
    make_network("third", "10.78.0.0/24")
    done("POST", "global/firewalls", rule("third"))
    back = addresses()[1]
    done("POST", f"{INSTANCES}/both/stop")
    moved = {"fingerprint": instance("both")["networkInterfaces"][0]["fingerprint"]}
    moved["subnetwork"] = f"regions/{REGION}/subnetworks/third"
    done("PATCH", f"{INSTANCES}/both/updateNetworkInterface?networkInterface=nic0", moved)
    done("POST", f"{INSTANCES}/both/start")
    assert addresses() == ["10.78.0.2", back]
    external = instance("both")["networkInterfaces"][0]["accessConfigs"][0]["natIP"]
    eventually(lambda: page(external) == (200, "both\n"), within=60, what="the moved page")
    assert reaches(lab, "right", back)
    assert not reaches(lab, "left", addresses()[0])


def test_deleted_machines_leave_no_namespace_and_no_link(lab: Sandbox) -> None:
    for name in ("both", "left", "right"):
        done("DELETE", f"{INSTANCES}/{name}")
    left = [path for path in Path(NAMESPACES).glob("systest-*") if exists(path)]
    assert [path.name for path in left] == ["systest-vpc"]
    links = subprocess.run(
        ["ip", "-n", "systest-vpc", "-br", "link"], check=True, capture_output=True, text=True
    )
    assert {line.split("@")[0].split()[0] for line in links.stdout.splitlines()} == {"lo", "wan"}
