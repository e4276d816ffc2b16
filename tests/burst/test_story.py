# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole story, undisturbed."""

from __future__ import annotations

from tests.burst.bench import Bench


def test_tasks_move_out_and_home_again_with_their_progress(bench: Bench) -> None:
    bench.start()
    bench.until(bench.at_home)
    bench.load(100)
    bench.until(bench.away)
    (vm,) = bench.vms()
    bench.load(10)
    bench.until(bench.at_home)
    bench.load(100)
    bench.until(bench.away)
    assert bench.vms() == [vm]
    bench.stop()
    assert bench.vms() == []
    found = bench.audit()
    assert [bench.place_of(one) for one in found if one.task == "mover"] == [
        "local",
        vm,
        "local",
        vm,
    ]
    assert len([one for one in found if one.task == "stayer"]) == 1
