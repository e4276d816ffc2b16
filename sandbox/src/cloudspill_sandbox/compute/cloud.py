# SPDX-License-Identifier: GPL-3.0-or-later
"""What every handler works on: documents, machines, network, operations, time.

The daemon makes one::

    store = Store(settings.database)
    cloud = Cloud(
        store=store, runtime=runtime, network=network, settings=settings,
        clock=Clock(store), latency=Instant(), tokens=tokens,
    )
    await network.start()          # so that the daemon can listen inside the router first
    await cloud.start()            # starts the runtime, boots what was running
    services = {"compute": compute_service(cloud)}
    metadata_server = await metadata.serve(MetadataView(cloud), listener)
    …
    await cloud.stop()             # stops the runtime; the network and the store stay the daemon's

`clock` is the cloud's time, `latency` a profile of latency.py, `tokens` a `Tokens` below. Nothing
here is module state: two clouds can live in one process.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Protocol

from cloudspill_sandbox.compute import beginnings, endings, quotas, recovery
from cloudspill_sandbox.compute.latency import Latency
from cloudspill_sandbox.compute.leases import Allocator
from cloudspill_sandbox.compute.lifetimes import Lifetimes
from cloudspill_sandbox.compute.operations import Operations
from cloudspill_sandbox.compute.topology import TopologyApplier
from cloudspill_sandbox.compute.watchers import Watchers
from cloudspill_sandbox.engine.call import Document, Principal
from cloudspill_sandbox.engine.clock import Clock
from cloudspill_sandbox.engine.store import Store, Transaction
from cloudspill_sandbox.faults.interface import Hooks, NoFaults
from cloudspill_sandbox.metadata.interface import AccessToken
from cloudspill_sandbox.network.interface import Network
from cloudspill_sandbox.runtime.interface import MachineExit, Runtime
from cloudspill_sandbox.settings import Settings

logger = logging.getLogger(__name__)

_STOP_GRACE = 10.0
_TOPOLOGY_KINDS = frozenset({"instances", "firewalls"})


class Tokens(Protocol):
    """What identity does for the service accounts attached to instances."""

    def access_token(self, principal: Principal) -> AccessToken:
        """Return a new access token for an instance's account, with the principal's scopes."""

    def identity_token(
        self,
        principal: Principal,
        audience: str,
        extra: Document | None = None,
        *,
        with_email: bool = True,
    ) -> str:
        """Return a signed JWT for the audience, with further claims."""


class Cloud:
    """One sandbox's Compute Engine.

    Args:
        clock: the cloud's time.
        latency: how long the steps of operations take beyond the work itself.
        tokens: makes the tokens that instances get.
        faults: what shall go wrong.

    Attributes:
        project: relative name of the first project, or of the one that sees this (`of`).
        limits: of quotas, by metric; what is not in it has none.
        stopping: set when it is to end; what waits for a time need wait no longer.
    """

    def __init__(
        self,
        *,
        store: Store,
        runtime: Runtime,
        network: Network,
        settings: Settings,
        clock: Clock,
        latency: Latency,
        tokens: Tokens,
        faults: Hooks | None = None,
    ) -> None:
        self.store = store
        self.runtime = runtime
        self.network = network
        self.settings = settings
        self.clock = clock
        self.latency = latency
        self.tokens = tokens
        self.faults = faults or NoFaults()
        self.project = f"projects/{settings.project}"
        self.limits = quotas.parsed(settings.quotas)
        self.topology = TopologyApplier(store, network)
        # The network also has to know what an operation's end wrote: addresses that went back.
        self.operations = Operations(
            store, self.transaction, clock, latency, self.topology.settle_quietly, self.faults
        )
        self.watchers = Watchers()
        self.addresses = Allocator()
        self.lifetimes = Lifetimes(self)
        self.stopping = asyncio.Event()
        self._background: set[asyncio.Task[None]] = set()
        self._projects: dict[str, Cloud] = {}
        for project in settings.projects:
            own = self._seen_from(project)
            self._projects |= {project: own, str(own.settings.project_number): own}

    def of(self, project: str) -> Cloud | None:
        """Return the cloud as one project sees it, by the project's id or number.

        All else is shared: machines, addresses, operations, time.
        """
        return self._projects.get(project)

    def _seen_from(self, project: str) -> Cloud:
        own = copy.copy(self)
        own.settings = self.settings.of(project)
        own.project = f"projects/{project}"
        return own

    async def start(self) -> None:
        """Make the projects that are missing; take up what an earlier life left.

        Machines of RUNNING instances that outlived the sandbox go on; the others of them boot
        again on their disks with the same addresses. Operations that were half done end, and what
        they had half made is removed.

        Raises:
            NetworkError: the network refused the topology; nothing was booted.
        """
        for project in self.settings.projects:
            beginnings.lay(self._projects[project])
        # Noted first: whatever is applied meanwhile is all of it.
        self.topology.everything_changed()
        for name, sides in self.faults.cuts():
            self.topology.cut(name, sides)
        await recovery.take_up_running(self, self._machine_exited)
        await recovery.settle_operations(self)
        await recovery.forget_strays(self)
        await recovery.detach_strangers(self)
        await self.topology.settle()
        self.lifetimes.everything_changed()
        await self.lifetimes.end_overdue()  # rather than boot it first
        await recovery.boot_running(self)
        self._spawn(self.lifetimes.run())

    async def stop(self) -> None:
        """Take no more changes, let operations end, stop every machine.

        What was RUNNING stays so in the store.
        """
        self.stopping.set()
        background = tuple(self._background)
        for task in background:
            task.cancel()
        await self.operations.stop(_STOP_GRACE)
        await asyncio.gather(*background, return_exceptions=True)
        await self.runtime.stop()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """As Store.transaction; whoever waits for one of the documents is told afterwards."""
        with self.store.transaction() as tx:
            yield tx
        for name in tx.writes:
            self.watchers.wake(name)
            kind = name.split("/")[-2]
            if kind in _TOPOLOGY_KINDS:
                self.topology.changed(name)
            if kind == "instances":
                self.lifetimes.changed(name)
                self.faults.instance_changed()

    def _machine_exited(self, machine: str, reason: MachineExit) -> None:
        if not self.stopping.is_set() and endings.went_off(self, machine, reason):
            self._spawn(self.topology.settle_quietly())

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
