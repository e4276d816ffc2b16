# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule, read literally, one behaviour a test."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from cloudspill_monitor.policy import completed, decide, drain, dwell
from cloudspill_monitor.policy_types import (
    LOCAL,
    Action,
    Hold,
    PolicyConfig,
    Sample,
    ScaleIn,
    ScaleOut,
    State,
    TaskLoad,
    Timers,
    TimersReset,
)

CONFIG = PolicyConfig()
LITERAL = PolicyConfig(guard=False)
HOME = (TaskLoad("a", movable=False, cpu=1.0), TaskLoad("b", cpu=1.0), TaskLoad("c", cpu=1.0))


def away(*loads: tuple[str, float]) -> tuple[TaskLoad, ...]:
    return tuple(TaskLoad(name, "vm", cpu=cpu) for name, cpu in loads)


def feed(
    config: PolicyConfig,
    state: State,
    cpus: list[float],
    tasks: tuple[TaskLoad, ...],
    start: float = 0.0,
) -> tuple[State, list[tuple[float, Action]]]:
    """One sample a second; what was decided besides holding, and when."""
    decided: list[tuple[float, Action]] = []
    for second, cpu in enumerate(cpus):
        now = start + second
        state, actions = decide(config, state, Sample(cpu, 4, tasks), now)
        decided += [(now, a) for a in actions if not isinstance(a, Hold)]
    return state, decided


def last(
    config: PolicyConfig, state: State, cpu: float, tasks: tuple[TaskLoad, ...], now: float
) -> Action:
    return decide(config, state, Sample(cpu, 4, tasks), now)[1][-1]


def test_scales_out_all_movable_tasks_when_the_duration_is_full() -> None:
    _, decided = feed(CONFIG, State(), [90.0] * 11, HOME)
    assert [(at, type(a), a.tasks) for at, a in decided if isinstance(a, ScaleOut)] == [
        (10.0, ScaleOut, ("b", "c"))
    ]


def test_no_move_one_sample_before_the_duration_is_full() -> None:
    assert feed(CONFIG, State(), [90.0] * 10, HOME)[1] == []


def test_one_sample_at_the_threshold_starts_the_duration_afresh() -> None:
    _, decided = feed(CONFIG, State(), [90.0] * 10 + [75.0] + [90.0] * 10, HOME)
    assert decided == []


def test_the_threshold_itself_is_not_above() -> None:
    assert feed(CONFIG, State(), [75.0] * 60, HOME)[1] == []


def test_the_low_threshold_itself_is_not_below() -> None:
    assert feed(LITERAL, State(), [60.0] * 60, away(("b", 0.1)))[1] == []


def test_literal_rule_brings_home_everything_after_the_low_duration() -> None:
    _, decided = feed(LITERAL, State(), [59.0] * 11, away(("b", 4.0), ("c", 4.0)))
    assert [(at, a.tasks) for at, a in decided if isinstance(a, ScaleIn)] == [(10.0, ("b", "c"))]


def test_guard_keeps_away_what_would_overload_the_machine() -> None:
    _, decided = feed(CONFIG, State(), [50.0] * 120, away(("b", 1.0), ("c", 1.0)))
    assert decided == []
    reason = last(
        CONFIG, State(Timers(None, None, -20.0, 1, 50.0, 50.0)), 50.0, away(("b", 1.0)), 0.0
    ).reason
    assert "75.0 %" in reason
    assert "not below 75" in reason


def test_guard_lets_home_the_subset_that_fits() -> None:
    _, decided = feed(CONFIG, State(), [50.0] * 11, away(("big", 1.5), ("small", 0.5)))
    assert [a.tasks for _, a in decided if isinstance(a, ScaleIn)] == [("small",)]


def test_guard_predicts_from_the_peak_of_the_low_window() -> None:
    tasks = away(("b", 0.8))  # 20 % of four cores
    assert feed(CONFIG, State(), [40.0] * 5 + [58.0] + [40.0] * 5, tasks)[1] == []
    assert len(feed(CONFIG, State(), [40.0] * 11, tasks)[1]) == 1


