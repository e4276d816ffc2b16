# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task has used is not forgotten when it is restarted."""

from __future__ import annotations

from cloudspill_burst.cpu_time import CpuTime, used_by_processes


def test_a_count_that_begins_anew_is_added_to_what_was_used_before() -> None:
    cpu = CpuTime()
    assert [cpu.seconds(1, used) for used in (1.0, 4.0, 0.0, 0.5, 2.0, 1.5)] == [
        *(1.0, 4.0, 4.0, 4.5, 6.0, 6.0)
    ]


def test_every_unit_has_its_own_count_and_none_when_it_is_made_anew() -> None:
    cpu = CpuTime()
    cpu.seconds(1, 4.0)
    assert cpu.seconds(2, 1.0) == 1.0
    cpu.forget(1)
    assert cpu.seconds(1, 0.5) == 0.5
    assert cpu.seconds(2, 0.0) == 1.0


def test_a_unit_of_which_nothing_runs_is_not_taken_for_the_whole_machine() -> None:
    assert used_by_processes("") == 0.0
    assert used_by_processes("/") > 0.0
