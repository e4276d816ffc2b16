# SPDX-License-Identifier: GPL-3.0-or-later
"""When a VM's lease is over for certain, whatever its stream did to the renewals."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from cloudspill_monitor.burst.lease import LeaseBelief


def test_nothing_known_counts_from_the_start() -> None:
    assert LeaseBelief(30, 5, now=1000).over_at == 1035


def test_a_new_keeper_holds_its_initial_lease() -> None:
    assert LeaseBelief(10, 5, now=1000, initial_lease=60).over_at == 1065


def test_what_a_tick_tells_is_believed() -> None:
    belief = LeaseBelief(10, 5, now=1000)
    belief.heard(1001, expires_in=55)
    assert belief.over_at == 1061
    belief.heard(1002, expires_in=-3)
    assert belief.over_at == 1004


def test_an_echo_may_be_obeyed_later() -> None:
    belief = LeaseBelief(30, 5, now=1000)
    belief.echo(received=1020)
    belief.heard(1021, expires_in=4)
    assert belief.over_at == 1055


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
    ends: float  # by its clock; the initial lease, from its first start at 0
    renewed: bool = False

    def expires_in(self, at: float) -> float:
        return self.ends - at * self.fast

    @property
    def over(self) -> float:
        """When it ends by home's clock."""
        return self.ends / self.fast

    def renew(self, token: float, at: float) -> None:
        if self.expires_in(at) <= 0:
            return  # fenced
        until = token + self.lease
        self.ends = max(self.ends, until) if self.renewed else until
        self.renewed = True


delay = st.floats(0, 100)
tick = st.tuples(st.floats(0.1, 20), delay, delay, st.booleans())


@given(st.floats(1, 60), st.floats(1, 3), st.floats(0.99, 1.01), st.lists(tick, max_size=30))
def test_no_vm_outlives_what_is_believed_of_it(
    lease: float, longer: float, fast: float, ticks: list[tuple[float, float, float, bool]]
) -> None:
    """Ticks and renewals come late, as from cut connections that heal; clocks differ."""
    initial = lease * longer
    keeper = Keeper(lease, fast, ends=initial)
    belief = LeaseBelief(lease, 0.011 * initial, now=0.0, initial_lease=initial)
    made = received = 0.0
    events: list[tuple[float, int, str, float]] = []  # when, a tie's order, what, of which tick
    for pause, there, back, echoed in ticks:
        made += pause
        received = max(received, made + there)  # a stream delivers in order
        events.append((made, len(events), "made", made))
        events.append((received, len(events), "echoed" if echoed else "received", made))
        events.append((received + back, len(events), "delivered" if echoed else "", made))
    told: dict[float, float] = {}
    for now, _, event, token in sorted(events):
        if event == "made":
            told[token] = keeper.expires_in(now)
        elif event in ("received", "echoed"):
            belief.heard(now, told[token])
        elif event == "delivered":
            keeper.renew(token * fast, now)
        if event == "echoed":
            belief.echo(now)
        # What has been over for long may be taken for over since a little earlier.
        assert keeper.over <= max(now, belief.over_at) + 1e-6
