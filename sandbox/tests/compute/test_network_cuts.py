# SPDX-License-Identifier: GPL-3.0-or-later
"""Network cuts over a restart of the sandbox."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.faulty_instances import FaultyInstances
from cloudspill_sandbox.engine.clock import Clock
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.faults.hooks import FaultHooks
from cloudspill_sandbox.faults.instances import InstanceFaults
from cloudspill_sandbox.faults.registry import Faults
from cloudspill_sandbox.network.interface import Topology
from cloudspill_sandbox.network.memory import MemoryNetwork

from .conftest import Client, MakeCloud, eventually


class RememberingNetwork(MemoryNetwork):
    """Remembers from what its only instance was cut, each time."""

    def __init__(self) -> None:
        super().__init__()
        self.cuts: list[frozenset[str]] = []

    async def apply(self, topology: Topology) -> None:
        self.cuts += [nic.cut_from for nic in topology.nics]
        await super().apply(topology)


@pytest.fixture
def network() -> MemoryNetwork:
    return RememberingNetwork()


async def test_a_cut_that_goes_on_is_never_mended_while_the_sandbox_starts_again(
    make_cloud: MakeCloud,
    client_of: Callable[[Cloud], Client],
    spec: Any,
    network: RememberingNetwork,
    tmp_path: Path,
) -> None:
    path = tmp_path / "state.sqlite3"
    api = client_of(await make_cloud(path))
    await api.done("instances.insert", spec())
    faults = Faults(api.cloud.store, api.cloud.clock)
    struck = InstanceFaults(faults, FaultyInstances(api.cloud))
    struck.start()
    faults.add({"kind": "network-cut", "from": "all"})
    await eventually(lambda: network.cuts[-1] == {"host", "api"})
    await struck.stop()
    network.cuts.clear()
    store = Store(path)
    hooks = FaultHooks(Faults(store, Clock(store)), store)
    await make_cloud(path, faults=hooks)
    assert network.cuts == [{"host", "api"}]
    store.close()


async def test_a_cut_of_what_went_off_while_the_sandbox_was_down_is_mended(
    api: Client, spec: Any, network: RememberingNetwork
) -> None:
    await api.done("instances.insert", spec())
    faults = Faults(api.cloud.store, api.cloud.clock)
    struck = InstanceFaults(faults, FaultyInstances(api.cloud))
    struck.start()
    faults.add({"kind": "network-cut"})
    await eventually(lambda: network.cuts[-1] == {"host"})
    await struck.stop()
    await api.done("instances.stop", instance="vm")
    struck = InstanceFaults(faults, FaultyInstances(api.cloud))
    struck.start()
    await eventually(lambda: [fault.state for fault in faults] == ["spent"])
    await api.done("instances.start", instance="vm")
    assert network.cuts[-1] == frozenset()
    await struck.stop()
