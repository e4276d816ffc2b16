# SPDX-License-Identifier: GPL-3.0-or-later
"""Real machines made by one request, and one that an update restarts.

https://cloud.google.com/compute/docs/instances/multiple/about-bulk-creation,
https://cloud.google.com/compute/docs/instances/update-instance-properties
"""

from __future__ import annotations

import pytest

from cloudspill_sandbox.settings import Settings
from tests.lives.api import ZONE, Api, Json
from tests.lives.inventory import containers
from tests.system.sandbox import Sandbox, eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(280)]

SETTINGS = Settings(name="systest", port=8461)
INSTANCES = f"zones/{ZONE}/instances"
IMAGE = "projects/debian-cloud/global/images/family/debian-12"
BULK = {
    "count": "5",
    "namePattern": "many-#",
    "instanceProperties": {
        "machineType": "f1-micro",
        "disks": [{"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": IMAGE}}],
        "networkInterfaces": [{}],
    },
}


def ended(method: str, path: str, body: Json | None = None) -> Json:
    """Call, and return the operation when it has ended."""
    with Api(SETTINGS) as api:
        answer = api.call(method, path, body)
        assert answer.ok, answer.text
        operation = answer.json()["selfLink"].split("/", 7)[7]
        document: Json = api.call("POST", f"{operation}/wait").json()
    assert document["status"] == "DONE"
    return document


def instances() -> list[Json]:
    with Api(SETTINGS) as api:
        listed = api.get(INSTANCES)
    assert listed is not None
    return list(listed.get("items", []))


def says(sandbox: Sandbox, name: str, expected: str, *command: str) -> None:
    """Return when a command in a machine prints what is expected."""
    eventually(
        lambda: sandbox.cli("ssh", name, *command, check=False).stdout == expected,
        within=60,
        what=f"{expected.strip()} from {name}",
    )


def test_all_of_them_run_and_an_update_gives_one_another_size(running: Sandbox) -> None:
    operation = ended("POST", f"{INSTANCES}/bulkInsert", BULK)
    assert "error" not in operation
    names = [f"many-{number}" for number in range(1, 6)]
    assert [each["name"] for each in instances()] == names
    for name in names:
        says(running, name, f"{name}\n", "hostname")
    vm = instances()[0]
    running.cli("ssh", vm["name"], "sh", "-c", "echo kept >/var/kept; sync")
    vm["machineType"] = f"zones/{ZONE}/machineTypes/e2-small"
    path = f"{INSTANCES}/{vm['name']}?mostDisruptiveAllowedAction=RESTART"
    assert "error" not in ended("PUT", path, vm)
    limit = "cat /sys/fs/cgroup/memory.max 2>/dev/null || "
    limit += "cat /sys/fs/cgroup/memory/memory.limit_in_bytes"
    says(running, vm["name"], f"{2048 << 20}\n", "sh", "-c", limit)
    assert running.cli("ssh", vm["name"], "cat", "/var/kept").stdout == "kept\n"
    for name in names:
        ended("DELETE", f"{INSTANCES}/{name}")
    assert instances() == []


def test_one_that_finds_no_room_takes_all_with_it(running: Sandbox) -> None:
    running.cli("faults", "add", "stock-out", "--match", "many-3")
    operation = ended("POST", f"{INSTANCES}/bulkInsert", BULK)
    codes = [each["code"] for each in operation["error"]["errors"]]
    assert codes == ["VM_MIN_COUNT_NOT_REACHED", "ZONE_RESOURCE_POOL_EXHAUSTED"]
    assert instances() == []
    assert not containers(SETTINGS)
