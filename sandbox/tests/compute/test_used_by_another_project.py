# SPDX-License-Identifier: GPL-3.0-or-later
"""What one project has and another one uses: it stays as long as that does.

A subnetwork's instances may be another project's: https://cloud.google.com/vpc/docs/shared-vpc.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from cloudspill_sandbox.compute import names
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.service import compute_service
from cloudspill_sandbox.engine.discovery import Api
from cloudspill_sandbox.settings import Settings

from .conftest import UBUNTU, ZONE, Client, MakeCloud
from .test_copies import Held

HOST, GUEST = "host-project", "guest-project"
NETWORK = f"projects/{HOST}/global/networks/shared"
SUBNETWORK = f"projects/{HOST}/regions/us-west1/subnetworks/shared"
INTERFACE = {"network": NETWORK, "subnetwork": SUBNETWORK}

USERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "address": (
        "addresses",
        f"projects/{GUEST}/regions/us-west1/addresses/user",
        {"addressType": "INTERNAL", "subnetwork": SUBNETWORK},
    ),
    "instance": (
        "instances",
        f"projects/{GUEST}/zones/{ZONE}/instances/user",
        {"networkInterfaces": [INTERFACE]},
    ),
}


@pytest.fixture
async def latency() -> AsyncIterator[Held]:
    profile = Held()
    yield profile
    profile.end_waits()


@pytest.fixture
async def cloud(make_cloud: MakeCloud, latency: Held) -> Cloud:
    return await make_cloud(latency=latency, settings=Settings(projects=(HOST, GUEST)))


def _client(cloud: Cloud, compute: Api, project: str) -> Client:
    own = cloud.of(project)
    assert own is not None
    return Client(own, compute_service(cloud), compute)


@pytest.fixture
async def host(cloud: Cloud, compute: Api) -> Client:
    """Calls of the project that has the network `shared`, in automatic mode."""
    client = _client(cloud, compute, HOST)
    await client.done("networks.insert", {"name": "shared"})
    return client


@pytest.fixture
def guest(cloud: Cloud, compute: Api) -> Client:
    """Calls of the other project."""
    return _client(cloud, compute, GUEST)


async def _use(guest: Client, spec: Any, kind: str) -> str:
    """Let the other project use the network; return the name of what does."""
    collection, name, fields = USERS[kind]
    body = spec("user", **fields) if kind == "instance" else {"name": "user"} | fields
    await guest.done(f"{collection}.insert", body)
    return name


@pytest.mark.parametrize("kind", USERS)
async def test_a_network_stays(host: Client, guest: Client, spec: Any, kind: str) -> None:
    user = await _use(guest, spec, kind)
    refusal = await host.refused("networks.delete", network="shared")
    assert refusal.message == f"The network resource '{NETWORK}' is already being used by '{user}'"
    await guest.done(f"{USERS[kind][0]}.delete", **{kind: "user"})
    await host.done("networks.delete", network="shared")


async def test_a_network_stays_with_a_rule_that_an_earlier_release_took(
    host: Client, guest: Client
) -> None:
    await guest.done("firewalls.insert", {"name": "user", "allowed": [{"IPProtocol": "tcp"}]})
    rule = f"projects/{GUEST}/global/firewalls/user"
    store = guest.cloud.store
    store.put(rule, (store.get(rule) or {}) | {"network": names.link(NETWORK)})
    refusal = await host.refused("networks.delete", network="shared")
    assert refusal.message == f"The network resource '{NETWORK}' is already being used by '{rule}'"
    await guest.done("firewalls.delete", firewall="user")
    await host.done("networks.delete", network="shared")


@pytest.mark.parametrize("kind", USERS)
async def test_a_subnetwork_stays(host: Client, guest: Client, spec: Any, kind: str) -> None:
    await host.done("networks.switchToCustomMode", network="shared")
    user = await _use(guest, spec, kind)
    refusal = await host.refused("subnetworks.delete", subnetwork="shared")
    used = f"The subnetwork resource '{SUBNETWORK}' is already being used"
    assert refusal.message == f"{used} by '{user}'"
    await guest.done(f"{USERS[kind][0]}.delete", **{kind: "user"})
    await host.done("subnetworks.delete", subnetwork="shared")


async def test_an_automatic_subnetwork_is_the_one_of_the_network_s_project(
    host: Client, guest: Client, spec: Any
) -> None:
    """Though the other project has networks of the same name, as both have `default`."""
    await guest.done("networks.insert", {"name": "shared"})
    await guest.done("instances.insert", spec("user", networkInterfaces=[{"network": NETWORK}]))
    (interface,) = (await guest.instance("user"))["networkInterfaces"]
    there = await host.call("subnetworks.get", subnetwork="shared")
    assert interface["subnetwork"] == there["selfLink"]
    assert interface["network"] == there["network"]


async def test_a_subnetwork_grows_into_none_of_an_instance_s_others(
    host: Client, guest: Client, spec: Any
) -> None:
    """https://cloud.google.com/vpc/docs/multiple-interfaces-concepts#specifications"""
    await guest.done("networks.insert", {"name": "own", "autoCreateSubnetworks": False})
    sub = {"name": "own", "network": "global/networks/own", "ipCidrRange": "10.139.0.0/24"}
    await guest.done("subnetworks.insert", sub)
    own = {"network": "global/networks/own", "subnetwork": "regions/us-west1/subnetworks/own"}
    two = spec("user", networkInterfaces=[INTERFACE, own])
    await guest.done("instances.insert", two)
    wider = {"ipCidrRange": "10.136.0.0/14"}
    await host.done("networks.switchToCustomMode", network="shared")
    refusal = await host.refused("subnetworks.expandIpCidrRange", wider, subnetwork="shared")
    assert "It overlaps the range of nic1 of the instance 'user'" in refusal.message


async def test_a_snapshot_stays_while_it_is_copied(
    host: Client, guest: Client, latency: Held
) -> None:
    await host.done("disks.insert", {"name": "d", "sourceImage": UBUNTU})
    await host.done("disks.createSnapshot", {"name": "s"}, disk="d")
    snapshot = f"projects/{HOST}/global/snapshots/s"
    latency.held = "disks.insert.volume"
    making = await guest.call("disks.insert", {"name": "copy", "sourceSnapshot": snapshot})
    refusal = await host.refused("snapshots.delete", snapshot="s")
    copy = f"projects/{GUEST}/zones/{ZONE}/disks/copy"
    used = f"The snapshot resource '{snapshot}' is already being used"
    assert refusal.message == f"{used} by '{copy}'"
    latency.end_waits()
    ended = await guest.call("zoneOperations.wait", operation=making["name"])
    assert "error" not in ended
    await host.done("snapshots.delete", snapshot="s")
    disk = await guest.call("disks.get", disk="copy")
    assert disk["sourceSnapshotId"]
    assert (
        "sourceSnapshot" not in disk
    )  # https://cloud.google.com/compute/docs/reference/rest/v1/disks
