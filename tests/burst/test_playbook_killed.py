# SPDX-License-Identifier: GPL-3.0-or-later
"""A playbook is killed at each point where it waits for somebody, alone and with the monitor."""

from __future__ import annotations

import pytest

from tests.burst.bench import Bench

pytestmark = pytest.mark.slow

OUT = ("make", "made", "ready", "handed", "sent", "called", "confirmed")
HOME = ("handed", "sent", "called", "confirmed")


BOTH = pytest.param("both", marks=[pytest.mark.slow, pytest.mark.exhaustive])


@pytest.mark.parametrize("who", ["playbook", BOTH])
@pytest.mark.parametrize("point", OUT)
def test_tasks_get_there_all_the_same(bench: Bench, point: str, who: str) -> None:
    bench.start()
    bench.until(bench.at_home)
    bench.hold(f"out-{point}")
    bench.load(100)
    _kill(bench, f"out-{point}", who)
    bench.until(bench.away)
    bench.stop()
    bench.audit()


@pytest.mark.parametrize("who", ["playbook", BOTH])
@pytest.mark.parametrize("point", HOME)
def test_tasks_get_home_all_the_same(bench: Bench, point: str, who: str) -> None:
    bench.start()
    bench.load(100)
    bench.until(bench.away)
    bench.hold(f"in-{point}")
    bench.load(10)
    _kill(bench, f"in-{point}", who)
    bench.until(bench.at_home)
    bench.stop()
    bench.audit()


def test_a_start_that_arrives_after_the_task_went_home_is_refused(bench: Bench) -> None:
    bench.start()
    bench.load(100)
    bench.until(bench.away)
    bench.load(10)
    bench.until(bench.at_home)
    for point in ("out-handed", "out-sent"):
        bench.hold(point)
    bench.load(100)
    bench.until(lambda: bench.reached("out-handed"))
    late = bench.fate("cut-calls")
    late.touch()
    bench.let_go("out-handed")
    bench.until(lambda: bench.reached("out-sent"))
    bench.load(10)
    bench.kill_playbook()
    bench.let_go("out-sent")
    bench.until(bench.at_home)
    late.unlink()
    bench.load(100)
    bench.until(bench.away)
    bench.stop()
    bench.audit()


def _kill(bench: Bench, point: str, who: str) -> None:
    bench.until(lambda: bench.reached(point))
    if who == "both":
        bench.kill()
    bench.kill_playbook()
    bench.let_go(point)
    if who == "both":
        bench.start()
