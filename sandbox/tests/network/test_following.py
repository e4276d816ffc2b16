# SPDX-License-Identifier: GPL-3.0-or-later
"""An instance that is attached while topologies come has the routes of the last one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from cloudspill_sandbox.network.addressing import HostNames
from cloudspill_sandbox.network.attachments import Attachments
from cloudspill_sandbox.network.interface import Nic, Topology
from cloudspill_sandbox.network.router import NamespaceNetwork
from cloudspill_sandbox.settings import Settings

NARROW = Nic("10.9.4.2", None, "own", "10.9.4.0/28", frozenset(), "a.z.c.p.internal")
WIDE = replace(NARROW, subnet="10.9.4.0/24")


class Links(Attachments):
    """Links that only remember for which range they are; the first change of one takes its time.

    Attributes:
        ranges: by address.
        slow: set when that change has begun.
        go: what it waits for.
    """

    def __init__(self) -> None:
        super().__init__(HostNames("test"))
        self.ranges: dict[str, str] = {}
        self.slow, self.go = threading.Event(), threading.Event()

    def attach(self, path: Path, nics: Sequence[Nic]) -> None:
        for nic in nics:
            self.ranges.setdefault(nic.internal_ip, nic.subnet)

    def outdated(self, nics: Iterable[Nic]) -> list[tuple[Path, Nic]]:
        return [(Path("a"), nic) for nic in nics if self.ranges[nic.internal_ip] != nic.subnet]

    def follow(self, path: Path, nics: Iterable[Nic]) -> None:
        for nic in nics:
            if self.ranges[nic.internal_ip] != nic.subnet:
                if not self.slow.is_set():
                    self.slow.set()
                    assert self.go.wait(10)
                self.ranges[nic.internal_ip] = nic.subnet


class Rules:
    """A firewall that takes everything."""

    def load(self, ruleset: str) -> None:
        self.loaded = ruleset


async def test_a_topology_that_comes_while_routes_change_is_followed() -> None:
    network, links = NamespaceNetwork(Settings()), Links()
    network._attachments, network._firewall = links, Rules()  # type: ignore[assignment]
    await network.apply(Topology())
    # The instance was planned after the wider range, and the network knows the narrow one still.
    network._wanted = Topology((NARROW,))
    attaching = asyncio.create_task(network.attach((WIDE,)))
    assert await asyncio.to_thread(links.slow.wait, 10)
    await network.apply(Topology((WIDE,)))
    links.go.set()
    await attaching
    assert links.ranges == {WIDE.internal_ip: WIDE.subnet}
