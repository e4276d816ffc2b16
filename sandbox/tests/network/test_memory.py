# SPDX-License-Identifier: GPL-3.0-or-later
"""The VPC that only remembers."""

from __future__ import annotations

import socket
from dataclasses import replace

from cloudspill_sandbox.network.interface import Network, Nic, Topology
from cloudspill_sandbox.network.memory import MemoryNetwork

NIC = Nic("10.138.0.2", None, "default", "10.138.0.0/20", frozenset(), "a.z.c.p.internal")


async def test_it_remembers_what_it_was_told() -> None:
    network = MemoryNetwork()
    checked: Network = network
    await checked.start()
    assert (await checked.attach((NIC,))).endswith("0a8a0002")
    await checked.attach((NIC,))
    await checked.apply(Topology((NIC,)))
    assert network.attached == {"10.138.0.2": NIC}
    assert (network.topology, network.applied) == (Topology((NIC,)), 1)
    await checked.detach((NIC,))
    await checked.detach((NIC,))
    assert network.attached == {}
    await checked.stop()
    assert (network.running, network.topology) == (False, Topology())


async def test_it_forgets_whole_namespaces() -> None:
    network = MemoryNetwork()
    front, back, other = (replace(NIC, internal_ip=f"10.138.0.{n}") for n in (2, 3, 4))
    await network.attach((front, back))
    await network.attach((other,))
    await network.retain([(front,)])
    assert set(network.attached) == {"10.138.0.2"}
    await network.attach((other, front))  # the link moves, and what is left of the first goes alone
    await network.detach((front,))
    assert set(network.attached) == {"10.138.0.2", "10.138.0.4"}
    await network.stop()
    assert network.attached == {}


def test_it_listens_on_loopback_only() -> None:
    with MemoryNetwork().listen("169.254.169.254", 80, socket.SOCK_STREAM) as opened:
        assert opened.getsockname()[0] == "127.0.0.1"
        with socket.create_connection(opened.getsockname(), timeout=5):
            pass
