# SPDX-License-Identifier: GPL-3.0-or-later
"""What people and their machines do to a monitor in the middle of a burst."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.burst.bench import Bench, now

pytestmark = pytest.mark.slow


@pytest.fixture
def gone_out(bench: Bench) -> Bench:
    bench.start()
    bench.load(100)
    bench.until(bench.away)
    return bench


@pytest.mark.parametrize(
    "point", ["make", "made", "ready", "handed", "sent", "called", "confirmed"]
)
def test_a_stop_in_a_move_out_leaves_nothing(bench: Bench, point: str) -> None:
    bench.hold(f"out-{point}")
    bench.start()
    bench.load(100)
    bench.until(lambda: bench.reached(f"out-{point}"))
    bench.stop()
    assert bench.vms() == []
    bench.audit()
    bench.let_go(f"out-{point}")
    bench.load(10)
    bench.start()  # and nothing of what was done is lost
    bench.until(bench.at_home)
    bench.stop()
    bench.audit()


@pytest.mark.parametrize("point", ["handed", "sent", "called", "confirmed"])
def test_a_stop_in_a_move_home_leaves_nothing(gone_out: Bench, point: str) -> None:
    bench = gone_out
    bench.hold(f"in-{point}")
    bench.load(10)
    bench.until(lambda: bench.reached(f"in-{point}"))
    bench.signal(signal.SIGTERM)
    bench.until(lambda: "stopping every task" in bench.told())
    bench.let_go(f"in-{point}")  # the last play of all passes there too
    bench.until(lambda: not bench.processes())
    bench.start()
    bench.until(bench.at_home)
    bench.stop()
    bench.audit()


def test_asked_twice_a_monitor_hurries(gone_out: Bench) -> None:
    bench = gone_out
    bench.until(bench.checkpointed)
    safe = {"mover": bench.checkpointed()}
    bench.hold("in-handed")
    bench.signal(signal.SIGTERM)
    bench.until(lambda: bench.reached("in-handed"))
    bench.signal(signal.SIGTERM)
    bench.until(lambda: not bench.processes())
    bench.let_go("in-handed")
    bench.load(10)
    bench.start()
    bench.until(bench.at_home)
    bench.stop()
    bench.audit(safe)


def test_drained_tasks_come_home_and_stay(gone_out: Bench) -> None:
    bench = gone_out
    bench.ask(do="drain", on=True)
    bench.until(bench.at_home)
    bench.until(lambda: not bench.vms())
    bench.kill()
    bench.start()  # the order holds for the next one too
    bench.until(bench.at_home)
    bench.ask(do="drain", on=False)
    bench.until(bench.away)
    bench.stop()
    bench.audit()


def test_a_task_that_is_no_longer_wanted_ends_where_it_is(gone_out: Bench) -> None:
    bench = gone_out
    bench.write_config(without=("mover",))
    bench.signal(signal.SIGHUP)
    bench.until(lambda: [one.task for one in bench.running()] == ["stayer"])
    bench.until(lambda: "mover" not in bench.places())
    bench.stop()
    bench.audit()


def test_a_suspended_machine_finds_its_tasks_where_they_are_safe(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(lease=4)
    bench.start()
    bench.load(100)
    bench.until(bench.away)
    bench.until(bench.checkpointed)
    safe = {"mover": bench.checkpointed()}
    bench.signal(signal.SIGSTOP)
    bench.until_gone()
    bench.load(10)
    bench.signal(signal.SIGCONT)
    bench.until(bench.at_home)
    bench.stop()
    bench.audit(safe)


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_wall_clock_that_steps_changes_nothing(gone_out: Bench, hours: int) -> None:
    bench = gone_out
    (vm,) = bench.vms()
    (bench.folder / "wall-step").write_text(str(hours * 3600))
    seen = now() + 2.0
    bench.until(lambda: now() > seen)
    assert bench.away()
    bench.kill()
    bench.start()
    bench.until(bench.away)
    assert bench.vms() == [vm]
    bench.load(10)
    bench.until(bench.at_home)
    bench.stop()
    assert len([one for one in bench.audit() if one.task == "mover"]) == 3


def test_a_vm_that_may_be_left_is_shown_by_the_exit_status(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench()
    bench.start()
    bench.load(100)
    bench.until(bench.away)
    broken = bench.cloud / "fail-in-delete"
    broken.write_text("no way to the cloud")
    bench.until(lambda: bench.asked_to_stop(4))
    assert "a VM may be left, until its lease ends: no way to the cloud" in bench.told()
    broken.unlink()
    bench.start()
    bench.load(10)
    bench.until(bench.at_home)
    bench.stop()
    assert bench.vms() == []


def test_a_task_that_ends_at_a_vm_is_over(make_bench: Callable[..., Bench], tmp_path: Path) -> None:
    end = tmp_path / "end"
    bench = make_bench(mover={"restart": "on-failure", "env": {"INTERVALS_END": str(end)}})
    bench.start()
    bench.load(100)
    bench.until(bench.away)
    end.touch()
    bench.until(lambda: "mover" not in bench.places())
    bench.load(10)
    bench.kill()
    bench.start()
    bench.until(lambda: bench.status_of("mover")["phase"] == "done")
    bench.stop()
    found = [one for one in bench.audit() if one.task == "mover"]
    assert [bench.place_of(one) for one in found] == ["local", bench.place_of(found[1])]
    assert found[-1].reached > found[0].reached
