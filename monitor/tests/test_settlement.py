# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a run at a VM, whatever was killed or cut when."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudspill_monitor.burst.settlement import Verdict, VmState, judge
from cloudspill_monitor.journal import Run

RUN = Run(
    run=7,
    task="Task 3",
    place="burst-1",
    definition="{}",
    boot_id="b",
    begun=1.0,
    begun_wall=1.0,
    pid=None,
    start_ticks=None,
    ended_wall=None,
    exit_status=None,
    outcome=None,
    move=4,
    stopping=None,
    confirmed=True,
)
REACHED = VmState(answers=True, lease_over=False, fenced_move=0)
CUT = VmState(answers=False, lease_over=False, fenced_move=0)

states = st.sampled_from(["running", "stopped", "ended", "released", None])


@pytest.mark.parametrize(
    ("state", "confirmed", "verdict"),
    [
        ("running", True, Verdict.STAY),
        ("running", False, Verdict.CONFIRM),
        ("stopped", True, Verdict.FETCH),
        ("ended", True, Verdict.FETCH_ENDED),
        ("ended", False, Verdict.FETCH_ENDED),
        (None, False, Verdict.FENCE),
        (None, True, Verdict.FENCE),
    ],
)
def test_a_vm_that_answers_decides(state: str | None, confirmed: bool, verdict: Verdict) -> None:
    assert judge(replace(RUN, confirmed=confirmed), state, REACHED, None) is verdict


@pytest.mark.parametrize(
    ("confirmed", "verdict"), [(False, Verdict.NEVER_BEGAN), (True, Verdict.LOST)]
)
def test_what_a_fenced_vm_does_not_know_is_home(confirmed: bool, verdict: Verdict) -> None:
    fenced = replace(REACHED, fenced_move=4)
    assert judge(replace(RUN, confirmed=confirmed), None, fenced, None) is verdict


def test_what_the_move_under_way_has_begun_is_left_to_it() -> None:
    assert judge(replace(RUN, confirmed=False), None, REACHED, current_move=4) is Verdict.WAIT


@given(states, st.booleans(), st.none() | st.integers(1, 9))
def test_a_vm_that_cannot_be_asked_may_still_run_it(
    state: str | None, confirmed: bool, move: int | None
) -> None:
    assert judge(replace(RUN, confirmed=confirmed), state, CUT, move) is Verdict.WAIT


@given(states, st.booleans(), st.booleans())
def test_a_lease_that_is_over_ends_all_doubt(
    state: str | None, confirmed: bool, answers: bool
) -> None:
    over = VmState(answers=answers, lease_over=True, fenced_move=0)
    assert judge(replace(RUN, confirmed=confirmed), state, over, None) is Verdict.LOST


@given(states, st.booleans(), st.booleans(), st.integers(0, 9), st.none() | st.integers(1, 9))
def test_nothing_is_brought_home_that_may_run_there(
    state: str | None, confirmed: bool, answers: bool, fenced: int, move: int | None
) -> None:
    vm = VmState(answers, lease_over=False, fenced_move=fenced)
    verdict = judge(replace(RUN, confirmed=confirmed), state, vm, move)
    if verdict in (Verdict.LOST, Verdict.NEVER_BEGAN):
        assert answers
        assert state in (None, "released")
        assert fenced >= 4  # so that no message of its move can begin it any more
