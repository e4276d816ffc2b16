# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole story, undisturbed."""

from __future__ import annotations

from tests.burst import intervals, killing
from tests.burst.bench import Bench


def test_tasks_move_out_and_home_again_with_their_progress(bench: Bench) -> None:
    killing.tell(bench)
    assert bench.vms() == []
    found = bench.audit()
    places = [bench.place_of(one) for one in found if one.task == "mover"]
    (vm,) = set(places) - {"local"}
    assert places == ["local", vm, "local", vm]
    assert len([one for one in found if one.task == "stayer"]) == 1
    # A fraction of a second where nothing else runs. No lease and no timeout is waited for.
    assert max(intervals.gaps(found)["mover"]) < 10.0
    # Which instants a monitor is killed at in other tests hangs on this.
    steps = tuple(line.split()[1] for line in bench.steps.read_text().splitlines())
    assert steps[: killing.END] == killing.STEPS[: killing.END]
    # The end of the task here and the move of the one there go side by side.
    assert sorted(steps[killing.END :]) == sorted(killing.STEPS[killing.END :])
