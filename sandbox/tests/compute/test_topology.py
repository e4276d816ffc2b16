# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents become the network's topology, whatever comes at once or fails."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cloudspill_sandbox.network.interface import NetworkError, Topology
from cloudspill_sandbox.network.memory import MemoryNetwork

from .conftest import Client


class TroubledNetwork(MemoryNetwork):
    """A network that takes time, and refuses once when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.failure: NetworkError | None = None

    async def apply(self, topology: Topology) -> None:
        await asyncio.sleep(self.seconds)
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
        await super().apply(topology)


@pytest.fixture
def network() -> TroubledNetwork:
    return TroubledNetwork()


async def test_an_interface_as_the_network_sees_it(
    api: Client, spec: Any, network: TroubledNetwork
) -> None:
    account = [{"email": "default", "scopes": []}]
    await api.done(
        "instances.insert",
        spec(
            tags={"items": ["web"]},
            canIpForward=True,
            serviceAccounts=account,
            hostname="db.example.org",
        ),
    )
    (nic,) = network.topology.nics
    assert nic.hostname == "db.example.org"
    assert nic.tags == {"web"}
    assert nic.can_ip_forward
    assert nic.service_account == "415104041262-compute@developer.gserviceaccount.com"
    assert nic.subnet == "10.138.0.0/20"
    assert nic.network == "projects/cloudspill-sandbox/global/networks/default"


async def test_many_changes_at_once_are_few_applications(
    api: Client, network: TroubledNetwork
) -> None:
    before = network.applied
    network.seconds = 0.01
    rules = [{"name": f"r{number}", "allowed": [{"IPProtocol": "tcp"}]} for number in range(50)]
    await asyncio.gather(*(api.done("firewalls.insert", rule) for rule in rules))
    assert len(network.topology.rules) == 54
    assert network.applied - before <= 3


async def test_what_changes_nothing_is_not_applied(
    api: Client, spec: Any, network: TroubledNetwork
) -> None:
    await api.done("instances.insert", spec())
    before = network.applied
    await api.done("instances.setDeletionProtection", resource="vm", deletionProtection=True)
    await api.done("firewalls.patch", {"description": "x"}, firewall="default-allow-ssh")
    assert network.applied == before


async def test_a_network_that_refuses_fails_the_operation_which_is_taken_back(
    api: Client, network: TroubledNetwork
) -> None:
    network.failure = NetworkError("nft: out of memory")
    rule = {"name": "r", "allowed": [{"IPProtocol": "tcp"}]}
    failure = await api.failed("firewalls.insert", rule)
    assert failure["message"] == "Internal error: nft: out of memory"
    assert (await api.refused("firewalls.get", firewall="r")).status == 404
    assert "r" not in {rule.name for rule in network.topology.rules}
    await api.done("firewalls.insert", rule)
    assert "r" in {rule.name for rule in network.topology.rules}


async def test_what_a_network_refused_is_not_what_it_goes_on_with(
    api: Client, network: TroubledNetwork
) -> None:
    """Interfaces that are attached later may follow it, or it may even be in force: it is told of
    the documents again, though they are those that it took last.
    """
    before, applied = network.topology, network.applied
    network.failure = NetworkError("nft: out of memory")
    await api.failed("firewalls.insert", {"name": "r", "allowed": [{"IPProtocol": "tcp"}]})
    assert network.topology == before
    assert network.applied == applied + 1