def test_tasks_that_only_a_passing_peak_parts_come_home_together() -> None:
    tasks = away(("b", 0.5), ("c", 0.5))  # 12.5 % of four cores each: beside 55 %, one fits
    _, decided = feed(CONFIG, State(), [55.0] * 5 + [20.0] * 40, tasks)
    assert [a.tasks for _, a in decided if isinstance(a, ScaleIn)] == [("b", "c")]
    assert decided[0][0] <= 2 * CONFIG.low_duration


def test_a_peak_that_returns_does_not_keep_the_subset_away_for_ever() -> None:
    tasks = away(("b", 0.5), ("c", 0.5))
    _, decided = feed(CONFIG, State(), ([55.0] + [20.0] * 4) * 20, tasks)
    assert [a.tasks for _, a in decided if isinstance(a, ScaleIn)] == [("b",)]
    assert decided[0][0] <= 2 * CONFIG.low_duration


def test_a_peak_longer_ago_than_two_windows_no_longer_counts() -> None:
    _, decided = feed(CONFIG, State(), [58.0] + [40.0] * 40, away(("b", 0.8)))
    assert 10.0 < decided[0][0] <= 2 * CONFIG.low_duration


def test_a_task_measured_while_saturated_counts_with_its_threads() -> None:
    squeezed = TaskLoad("b", "vm", cpu=0.4, lower_bound=True, ceiling=2.0)
    assert squeezed.need(4) == 2.0
    assert replace(squeezed, lower_bound=False).need(4) == 0.4
    assert replace(squeezed, ceiling=64.0).need(4) == 4.0
    assert TaskLoad("b", cpu=None).need(4) == 4.0


def test_a_gap_longer_than_two_intervals_resets_the_timers_and_says_so() -> None:
    state, _ = feed(CONFIG, State(), [90.0] * 10, HOME)
    state, decided = feed(CONFIG, state, [90.0] * 10, HOME, start=11.5)
    assert [type(a) for _, a in decided] == [TimersReset]
    assert "2.5 s" in decided[0][1].reason


def test_a_gap_of_two_intervals_counts_as_late_not_as_missing() -> None:
    state, _ = feed(CONFIG, State(), [90.0] * 9, HOME)
    _, decided = feed(CONFIG, state, [90.0], HOME, start=10.0)
    assert [type(a) for _, a in decided] == [ScaleOut]


def test_nothing_is_decided_while_a_move_is_under_way() -> None:
    state, decided = feed(CONFIG, State(), [90.0] * 60, HOME)
    assert len(decided) == 1
    assert state.moving is not None
    assert "moving b, c to a VM for 49 s" in last(CONFIG, state, 90.0, HOME, 59.0).reason


def test_a_failed_move_is_tried_again_later_each_time() -> None:
    state, now, waits = State(), 0.0, []
    for _ in range(9):
        state, decided = feed(CONFIG, state, [90.0] * 4000, HOME, start=now)
        waits.append(decided[0][0] - now)
        state = completed(CONFIG, state, decided[0][0], failure="stock-out")
        state = replace(state, timers=Timers())
        now = decided[0][0]
    assert waits == [10.0, 30.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0]


def test_the_reason_of_a_failure_is_repeated_while_it_holds() -> None:
    state = State(Timers(0.0, -20.0))
    state, _ = decide(CONFIG, state, Sample(90.0, 4, HOME), 0.0)
    state = completed(CONFIG, state, 1.0, failure="quota exceeded")
    state, _ = feed(CONFIG, state, [90.0] * 12, HOME, start=2.0)
    assert "quota exceeded" in last(CONFIG, state, 90.0, HOME, 14.0).reason


def test_tasks_stay_away_for_the_dwell_time() -> None:
    state = State(last_out_at=0.0)
    _, decided = feed(CONFIG, state, [10.0] * 70, away(("b", 0.1)))
    assert decided[0][0] == 60.0


def test_each_home_coming_that_had_to_be_undone_doubles_the_dwell_time() -> None:
    state = State()
    dwells = []
    now = 0.0
    for _ in range(8):
        state, decided = feed(CONFIG, state, [90.0] * 11, HOME, start=now)
        now = decided[0][0]
        state = replace(completed(CONFIG, state, now), timers=Timers())
        dwells.append(dwell(CONFIG, state))
        state, decided = feed(CONFIG, state, [10.0] * 4000, away(("b", 0.1)), start=now)
        now = decided[0][0]
        state = replace(completed(CONFIG, state, now), timers=Timers())
    assert dwells == [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0]


