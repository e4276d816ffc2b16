# SPDX-License-Identifier: GPL-3.0-or-later
"""Bursts in which everything goes wrong at random moments; the audit is the same."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.burst.bench import Bench

LASTS = 30.0  # seconds
LEASE = 6


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_no_task_runs_twice_and_all_come_home(
    make_bench: Callable[..., Bench], seed: int
) -> None:
    bench = make_bench(movers=("one", "two"), max_vms=2, lease=LEASE, idle_timeout=3)
    bench.start()
    bench.until(bench.at_home)
    fate = Fate(bench, random.Random(seed))
    until = time.monotonic() + LASTS
    while time.monotonic() < until:
        fate.strike()
    fate.relent()
    bench.load(10)
    bench.until(bench.at_home)
    bench.stop()
    assert bench.vms() == []
    # A VM may have been lost at any moment: how far tasks were by then is not known here.
    bench.audit({"one": 0, "two": 0})


class Fate:
    """Draws what happens next."""

    def __init__(self, bench: Bench, chance: random.Random) -> None:
        self._bench = bench
        self._chance = chance
        self._blows = (
            *(self._change_load,) * 4,
            self._kill_monitor,
            self._kill_playbook,
            self._kill_keeper,
            *(self._cut, self._cut_calls, self._heal) * 2,
            self._end_vm,
            self._preempt,
        )

    def strike(self) -> None:
        """Let one thing happen, and some time pass."""
        with suppress(OSError, IndexError, ValueError):  # what it was meant for is gone already
            self._chance.choice(self._blows)()
        for _ in range(self._chance.randrange(1, 20)):
            self._bench.until(lambda: True)
            time.sleep(0.05)

    def relent(self) -> None:
        """Nothing is in the way any more."""
        for vm in self._bench.vms():
            for cut in ("cut", "cut-calls"):
                self._bench.fate(cut, vm).unlink(missing_ok=True)

    def _vm(self) -> str:
        return self._chance.choice(self._bench.vms())

    def _change_load(self) -> None:
        self._bench.load(self._chance.choice((10, 70, 100)))

    def _kill_monitor(self) -> None:
        self._bench.kill()
        self._bench.start()

    def _kill_playbook(self) -> None:
        self._bench.kill_playbook()

    def _kill_keeper(self) -> None:
        os.kill(int(self._bench.fate("keeper.pid", self._vm()).read_text()), signal.SIGKILL)

    def _cut(self) -> None:
        self._bench.fate("cut", self._vm()).touch()

    def _cut_calls(self) -> None:
        self._bench.fate("cut-calls", self._vm()).touch()

    def _heal(self) -> None:
        self.relent()

    def _end_vm(self) -> None:
        os.kill(int(self._bench.fate("guest.pid", self._vm()).read_text()), signal.SIGTERM)

    def _preempt(self) -> None:
        self._bench.fate("preempt", self._vm()).touch()
