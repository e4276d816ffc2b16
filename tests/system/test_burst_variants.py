# SPDX-License-Identifier: GPL-3.0-or-later
"""The burst with two VMs, and as the forerunner had it: the literal rule, and a VM that is kept."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.burst_lab import BUSY, QUIET, BurstLab
from tests.system.sandbox import Sandbox

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(280)]


@pytest.fixture
def lab(running: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BurstLab]:
    """Tasks that nobody runs yet."""
    made = BurstLab(running, tmp_path_factory.mktemp("burst"))
    try:
        yield made
    finally:
        made.destroy()


def test_two_vms_take_a_task_each(lab: BurstLab) -> None:
    lab.configure(burst={"max_vms": 2})
    lab.start()
    lab.cpu(BUSY)
    lab.all_say([rf"Task {n} runs on burst-\w+-\d" for n in (3, 4)], 90)
    places = lab.places()
    assert {places["Task 3"], places["Task 4"]} == set(lab.machines())
    assert len(lab.machines()) == 2
    since = len(lab.lines)
    lab.cpu(QUIET)
    lab.all_say([rf"Task {n} started as process" for n in (3, 4)], 90, since)
    assert lab.end() == 0
    assert lab.machines() == []
    assert len(lab.audit()) == 4 + 4


def test_the_forerunners_transcript(lab: BurstLab) -> None:
    lab.configure(guard=False, burst={"idle_timeout": "never"})
    lab.start()
    lab.all_say([rf"Task {n} started as process" for n in range(1, 5)])
    vms = set()
    for _ in range(2):
        vms.add(lab.spill())
        since = len(lab.lines)
        lab.cpu(QUIET)
        lab.says(r"SCALE IN: bringing home Task 3, Task 4, because CPU 20.0 % has been", 60, since)
        lab.all_say([rf"Task {n} started as process" for n in (3, 4)], 90, since)
        assert lab.machines() == [*vms]  # it is kept, and used again
    assert lab.end() == 0
    assert lab.machines() == []
    lab.audit()
