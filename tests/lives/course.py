# SPDX-License-Identifier: GPL-3.0-or-later
"""Many lives of one sandbox under a mixed load, each ended by SIGKILL at a random moment."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from cloudspill_sandbox.settings import LatencyProfile
from tests.lives import invariants, inventory
from tests.lives.api import Api
from tests.lives.ledger import Ledger
from tests.lives.load import Client
from tests.lives.process import SandboxProcess

_MOMENTS = {"load": 0.76, "up": 0.14, "down": 0.10}
"""When a life is ended, and how often."""

_SLOW = 0.3
"""How many lives have the times of Google Cloud, so that operations are cut short."""


@dataclass
class Result:
    """What a course showed.

    Attributes:
        kills: by what the sandbox was doing.
        acknowledged: calls that changed something and were answered, by method.
        refused: calls that were not carried out, by method and reason.
        wrong: everything that was lost, half done, or left.
        adopted: machines that went on through a kill, each time that one did.
        up_seconds: from each start to the API's answer.
    """

    kills: Counter[str] = field(default_factory=Counter)
    acknowledged: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    adopted: int = 0
    up_seconds: list[float] = field(default_factory=list)


class Course:
    """The lives of one sandbox.

    Args:
        process: the sandbox; it does not run yet.
        seed: of every random choice; the moments themselves depend on the machine too.
        clients: how many work at a time.
        longest: seconds of work in a life at most.
    """

    def __init__(self, process: SandboxProcess, *, seed: int, clients: int, longest: float) -> None:
        self._process = process
        self._rng = random.Random(seed)
        self._ledger = Ledger()
        names = [f"w{number}" for number in range(clients)]
        self._clients = [
            Client(name, self._ledger, random.Random(f"{seed} {name}")) for name in names
        ]
        self._longest = longest
        self._boots: set[str] = set()
        self.result = Result()

    def run(self, kills: int, progress: Callable[[Result], None]) -> Result:
        """Live and die `kills` times and live once more, unless something is wrong before.

        The sandbox is down afterwards.
        """
        try:
            while self.result.kills.total() < kills and not self.result.wrong:
                self._life(self._rng.choices([*_MOMENTS], [*_MOMENTS.values()])[0])
                progress(self.result)
            if not self.result.wrong:
                self._begin()
        finally:
            self._process.stop()
        for client in self._clients:
            self.result.acknowledged.update(client.tally.acknowledged)
            self.result.refused.update(client.tally.refused)
        return self.result

    def _life(self, moment: str) -> None:
        if moment == "up":
            self._process.launch()
            longest = max(self.result.up_seconds[-5:], default=1.0)
            time.sleep(self._rng.uniform(0, longest))
        else:
            self._begin()
            self._work(moment)
        self._process.kill()
        self.result.kills[moment] += 1
        for client in self._clients:
            self.result.wrong += client.tally.wrong
            client.tally.wrong.clear()

    def _work(self, moment: str) -> None:
        """Let the clients work, and kill the sandbox while they do."""
        with ThreadPoolExecutor(len(self._clients)) as threads:
            futures = [threads.submit(self._client, client) for client in self._clients]
            time.sleep(self._rng.uniform(0, self._longest))
            if moment == "down":
                self._process.ask_to_stop()
                time.sleep(self._rng.uniform(0, 0.3))
            self._process.kill()
            for future in futures:
                future.result()
        # Machines that were asked to stop, because the sandbox was, are booted again.
        self._boots = set() if moment == "down" else self._containers()

    def _client(self, client: Client) -> None:
        with Api(self._process.settings) as api:
            client.work(api)

    def _begin(self) -> None:
        """Start the sandbox and look whether all is as it was promised."""
        slow = self._rng.random() < _SLOW
        latency = LatencyProfile.GCE if slow else LatencyProfile.INSTANT
        began = time.monotonic()
        self._process.launch(latency, seed=self._rng.randrange(1 << 16))
        self._process.wait_until_ready()
        self.result.up_seconds.append(time.monotonic() - began)
        self._compare_boots()
        with Api(self._process.settings) as api:
            api.make_bucket()
            self.result.wrong += self._ledger.audit(api)
            seen = inventory.take(api, self._process.settings)
            self.result.wrong += invariants.violations(seen)

    def _compare_boots(self) -> None:
        """Look whether the machines that should have gone on did; before the audit."""
        steady = {
            entry.certain["id"]
            for entry in self._ledger.entries.values()
            if entry.kind == "instances" and entry.attempt is None and entry.certain is not None
        }
        expected = {boot for boot in self._boots if boot.split("-")[-2] in steady}
        self._boots = self._containers()
        self.result.adopted += len(expected & self._boots)
        self.result.wrong += [f"{boot} did not go on" for boot in expected - self._boots]

    def _containers(self) -> set[str]:
        settings = self._process.settings
        return set() if settings.in_memory else {*inventory.containers(settings).values()}
