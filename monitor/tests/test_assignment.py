# SPDX-License-Identifier: GPL-3.0-or-later
"""Which task goes to which VM."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudspill_monitor.burst import assignment

loads = st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(0, 5), max_size=4)


def test_one_vm_is_made_where_one_is_allowed() -> None:
    assert assignment.targets(2, {}, room=1) == ((), 1)


def test_one_that_exists_is_used_again() -> None:
    assert assignment.targets(2, {"burst-1": 0}, room=0) == (("burst-1",), 0)


def test_two_tasks_make_no_third_vm() -> None:
    assert assignment.targets(2, {"burst-1": 1}, room=5) == (("burst-1",), 1)


def test_the_emptiest_vms_are_taken() -> None:
    assert assignment.targets(1, {"burst-1": 3, "burst-2": 1}, room=0) == (("burst-2",), 0)


@given(st.integers(1, 6), loads, st.integers(0, 4))
def test_never_more_vms_than_tasks_or_than_there_is_room_for(
    count: int, usable: dict[str, int], room: int
) -> None:
    existing, new = assignment.targets(count, usable, room)
    assert new <= room
    assert len(existing) + new <= count
    assert set(existing) <= usable.keys()
    assert existing or new or not (usable or room)


@given(st.lists(st.text(min_size=1), unique=True, max_size=9), loads.filter(bool))
def test_every_task_gets_one_place_and_no_vm_two_more_than_another(
    tasks: list[str], usable: dict[str, int]
) -> None:
    given_to = assignment.spread(tasks, dict.fromkeys(usable, 0))
    assert sorted(task for names in given_to.values() for task in names) == sorted(tasks)
    counts = [len(names) for names in given_to.values()]
    assert max(counts) - min(counts) <= 1


def test_tasks_go_where_the_fewest_are() -> None:
    assert assignment.spread(["c", "d", "e"], {"v1": 2, "v2": 0}) == {
        "v1": ("e",),
        "v2": ("c", "d"),
    }


def test_without_a_vm_there_is_nowhere_to_go() -> None:
    with pytest.raises(ValueError, match="no VM"):
        assignment.spread(["a"], {})


def test_a_name_says_whose_vm_it_is() -> None:
    assert assignment.name("burst", "0123456789", 12) == "burst-012345-12"
