# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task has used is not forgotten when it is restarted."""

from __future__ import annotations

from cloudspill_burst.cpu_time import CpuTime, used_by_processes


def test_what_was_used_before_a_restart_is_added_to_what_is_used_after_it() -> None:
    cpu = CpuTime()
    readings = [("a", 1.0), ("a", 4.0), ("b", 0.5), ("b", 2.0), ("c", 3.0)]
    assert [cpu.seconds(1, *reading) for reading in readings] == [1.0, 4.0, 4.5, 6.0, 9.0]


def test_what_a_process_used_that_has_ended_is_kept() -> None:
    cpu = CpuTime()
    readings = [("a", 4.0), ("a", 1.5), ("a", 2.5), ("a", 0.0), ("b", 1.0)]
    assert [cpu.seconds(1, *reading) for reading in readings] == [4.0, 4.0, 5.0, 5.0, 6.0]


def test_every_unit_has_its_own_count_and_none_when_it_is_made_anew() -> None:
    cpu = CpuTime()
    cpu.seconds(1, "a", 4.0)
    assert cpu.seconds(2, "b", 1.0) == 1.0
    cpu.forget(1)
    assert cpu.seconds(1, "c", 0.5) == 0.5
    assert cpu.seconds(2, "b", 0.0) == 1.0


def test_a_unit_of_which_nothing_runs_is_not_taken_for_the_whole_machine() -> None:
    assert used_by_processes("") == 0.0
    assert used_by_processes("/") > 0.0
