# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves that fail: the tasks go on here, the reason is shown, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.burst import intervals
from tests.burst.bench import Bench

pytestmark = pytest.mark.slow

FAILURES = {
    "ZONE_RESOURCE_POOL_EXHAUSTED: us-west1-b does not have enough resources": "stock-out",
    "Quota 'CPUS' exceeded. Limit: 8.0 in region us-west1 (QUOTA_EXCEEDED)": "quota",
    "Required 'compute.instances.create' permission for 'p' (forbidden)": "permission",
    "burst-1 is taken: an instance of that name is not this run's": "name-taken",
    "no application default credentials: set GCP_SERVICE_ACCOUNT_FILE": "credentials",
    "burst-1 does not let us in by ssh: Connection refused": "ssh-refused",
}


@pytest.mark.parametrize(("sentence", "kind"), FAILURES.items(), ids=FAILURES.values())
def test_a_vm_that_cannot_be_made_leaves_tasks_where_they_are(
    bench: Bench, sentence: str, kind: str
) -> None:
    failing = bench.cloud / "fail-out-make"
    failing.write_text(sentence)
    bench.start()
    bench.load(100)
    bench.until(lambda: bench.failure().get("kind") == kind)
    assert sentence in bench.failure()["text"]
    assert bench.failure()["advice"]
    assert bench.at_home()
    assert len(intervals.read(bench.intervals)) == 2  # neither was even stopped
    failing.unlink()
    bench.until(bench.away)
    bench.until(lambda: not bench.failure())
    bench.stop()
    bench.audit()


def test_a_vm_that_came_up_but_is_of_no_use_is_deleted(bench: Bench) -> None:
    failing = bench.cloud / "fail-out-made"
    failing.write_text("the keeper of burst-1 does not answer: timed out")
    bench.start()
    bench.load(100)
    bench.until(lambda: bench.failure().get("kind") == "boot-failure")
    bench.load(10)
    bench.until(lambda: not bench.vms())
    assert bench.at_home()
    bench.stop()
    assert len(bench.audit()) == 2


@pytest.mark.parametrize("point", ["out-make", "out-made", "out-ready", "out-handed"])
def test_a_playbook_that_takes_too_long_is_ended_and_tried_again(
    make_bench: Callable[..., Bench], point: str
) -> None:
    bench = make_bench(playbook_timeout=6, mover={"stop_grace": 2.5})
    bench.hold(point)
    bench.start()
    bench.load(100)
    bench.until(lambda: bench.failure().get("kind") == "timeout")
    bench.let_go(point)
    bench.until(bench.away)
    bench.stop()
    bench.audit()


def test_tasks_are_spread_over_several_vms_and_come_home_from_all(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(movers=("one", "two"), max_vms=2)
    bench.start()
    bench.load(100)
    bench.until(bench.away)
    assert len(bench.vms()) == len({bench.places()[task] for task in bench.movers}) == 2
    bench.load(10)
    bench.until(bench.at_home)
    bench.stop()
    bench.audit()


def test_one_of_two_vms_is_lost_and_the_other_goes_on(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(movers=("one", "two"), max_vms=2, lease=4)
    bench.start()
    bench.load(100)
    bench.until(bench.away)
    bench.until(lambda: all(bench.checkpointed(task) for task in bench.movers))
    safe = {"one": bench.checkpointed("one")}
    bench.load(70)  # between the thresholds: no rule moves anything
    bench.fate("cut", bench.places()["one"]).touch()
    bench.until(lambda: bench.places().get("one") == "local")
    assert bench.places()["two"] != "local"
    bench.load(10)
    bench.until(bench.at_home)
    bench.stop()
    bench.audit(safe)


def test_a_vm_that_nothing_needs_is_deleted(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(idle_timeout=1)
    bench.start()
    bench.load(100)
    bench.until(bench.away)
    bench.load(10)
    bench.until(bench.at_home)
    bench.until(lambda: not bench.vms())
    bench.load(100)
    bench.until(bench.away)
    bench.stop()
    bench.audit()


def test_a_deletion_that_fails_is_tried_again(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(idle_timeout=1)
    failing = bench.cloud / "fail-in-delete"
    failing.write_text("HTTP 503: backend error")
    bench.start()
    bench.load(100)
    bench.until(bench.away)
    bench.load(10)
    bench.until(lambda: "could not be deleted: HTTP 503" in bench.told())
    assert len(bench.vms()) == 1
    failing.unlink()
    bench.until(lambda: not bench.vms())
    bench.stop()
    bench.audit()


def test_a_checkpoint_that_cannot_be_kept_here_leaves_the_task_where_it_is(bench: Bench) -> None:
    bench.start()
    bench.load(100)
    bench.until(bench.away)
    waiting = bench.state / "checkpoints"
    kept = bench.state / "elsewhere"
    waiting.rename(kept)
    waiting.write_text("no folder")  # root may write where permissions say no; nothing fits here
    bench.load(10)
    bench.until(lambda: "cannot be kept here" in bench.told())
    bench.load(100)
    bench.until(bench.away)
    waiting.unlink()
    kept.rename(waiting)
    bench.load(10)
    bench.until(bench.at_home)
    bench.stop()
    bench.audit()
