# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators and service managers ask of the loop, and hear from it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudspill_monitor.control import ControlRefusal
from cloudspill_monitor.policy_types import LOCAL, ScaleIn, ScaleOut

from .conftest import FakeClock
from .daemon_machine import Cloud, Machine


@pytest.fixture
def machine(tmp_path: Path, clock: FakeClock) -> Iterator[Machine]:
    made = Machine(tmp_path, clock)
    yield made
    made.close()


async def test_a_drain_brings_every_task_home_and_keeps_it_there(machine: Machine) -> None:
    cloud = Cloud()
    cloud.go.set()
    machine.cloud = cloud
    daemon = machine.start()
    await machine.run(90.0, 12)
    assert [t.place for t in machine.listener.samples[-1].tasks] == [LOCAL, "vm-1"]
    daemon.drain({"do": "drain", "on": True})
    assert cloud.drained
    await machine.run(90.0, 2)  # at once, however busy the machine is
    assert [type(action) for action in cloud.asked] == [ScaleOut, ScaleIn]
    await machine.run(90.0, 60)
    assert len(cloud.asked) == 2
    assert machine.listener.samples[-1].drained_wall is not None
    daemon.drain({"do": "drain", "on": False})
    await machine.run(90.0, 12)
    assert [type(action) for action in cloud.asked] == [ScaleOut, ScaleIn, ScaleOut]
    assert machine.listener.samples[-1].drained_wall is None


async def test_a_drain_outlives_a_restart(machine: Machine) -> None:
    machine.start().drain({"do": "drain", "on": True})
    machine.cloud = cloud = Cloud()
    daemon = machine.start()
    assert cloud.drained
    await machine.run(90.0, 30)
    assert cloud.asked == []
    assert machine.listener.samples[-1].drained_wall is not None
    daemon.drain({"do": "drain", "on": False})
    machine.start()
    await machine.run(90.0, 12)
    assert len(cloud.asked) == 1


async def test_a_drain_that_cannot_be_kept_is_refused(machine: Machine) -> None:
    daemon = machine.start()
    shutil.rmtree(machine.config.state_dir)
    with pytest.raises(ControlRefusal, match="the order cannot be kept"):
        daemon.drain({"do": "drain", "on": True})


async def test_a_service_manager_hears_of_every_look_and_of_the_end(machine: Machine) -> None:
    machine.cloud = cloud = Cloud()
    daemon = machine.start()
    await machine.run(50.0, 3)
    assert machine.notifier.words.count("WATCHDOG=1") == 4
    assert any(word.startswith("STATUS=cpu 50.0 %") for word in machine.notifier.words)
    await daemon._stop()
    assert cloud.closed == [False]
    assert "STOPPING=1" in machine.notifier.words
