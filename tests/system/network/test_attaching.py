# SPDX-License-Identifier: GPL-3.0-or-later
"""Interfaces come and go."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

import pytest

from cloudspill_sandbox.network.addressing import NAMESPACES
from cloudspill_sandbox.network.commands import ip_json
from cloudspill_sandbox.network.interface import (
    Topology,
)
from cloudspill_sandbox.network.namespaces import inside
from cloudspill_sandbox.network.router import NamespaceNetwork
from tests.system.network.guests import OPEN, A, B, at, instance, send_frame
from tests.system.network.vpc_host import (
    HOST,
    NAME,
    connect,
    received,
    server,
)

pytestmark = pytest.mark.sandbox


async def test_thirty_instances_are_attached_at_once_and_detached(
    network: NamespaceNetwork,
) -> None:
    nics = [instance(number) for number in range(10, 40)]
    paths = await asyncio.gather(*(network.attach((nic,)) for nic in nics))
    assert paths == [str(at(nic)) for nic in nics]
    await network.apply(Topology((A, *nics), OPEN))
    for nic in nics:
        with server(at(nic), 5000):
            assert connect(at(A), nic.internal_ip, 5000) == "open"
            assert connect(HOST, nic.external_ip or "", 5000) == "open"
    await asyncio.gather(*(network.detach((nic,)) for nic in nics))
    assert not any(at(nic).exists() for nic in nics)
    with inside(NAMESPACES / f"{NAME}-vpc"):
        names = {name for _, name in socket.if_nameindex()}
    assert names == {"lo", "wan", "i0a8a0002", "i0a8a0003", "i0a8a0004"}


async def test_attaching_twice_keeps_the_namespace(network: NamespaceNetwork) -> None:
    inode = at(A).stat().st_ino
    await asyncio.gather(*(network.attach((A,)) for _ in range(5)))
    assert at(A).stat().st_ino == inode
    await network.detach((A,))
    await network.detach((A,))
    await network.attach((A,))
    await network.apply(Topology((A,), OPEN))
    with server(at(A), 5000):
        assert connect(HOST, "198.18.0.2", 5000) == "open"


async def test_what_an_instance_may_send_changes_while_it_runs(network: NamespaceNetwork) -> None:
    inode = at(A).stat().st_ino
    with server(at(B), 5000, socket.SOCK_DGRAM) as receiver:
        for forwards, heard in ((True, b"forwarded"), (False, None)):
            changed = replace(A, can_ip_forward=forwards)
            await network.apply(Topology((changed, B), OPEN))
            send_frame(A, "192.168.5.5", "10.138.0.3", 5000, b"forwarded")
            assert received(receiver) == heard
    assert at(A).stat().st_ino == inode


async def test_a_file_that_a_reboot_left_is_no_namespace(network: NamespaceNetwork) -> None:
    stale = instance(50)
    at(stale).touch()
    await network.attach((stale,))
    await network.apply(Topology((A, stale), OPEN))
    with server(at(stale), 5000):
        assert connect(HOST, "198.18.0.50", 5000) == "open"


async def test_the_guests_interface_is_that_of_compute_engine(network: NamespaceNetwork) -> None:
    with inside(at(A)):
        (shown,) = ip_json("link", "show", "eth0")
        neighbours = [(each["dst"], each["lladdr"]) for each in ip_json("neigh")]
    assert (shown["mtu"], shown["address"]) == (1460, "42:01:0a:8a:00:02")
    assert neighbours == [("10.138.0.1", "42:01:0a:8a:00:01")]