def test_a_home_coming_that_lasted_starts_the_dwell_afresh() -> None:
    state = State(strikes=3, last_in_at=0.0)
    state, _ = feed(CONFIG, state, [90.0] * 11, HOME, start=700.0)
    assert dwell(CONFIG, state) == 60.0


def test_both_timers_start_afresh_when_a_move_is_completed() -> None:
    state, _ = feed(LITERAL, State(), [90.0] * 11, HOME)
    state = completed(LITERAL, state, 10.5)
    assert (state.timers, state.last_out_at) == (Timers(10.0), 10.5)


def test_high_cpu_with_nothing_movable_says_so() -> None:
    state, _ = feed(CONFIG, State(), [90.0] * 20, HOME[:1])
    assert "no further task to move" in last(CONFIG, state, 90.0, HOME[:1], 20.0).reason


def test_completing_what_was_not_begun_is_refused() -> None:
    with pytest.raises(ValueError, match="no move"):
        completed(CONFIG, State(), 0.0)


def test_time_that_runs_backwards_is_refused() -> None:
    state, _ = feed(CONFIG, State(), [10.0], HOME, start=5.0)
    with pytest.raises(ValueError, match="older"):
        decide(CONFIG, state, Sample(10.0, 4), 4.0)


@pytest.mark.parametrize("cpu", [math.nan, math.inf, -0.1, 100.1])
def test_a_sample_that_is_no_percentage_is_refused(cpu: float) -> None:
    with pytest.raises(ValueError, match="within 0 to 100"):
        Sample(cpu, 4)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"threshold_low": 75.0}, "threshold_low"),
        ({"threshold_low": 80.0}, "threshold_low"),
        ({"threshold_high": math.nan}, "threshold_high"),
        ({"high_duration": 0.0}, "high_duration"),
        ({"low_duration": -1.0}, "low_duration"),
        ({"interval": math.inf}, "interval"),
        ({"min_dwell": -1.0}, "min_dwell"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(change: dict[str, float], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        PolicyConfig(**change)  # type: ignore[arg-type]


def test_drained_every_task_comes_home_at_once_and_stays() -> None:
    state, _ = feed(CONFIG, State(last_out_at=0.0), [90.0] * 3, away(("b", 9.0), ("c", 9.0)))
    state, actions = decide(
        CONFIG, drain(state, on=True), Sample(90.0, 4, away(("b", 9.0), ("c", 9.0))), 3.0
    )
    assert isinstance(actions[-1], ScaleIn)
    assert actions[-1].tasks == ("b", "c")
    state, decided = feed(CONFIG, completed(CONFIG, state, 5.0), [90.0] * 60, HOME, start=5.0)
    assert decided == []
    assert "drained" in last(CONFIG, state, 90.0, HOME, 65.0).reason


def test_a_drain_that_failed_is_tried_again_after_a_while() -> None:
    there = away(("b", 1.0))
    state, _ = decide(CONFIG, drain(State(), on=True), Sample(50.0, 4, there), 0.0)
    state = completed(CONFIG, state, 5.0, failure="no ssh")
    assert "no ssh" in last(CONFIG, state, 50.0, there, 6.0).reason
    assert isinstance(last(CONFIG, state, 50.0, there, 35.0), ScaleIn)
    assert isinstance(last(CONFIG, drain(state, on=True), 50.0, there, 6.0), ScaleIn)


def test_after_a_drain_the_rule_holds_from_then_on() -> None:
    state, _ = feed(CONFIG, drain(State(), on=True), [90.0] * 60, HOME)
    state = drain(replace(state, last_in_at=1.0), on=False)
    state, decided = feed(CONFIG, state, [90.0] * 12, HOME, start=60.0)
    assert [(at, type(action)) for at, action in decided] == [(70.0, ScaleOut)]
    assert state.strikes == 0  # the operator brought them home, not the rule


def test_places_other_than_local_are_away() -> None:
    assert TaskLoad("x").place == LOCAL
