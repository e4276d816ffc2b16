# SPDX-License-Identifier: GPL-3.0-or-later
"""A subnetwork whose expansion fails, while others change what the network knows.

https://cloud.google.com/vpc/docs/create-modify-vpc-networks#expand-subnet.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.faults.interface import NoFaults
from cloudspill_sandbox.network.memory import MemoryNetwork

from .conftest import Client, MakeCloud
from .test_bulk_rollback import Impatient
from .test_restart import ClientOf

NARROW, WIDE = "10.9.4.0/28", "10.9.4.0/24"
SUBNETWORK = "regions/us-west1/subnetworks/sub"
INTERNAL = {"name": "later", "addressType": "INTERNAL", "subnetwork": SUBNETWORK}


class LateFailure(NoFaults):
    """The expansion fails, but not before the test lets it."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def before_step(self, step: str, target: str) -> None:
        if step == "subnetworks.expandIpCidrRange.apply":
            await self.go.wait()
            raise ApiError(500, "INTERNAL_ERROR", "Internal error.")


@pytest.fixture
def late() -> LateFailure:
    return LateFailure()


@pytest.fixture
async def api(make_cloud: MakeCloud, client_of: ClientOf, late: LateFailure, spec: Any) -> Client:
    """A cloud with an instance in a subnetwork, the expansion of which is going to fail."""
    client = client_of(await make_cloud(latency=Impatient(), faults=late))
    await client.done("networks.insert", {"name": "own", "autoCreateSubnetworks": False})
    body = {"name": "sub", "network": "global/networks/own", "ipCidrRange": NARROW}
    await client.done("subnetworks.insert", body)
    await client.done("instances.insert", spec(networkInterfaces=[{"subnetwork": SUBNETWORK}]))
    body = {"ipCidrRange": WIDE}
    await client.call("subnetworks.expandIpCidrRange", body, subnetwork="sub")
    return client


async def failure(api: Client, late: LateFailure) -> None:
    """Let the expansion fail, and wait for its end."""
    late.go.set()
    (operation,) = (
        await api.call("regionOperations.list", filter="operationType=expandIpCidrRange")
    )["items"]
    ended = await api.call("regionOperations.wait", operation=operation["name"])
    assert ended["error"]["errors"][0]["code"] == "INTERNAL_ERROR"


async def held(api: Client, network: MemoryNetwork) -> tuple[str, set[str]]:
    """Return the range of the subnetwork, and the ranges that the network goes by."""
    subnetwork = await api.call("subnetworks.get", subnetwork="sub")
    return subnetwork["ipCidrRange"], {nic.subnet for nic in network.topology.nics}


async def test_the_network_hears_that_it_was_taken_back(
    api: Client, late: LateFailure, network: MemoryNetwork, spec: Any
) -> None:
    near = [{"subnetwork": SUBNETWORK, "networkIP": "10.9.4.9"}]
    await api.done("instances.insert", spec("near", networkInterfaces=near))
    assert await held(api, network) == (WIDE, {WIDE})
    await failure(api, late)
    assert await held(api, network) == (NARROW, {NARROW})


async def test_it_stays_when_an_instance_has_an_address_by_it(
    api: Client, late: LateFailure, network: MemoryNetwork, spec: Any
) -> None:
    far = [{"subnetwork": SUBNETWORK, "networkIP": "10.9.4.200"}]
    await api.done("instances.insert", spec("far", networkInterfaces=far))
    await failure(api, late)
    assert await held(api, network) == (WIDE, {WIDE})


async def test_it_stays_when_an_address_is_reserved_by_it(
    api: Client, late: LateFailure, network: MemoryNetwork
) -> None:
    await api.done("addresses.insert", INTERNAL | {"address": "10.9.4.200"})
    await failure(api, late)
    assert await held(api, network) == (WIDE, {WIDE})
