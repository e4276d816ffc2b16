# SPDX-License-Identifier: GPL-3.0-or-later
"""The replay: what the rules make of traces, and that leaving out samples changes nothing."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cloudspill_monitor.policy_types import PolicyConfig
from cloudspill_monitor.simulation.machine import Machine, classic_tasks
from cloudspill_monitor.simulation.replay import Cloud, Replay, replay
from cloudspill_monitor.simulation.rules import HpaRule, Rule, ThresholdRule
from cloudspill_monitor.simulation.trace import Trace, TraceError, read_trace

CONFIG = PolicyConfig()
RULES: list[Rule[Any]] = [
    ThresholdRule(PolicyConfig(guard=False)),
    ThresholdRule(CONFIG),
    HpaRule(CONFIG.threshold_high),
]
LITERAL, GUARDED, HPA = RULES


def run(trace: Trace, rule: Rule[Any], *, machine: Machine | None = None, **cloud: float) -> Replay:
    machine = machine or Machine(4, classic_tasks())
    return replay(trace, rule, machine, Cloud(**cloud), threshold=CONFIG.threshold_high)


def test_steady_overload_for_ten_minutes_is_one_move_with_the_guard() -> None:
    moves = run(Trace("steady", (100.0,), 600.0), GUARDED).moves
    assert [(m.at, m.direction, m.tasks) for m in moves] == [(10.0, "out", ("Task 3", "Task 4"))]


def test_steady_overload_for_ten_minutes_ping_pongs_without_the_guard() -> None:
    moves = run(Trace("steady", (100.0,), 600.0), LITERAL).moves
    assert len(moves) > 20
    assert [m.direction for m in moves[:4]] == ["out", "in", "out", "in"]


@pytest.mark.parametrize("cores", [1, 2, 4, 64])
def test_saturation_by_tasks_that_want_more_does_not_ping_pong(cores: int) -> None:
    machine = Machine(cores, classic_tasks(share=0.0, demand=40.0))
    moves = run(Trace("background", (20.0,), 3600.0), GUARDED, machine=machine).moves
    assert len([m for m in moves if m.direction == "out"]) == 1


def test_tasks_come_home_when_the_load_has_gone() -> None:
    moves = run(Trace("pulse", (100.0, 20.0), 300.0), GUARDED).moves
    assert [(m.at, m.direction) for m in moves] == [(10.0, "out"), (300.0, "in")]


def test_the_vm_is_reused_within_its_idle_timeout_and_replaced_after() -> None:
    trace = Trace("pulses", (100.0, 20.0, 20.0, 100.0, 20.0), 300.0)
    assert len(run(trace, GUARDED, idle_timeout=700.0).vm_lives) == 1
    assert len(run(trace, GUARDED, idle_timeout=60.0).vm_lives) == 2


def test_a_short_vm_life_is_billed_a_minute() -> None:
    trace = Trace("short", (100.0,), 20.0)
    result = run(trace, GUARDED, price_per_hour=3600.0)
    assert (result.vm_seconds, result.cost) == (10.0, 60.0)


def test_tasks_go_on_here_while_the_vm_is_made() -> None:
    result = run(Trace("steady", (100.0,), 600.0), GUARDED, boot_seconds=100.0)
    assert result.seconds_above == 10 + 102


def test_hpa_waits_for_its_stabilization_window() -> None:
    moves = run(Trace("pulse", (100.0, 20.0, 20.0), 300.0), HPA).moves
    assert [m.direction for m in moves] == ["out", "in"]
    assert 585.0 <= moves[1].at <= 615.0


values = st.lists(
    st.sampled_from([0.0, 20.0, 40.0, 58.0, 60.0, 74.0, 75.0, 76.0, 90.0, 100.0])
    | st.floats(0.0, 100.0),
    min_size=1,
    max_size=150,
)


@settings(max_examples=200, deadline=None)
@example([90.0] * 112 + [60.0] * 100, 1.0, GUARDED, False, 1.0)  # a peak passes out of the window
@given(
    values,
    st.sampled_from([0.5, 1.0, 3.0, 7.5, 40.0]),
    st.sampled_from(RULES),
    st.booleans(),
    st.sampled_from([1.0, 0.7, 0.3]),
)
def test_leaving_out_samples_that_change_nothing_changes_nothing(
    cpus: list[float], row_seconds: float, rule: Rule[Any], additive: bool, interval: float
) -> None:
    trace = Trace("any", tuple(cpus), row_seconds)
    if isinstance(rule, ThresholdRule):
        rule = ThresholdRule(replace(rule.config, interval=interval))
    tasks = classic_tasks(share=0.0, demand=10.0) if additive else classic_tasks(share=0.8)
    machine = Machine(4, tasks)
    both = [
        replay(trace, rule, machine, Cloud(), threshold=75.0, interval=interval, skip=skip)
        for skip in (True, False)
    ]
    assert both[0] == both[1]


def test_a_hundred_hours_of_real_samples_take_at_most_two_seconds() -> None:
    rows = (30.0, 80.0, 95.0, 55.0, 71.0, 99.0, 12.0, 64.0, 77.0, 40.0, 88.0, 59.0)
    trace = Trace("hours", rows * 100, 300.0)
    start = time.process_time()
    for rule in RULES:
        run(trace, rule)
    assert time.process_time() - start <= 2.0


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    return path


def test_a_trace_with_header_and_time_stamps(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "timestamp,value\n"
        "2014-02-14 14:27:00,51.8\n2014-02-14 14:32:00,44\n2014-02-14 14:37:00,1\n",
    )
    assert read_trace(path) == Trace("trace", (51.8, 44.0, 1.0), 300.0)
    assert read_trace(path, row_seconds=2.0).seconds == 6.0


def test_a_trace_of_bare_numbers(tmp_path: Path) -> None:
    assert read_trace(write(tmp_path, "1\n2\n\n3\n")) == Trace("trace", (1.0, 2.0, 3.0), 1.0)


def test_a_named_column(tmp_path: Path) -> None:
    path = write(tmp_path, "host,busy,mem\na,10,90\na,20,91\n")
    assert read_trace(path, column="busy").values == (10.0, 20.0)
    with pytest.raises(TraceError, match=r"no column 'cpu'.*host, busy, mem"):
        read_trace(path, column="cpu")


@pytest.mark.parametrize("bad", ["nan", "NaN", "inf", "-1", "100.5", "many", ""])
def test_a_value_that_is_no_percentage_is_refused_with_its_line(tmp_path: Path, bad: str) -> None:
    path = write(tmp_path, f"timestamp,value\n2014-02-14 14:27:00,5\n2014-02-14 14:32:00,{bad}\n")
    with pytest.raises(TraceError, match=r"trace\.csv, line 3"):
        read_trace(path)


@pytest.mark.parametrize("text", ["", "timestamp,value\n", "\x00\xff"])
def test_a_file_without_rows_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(TraceError, match=r"trace\.csv"):
        read_trace(write(tmp_path, text))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"absent\.csv: cannot be read"):
        read_trace(tmp_path / "absent.csv")


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_a_row_must_take_time(tmp_path: Path, seconds: float) -> None:
    with pytest.raises(TraceError, match="more than 0 s"):
        read_trace(write(tmp_path, "1\n"), row_seconds=seconds)
