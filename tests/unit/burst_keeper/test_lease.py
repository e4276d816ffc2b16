# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease as values: what a token is worth, and what a reboot leaves."""

from __future__ import annotations

import dataclasses

import pytest
from cloudspill_burst.lease import Lease, Phase, Terms, resumed
from hypothesis import given
from hypothesis import strategies as st

TERMS = Terms(length=20.0, initial=60.0)


def fresh(at: float = 100.0) -> Lease:
    return resumed(None, "boot", at, TERMS)


def test_the_first_renewal_shortens_the_initial_lease_to_what_the_monitor_counts_on() -> None:
    lease = fresh(100.0)
    assert lease.expires == 160.0
    assert lease.renew(lease.token(101.0), 102.0, TERMS).expires == 121.0


def test_a_renewal_holds_from_its_token_not_from_its_arrival() -> None:
    lease = fresh()
    early, late = lease.token(101.0), lease.token(105.0)
    lease = lease.renew(late, 106.0, TERMS)
    assert lease.expires == 125.0
    assert lease.renew(early, 115.0, TERMS) is lease


@given(st.lists(st.tuples(st.floats(0, 300), st.floats(0, 60)), max_size=20))
def test_no_renewal_ever_ends_later_than_the_newest_token_plus_the_length(
    echoes: list[tuple[float, float]],
) -> None:
    lease = fresh(0.0)
    newest = None
    for made, delay in sorted(echoes, key=sum):
        before = lease
        lease = lease.renew(lease.token(made), made + delay, TERMS)
        newest = max(made, newest or 0.0)
        if lease.renewed:
            assert lease.expires <= newest + TERMS.length + 1e-5
        if before.renewed:
            assert lease.expires >= before.expires


@pytest.mark.parametrize(
    "token",
    [
        None,
        7,
        "",
        "boot",
        "boot/",
        "boot/x",
        "boot/nan",
        "boot/-1",
        "other/101",
        "boot/999",
        [],
        "/",
    ],
)
def test_what_is_no_token_of_this_boot_and_past_changes_nothing(token: object) -> None:
    lease = fresh()
    assert lease.renew(token, 102.0, TERMS) is lease


def test_a_lease_goes_from_held_to_ending_to_over() -> None:
    lease = fresh(100.0).renew("boot/100.0", 100.0, TERMS)
    phases = [lease.phase(at, TERMS) for at in (114.9, 115.1, 119.4, 119.6, 130.0)]
    assert phases == [Phase.HELD, Phase.ENDING, Phase.ENDING, Phase.OVER, Phase.OVER]
    assert lease.next_phase_at(101.0, TERMS) == 115.0
    assert lease.next_phase_at(116.0, TERMS) == 119.5


def test_the_tasks_of_a_short_lease_are_killed_before_its_end_too() -> None:
    terms = Terms(length=2.0, initial=60.0)
    assert (terms.notice, terms.killing) == (0.5, 0.2)


def test_a_renewal_of_an_ending_lease_saves_it_and_one_that_is_over_stays_over() -> None:
    lease = fresh(100.0).renew("boot/100.0", 100.0, TERMS)
    token = lease.token(114.0)
    assert lease.renew(token, 119.0, TERMS).phase(119.0, TERMS) is Phase.HELD
    assert lease.renew(token, 119.6, TERMS) is lease
    fenced = dataclasses.replace(lease, fenced=True)
    assert fenced.renew(lease.token(101.0), 102.0, TERMS) is fenced


def test_another_keeper_in_the_same_boot_goes_on_with_the_same_lease() -> None:
    lease = fresh().renew("boot/101.0", 102.0, TERMS)
    assert resumed(lease, "boot", 119.0, TERMS) is lease


def test_after_a_reboot_there_is_an_initial_lease_again() -> None:
    lease = dataclasses.replace(fresh().renew("boot/101.0", 102.0, TERMS), kept=102.0)
    rebooted = resumed(lease, "next", 10.0, TERMS)
    assert rebooted == Lease("next", 70.0)
    assert rebooted.renew("boot/101.0", 200.0, TERMS) is rebooted


def test_reboots_without_a_word_of_the_monitor_use_the_initial_lease_up() -> None:
    lease = dataclasses.replace(fresh(100.0), kept=140.0)
    second = resumed(lease, "second", 10.0, TERMS)
    assert second.expires == 30.0
    third = resumed(dataclasses.replace(second, kept=35.0), "third", 10.0, TERMS)
    assert third.phase(10.0, TERMS) is Phase.OVER


def test_no_reboot_lifts_a_fence() -> None:
    fenced = dataclasses.replace(fresh(), fenced=True, renewed=True)
    assert resumed(fenced, "next", 10.0, TERMS).phase(10.0, TERMS) is Phase.OVER
