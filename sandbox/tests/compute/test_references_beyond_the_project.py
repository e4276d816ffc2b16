# SPDX-License-Identifier: GPL-3.0-or-later
"""What a request may name of another project, and what it may not.

Networks may be another project's for instances and addresses
(https://cloud.google.com/vpc/docs/shared-vpc); what one is made of, too
(https://cloud.google.com/compute/docs/images/managing-access-custom-images,
https://cloud.google.com/compute/docs/disks/manage-snapshots#sharing_snapshots).
"""

from __future__ import annotations

from typing import Any

import pytest

from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.service import compute_service
from cloudspill_sandbox.engine.discovery import Api
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.settings import Settings, number_of

from .conftest import UBUNTU, ZONE, Client, MakeCloud

OWN, OTHER = "own-project", "other-project"
NETWORK = f"projects/{OTHER}/global/networks/default"
NETWORKS = [
    NETWORK,
    f"https://www.googleapis.com/compute/v1/{NETWORK}",
    f"projects/{number_of(OTHER)}/global/networks/default",
    f"projects/{OTHER}/global/networks/missing",
    "projects/no-such-project/global/networks/default",
]
DISK = f"projects/{OTHER}/zones/{ZONE}/disks/d"
RULE = {"name": "rule", "allowed": [{"IPProtocol": "tcp"}]}


@pytest.fixture
async def cloud(make_cloud: MakeCloud) -> Cloud:
    return await make_cloud(settings=Settings(projects=(OWN, OTHER)))


def _client(cloud: Cloud, compute: Api, project: str) -> Client:
    own = cloud.of(project)
    assert own is not None
    return Client(own, compute_service(cloud), compute)


@pytest.fixture
def own(cloud: Cloud, compute: Api) -> Client:
    return _client(cloud, compute, OWN)


@pytest.fixture
async def other(cloud: Cloud, compute: Api) -> Client:
    """Calls of the other project, which has the disk `d`, with a system on it."""
    client = _client(cloud, compute, OTHER)
    await client.done("disks.insert", {"name": "d", "sourceImage": UBUNTU})
    return client


def _check_network_refused(refusal: ApiError, network: str) -> None:
    """The words of a real answer:
    https://github.com/kubernetes/ingress-gce/issues/1085."""
    assert (refusal.status, refusal.reason) == (400, "invalid")
    assert refusal.message == (
        f"Invalid value for field 'resource.network': '{network}'. "
        "Cross project referencing is not allowed for this resource."
    )


@pytest.mark.parametrize("reference", NETWORKS)
async def test_a_firewall_rule_is_of_its_network_s_project(own: Client, reference: str) -> None:
    refusal = await own.refused("firewalls.insert", RULE | {"network": reference})
    _check_network_refused(refusal, reference)


@pytest.mark.parametrize("verb", ["patch", "update"])
async def test_a_firewall_rule_stays_in_its_project(own: Client, verb: str) -> None:
    await own.done("firewalls.insert", RULE)
    body = RULE | {"network": NETWORK}
    _check_network_refused(await own.refused(f"firewalls.{verb}", body, firewall="rule"), NETWORK)


@pytest.mark.parametrize("project", [OWN, number_of(OWN)])
async def test_a_firewall_rule_may_name_its_own_project(own: Client, project: str | int) -> None:
    network = f"projects/{project}/global/networks/default"
    await own.done("firewalls.insert", RULE | {"network": network})
    found = await own.call("firewalls.get", firewall="rule")
    assert found["network"].endswith(f"/projects/{OWN}/global/networks/default")


async def test_a_subnetwork_is_of_its_network_s_project(own: Client, other: Client) -> None:
    """https://cloud.google.com/vpc/docs/shared-vpc: the host project has the network and its
    subnetworks. The words are those for the same field of a firewall rule."""
    await other.done("networks.insert", {"name": "custom", "autoCreateSubnetworks": False})
    network = f"projects/{OTHER}/global/networks/custom"
    body = {"name": "sub", "network": network, "ipCidrRange": "10.1.0.0/24"}
    _check_network_refused(await own.refused("subnetworks.insert", body), network)


def _check_disk_refused(refusal: ApiError, field: str) -> None:
    """See `refusals.disk_of_another_project` for who was answered that."""
    assert (refusal.status, refusal.reason) == (400, "invalid")
    assert refusal.message == (
        f"Invalid value for field '{field}': '{DISK}'. "
        "Cross-project references for this resource are not allowed."
    )


@pytest.mark.usefixtures("other")
async def test_an_instance_starts_with_no_disk_of_another_project(own: Client, spec: Any) -> None:
    body = spec("vm", disks=[{"boot": True, "source": DISK}])
    _check_disk_refused(await own.refused("instances.insert", body), "resource.disks[0].source")


@pytest.mark.usefixtures("other")
async def test_an_instance_is_given_no_disk_of_another_project(own: Client, spec: Any) -> None:
    await own.done("instances.insert", spec("vm"))
    refusal = await own.refused("instances.attachDisk", {"source": DISK}, instance="vm")
    _check_disk_refused(refusal, "resource.source")


async def test_a_disk_is_made_of_another_project_s_image_and_snapshot(
    own: Client, other: Client
) -> None:
    await other.done("images.insert", {"name": "i", "sourceDisk": f"zones/{ZONE}/disks/d"})
    await other.done("disks.createSnapshot", {"name": "s"}, disk="d")
    image, snapshot = (f"projects/{OTHER}/global/{name}" for name in ("images/i", "snapshots/s"))
    await own.done("disks.insert", {"name": "of-image", "sourceImage": image})
    await own.done("disks.insert", {"name": "of-snapshot", "sourceSnapshot": snapshot})
    assert (await own.call("disks.get", disk="of-image"))["sourceImage"].endswith(image)


@pytest.mark.usefixtures("other")
async def test_a_snapshot_is_made_of_another_project_s_disk(own: Client) -> None:
    """https://cloud.google.com/compute/docs/reference/rest/v1/snapshots/insert"""
    await own.done("snapshots.insert", {"name": "beyond", "sourceDisk": DISK})
    assert (await own.call("snapshots.get", snapshot="beyond"))["sourceDisk"].endswith(DISK)


async def test_an_address_that_another_project_s_instance_has_is_not_promoted(
    own: Client, other: Client, spec: Any
) -> None:
    """https://cloud.google.com/compute/docs/ip-addresses/configure-static-external-ip-address#promote_ephemeral_ip
    has it done in the instance's project; elsewhere it is an address that is not there."""
    await other.done("instances.insert", spec("theirs"))
    (interface,) = (await other.instance("theirs"))["networkInterfaces"]
    (config,) = interface["accessConfigs"]
    body = {"name": "taken", "address": config["natIP"]}
    refusal = await own.refused("addresses.insert", body)
    assert refusal.status == 400
    assert refusal.message.endswith(
        f"The specified IP address '{config['natIP']}' was not found in region 'us-west1'."
    )
    await other.done("addresses.insert", body)
    assert (await other.call("addresses.get", address="taken"))["status"] == "IN_USE"
