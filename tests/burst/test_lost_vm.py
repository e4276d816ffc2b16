# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM, its keeper, the way to it, or the monitor is lost; no task ever runs twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from tests.burst.bench import MARGIN, Bench, now

pytestmark = pytest.mark.slow

LEASE = 4.0
LONGER_LEASE = 10.0
"""A cut is noticed after a second, and healed long before the keeper ends anything."""


@pytest.fixture
def gone_out(make_bench: Callable[..., Bench], request: pytest.FixtureRequest) -> Bench:
    """A task is away, and a checkpoint of it has come home meanwhile."""
    name = request.node.name
    if "keeper" in name:  # the lease is not to end
        bench = make_bench()
    else:
        bench = make_bench(lease=LONGER_LEASE if "within_the_lease" in name else LEASE)
    bench.start()
    bench.load(100)
    bench.until(bench.away)
    bench.until(bench.checkpointed)
    return bench


def test_a_connection_that_comes_back_within_the_lease_changes_nothing(gone_out: Bench) -> None:
    bench = gone_out
    (vm,) = bench.vms()
    bench.fate("cut").touch()
    bench.until(lambda: "does not answer" in bench.told())
    bench.fate("cut").unlink()
    renewed = now() + LONGER_LEASE
    bench.until(lambda: now() > renewed)
    assert bench.away()
    assert bench.vms() == [vm]
    bench.stop()
    assert len([one for one in bench.audit() if one.task == "mover"]) == 2


def test_a_connection_that_comes_back_after_the_lease_never_makes_a_task_run_twice(
    gone_out: Bench,
) -> None:
    bench = gone_out
    (vm,) = bench.vms()
    cut = bench.fate("cut", vm)
    safe = {"mover": bench.checkpointed()}
    cut.touch()
    lost = now()
    bench.load(10)
    bench.until(bench.at_home)
    assert now() - lost < LEASE + MARGIN + 15.0
    cut.unlink()
    bench.until(lambda: not bench.vms())
    bench.stop()
    found = [one for one in bench.audit(safe) if one.task == "mover"]
    assert [bench.place_of(one) for one in found][:3] == ["local", vm, "local"]


def test_what_was_on_the_way_when_the_lease_ended_does_nothing(gone_out: Bench) -> None:
    bench = gone_out
    bench.fate("undeletable").touch()
    cut = bench.fate("cut")
    safe = {"mover": bench.checkpointed()}
    cut.touch()
    bench.load(10)
    bench.until(bench.at_home)
    cut.unlink()  # renewals and the rest, kept since
    bench.until(lambda: "deleted" in bench.told())
    bench.stop()
    assert bench.vms() == []
    bench.audit(safe)


def test_without_its_monitor_a_vm_ends_its_tasks_and_itself(gone_out: Bench) -> None:
    bench = gone_out
    (vm,) = bench.vms()
    safe = {"mover": bench.checkpointed()}
    killed = now()
    bench.end_for_good()
    bench.until(lambda: not bench.vms())
    assert now() - killed < LEASE + 15.0
    assert bench.fate("deleted-itself", vm).exists()
    assert [one.task for one in bench.running()] == ["stayer"]
    bench.load(10)
    bench.start()
    bench.until(bench.at_home)
    bench.stop()
    found = [one for one in bench.audit(safe) if one.task == "mover"]
    assert found[1].last - killed < LEASE + MARGIN  # by then it may run elsewhere


def test_a_vm_that_may_not_delete_itself_runs_nothing_any_more(gone_out: Bench) -> None:
    bench = gone_out
    bench.fate("undeletable").touch()
    safe = {"mover": bench.checkpointed()}
    bench.end_for_good()
    bench.until(lambda: "HTTP 403" in bench.told())
    assert len(bench.vms()) == 1
    assert [one.task for one in bench.running()] == ["stayer"]
    bench.load(10)
    bench.start()
    bench.until(bench.at_home)
    bench.until(lambda: not bench.vms())
    bench.stop()
    bench.audit(safe)


def test_a_vm_that_vanishes_costs_what_was_done_since_the_last_checkpoint(gone_out: Bench) -> None:
    bench = gone_out
    safe = {"mover": bench.checkpointed()}
    os.kill(int(bench.fate("guest.pid").read_text()), signal.SIGTERM)
    bench.load(10)
    bench.until(bench.at_home)
    bench.stop()
    bench.audit(safe)


def test_a_vm_that_is_taken_away_gives_its_tasks_back_whole(gone_out: Bench) -> None:
    bench = gone_out
    bench.load(10)
    bench.hold("in-handed")  # no rule brings them home meanwhile
    bench.fate("preempt").touch()
    bench.until(lambda: "is being preempted" in bench.told())
    bench.let_go("in-handed")
    bench.until(bench.at_home)
    bench.until(lambda: not bench.vms())
    bench.stop()
    bench.audit()


def test_a_keeper_that_is_killed_goes_on_with_its_tasks(gone_out: Bench) -> None:
    bench = gone_out
    _kill_keeper(bench)
    bench.until(bench.away)
    bench.load(10)
    bench.until(bench.at_home)
    bench.stop()
    assert len([one for one in bench.audit() if one.task == "mover"]) == 3


@pytest.mark.parametrize("point", ["out-handed", "out-sent", "out-called"])
def test_a_keeper_that_is_killed_in_a_move_out_loses_nothing(bench: Bench, point: str) -> None:
    _disturbed(bench, point, bench.away)


@pytest.mark.parametrize("point", ["in-handed", "in-sent", "in-called"])
def test_a_keeper_that_is_killed_in_a_move_home_loses_nothing(gone_out: Bench, point: str) -> None:
    gone_out.hold(point)
    gone_out.load(10)
    gone_out.until(lambda: gone_out.reached(point))
    _kill_keeper(gone_out)
    gone_out.let_go(point)
    gone_out.until(gone_out.at_home)
    gone_out.stop()
    gone_out.audit()


def _disturbed(bench: Bench, point: str, then: Callable[[], bool]) -> None:
    bench.hold(point)
    bench.start()
    bench.load(100)
    bench.until(lambda: bench.reached(point))
    _kill_keeper(bench)
    bench.let_go(point)
    bench.until(then)
    bench.stop()
    bench.audit()


def _kill_keeper(bench: Bench) -> None:
    pid = int(bench.fate("keeper.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    bench.until(lambda: int(bench.fate("keeper.pid").read_text()) != pid)
