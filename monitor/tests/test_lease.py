# SPDX-License-Identifier: GPL-3.0-or-later
"""When a VM's lease is over for certain, whatever its stream did to the renewals."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudspill_monitor.burst.lease import LeaseBelief


def test_nothing_known_counts_from_the_start() -> None:
    assert LeaseBelief(30, 5, now=1000).over_at == 1035


def test_a_new_keeper_holds_its_initial_lease() -> None:
    assert LeaseBelief(10, 5, now=1000, initial_lease=60).over_at == 1065


def test_a_vm_that_says_it_has_longer_is_believed() -> None:
    belief = LeaseBelief(10, 5, now=1000)
    belief.heard(1001, expires_in=55)
    assert belief.over_at == 1061


def test_a_vm_that_says_it_has_less_shortens_nothing() -> None:
    belief = LeaseBelief(30, 5, now=1000)
    belief.heard(1001, expires_in=-3)
    assert belief.over_at == 1035


def test_an_echo_counts_from_the_receipt_of_its_token() -> None:
    belief = LeaseBelief(30, 5, now=1000)
    belief.echo(received=1020)
    assert belief.over_at == 1055


def test_a_suspend_does_not_move_the_end() -> None:
    belief = LeaseBelief(30, 5, now=1000)
    belief.echo(received=1020)
    assert belief.over_at < 1020 + 3600  # an hour later by CLOCK_BOOTTIME: long over


@dataclass
class Keeper:
    """A VM's lease as the VM counts it; its clock runs `fast` times as fast as home's."""

    lease: float
    fast: float
    ends: float = field(init=False)

    def __post_init__(self) -> None:
        self.ends = self.lease  # the initial one, from its first start at 0

    def clock(self, at: float) -> float:
        return at * self.fast

    def home_time(self, clock: float) -> float:
        return clock / self.fast

    def renew(self, token: float, at: float) -> None:
        if self.clock(at) < self.ends:
            self.ends = max(self.ends, token + self.lease)


delay = st.floats(0, 100)
step = st.tuples(st.floats(0.1, 20), delay, delay, st.booleans())


@given(st.floats(1, 60), st.floats(0.99, 1.01), st.lists(step, max_size=30))
@pytest.mark.timeout(60)
def test_no_vm_outlives_what_is_believed_of_it(
    lease: float, fast: float, steps: list[tuple[float, float, float, bool]]
) -> None:
    """Ticks and renewals are delivered late, lost, in any order, over healed connections."""
    keeper = Keeper(lease, fast)
    margin = 0.011 * lease  # what the clocks differ by in one lease
    belief = LeaseBelief(lease, margin, now=0.0)
    now, renewals = 0.0, []
    for pause, there, back, echoed in steps:
        now += pause
        token, received = keeper.clock(now), now + there
        if echoed:
            belief.echo(received)
            renewals.append((received + back, token))
    for delivered, token in sorted(renewals):
        keeper.renew(token, delivered)
    assert keeper.home_time(keeper.ends) <= belief.over_at + 1e-6
