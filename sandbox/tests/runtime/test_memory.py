# SPDX-License-Identifier: GPL-3.0-or-later
"""The in-memory runtime keeps the promises of the interface."""

from __future__ import annotations

import dataclasses

import pytest

from cloudspill_sandbox.runtime.interface import (
    MachineError,
    MachineExit,
    MachineNic,
    MachineSpec,
    VolumeError,
)
from cloudspill_sandbox.runtime.memory import MemoryRuntime

SPEC = MachineSpec(
    id="7",
    name="vm",
    hostname="vm.z.c.p.internal",
    boot_volume="d1",
    nic=MachineNic("/nowhere", "10.0.0.2", "42:01:0a:00:00:02"),
    vcpus=1.0,
    memory_mb=614,
)


@pytest.fixture
def exits() -> list[tuple[str, MachineExit]]:
    return []


@pytest.fixture
async def runtime(exits: list[tuple[str, MachineExit]]) -> MemoryRuntime:
    runtime = MemoryRuntime()
    await runtime.start(lambda machine, reason: exits.append((machine, reason)))
    await runtime.create_volume("d1", "debian-12", 10)
    return runtime


async def test_a_machine_is_on_until_it_is_shut_down(
    runtime: MemoryRuntime, exits: list[tuple[str, MachineExit]]
) -> None:
    assert not runtime.is_running("7")
    await runtime.boot(SPEC)
    assert runtime.is_running("7")
    await runtime.shut_down("7", 90)
    assert not runtime.is_running("7")
    await runtime.shut_down("7", 90)
    await runtime.power_off("7")
    assert exits == []


async def test_a_machine_that_goes_off_by_itself_is_reported(
    runtime: MemoryRuntime, exits: list[tuple[str, MachineExit]]
) -> None:
    await runtime.boot(SPEC)
    runtime.guest_power_off("7", MachineExit.CRASH)
    assert exits == [("7", MachineExit.CRASH)]
    assert not runtime.is_running("7")


async def test_what_cannot_boot(runtime: MemoryRuntime) -> None:
    with pytest.raises(MachineError, match="no volume d9"):
        await runtime.boot(dataclasses.replace(SPEC, boot_volume="d9"))
    with pytest.raises(MachineError, match="cannot write to volume debian-12"):
        await runtime.boot(dataclasses.replace(SPEC, boot_volume="debian-12"))
    await runtime.boot(SPEC)
    with pytest.raises(MachineError, match="already running"):
        await runtime.boot(SPEC)


async def test_copies_have_what_was_there_at_that_moment(runtime: MemoryRuntime) -> None:
    await runtime.boot(SPEC)
    runtime.guest_write("7", "/a", "1")
    await runtime.freeze_volume("s1", "d1")
    runtime.guest_write("7", "/a", "2")
    await runtime.create_volume("d2", "s1", 10)
    await runtime.delete_volume("s1")
    assert runtime.volumes["d1"].files["/a"] == "2"
    assert runtime.volumes["d2"].files["/a"] == "1"
    assert runtime.volumes["d2"].lineage == ("s1", "d1", "debian-12")


async def test_volumes_that_cannot_be_made_or_removed(runtime: MemoryRuntime) -> None:
    with pytest.raises(VolumeError, match="s9 does not exist"):
        await runtime.create_volume("d2", "s9", 10)
    with pytest.raises(VolumeError, match="d1 exists"):
        await runtime.create_volume("d1", None, 10)
    with pytest.raises(VolumeError, match="belongs to the runtime"):
        await runtime.delete_volume("debian-12")
    await runtime.boot(SPEC)
    with pytest.raises(VolumeError, match="used by machine 7"):
        await runtime.delete_volume("d1")
    assert set(runtime.volumes) == {"debian-12", "d1"}


async def test_serial_output_is_kept_until_the_boot_volume_goes(runtime: MemoryRuntime) -> None:
    await runtime.boot(SPEC)
    text, end = runtime.serial_output("7", 0)
    assert text == b"vm login: \n"
    await runtime.shut_down("7", 0)
    await runtime.boot(SPEC)
    more, later = runtime.serial_output("7", end)
    assert more == b"reboot: Power down\nvm login: \n"
    assert later == end + len(more)
    assert runtime.serial_output("7", later) == (b"", later)
    assert runtime.serial_output("7", -3) == (b": \n", later)
    assert runtime.serial_output("7", -1000)[0] == text + more
    await runtime.power_off("7")
    await runtime.delete_volume("d1")
    assert runtime.serial_output("7", 0) == (b"", 0)


async def test_stop_and_start_keep_volumes(runtime: MemoryRuntime) -> None:
    await runtime.boot(SPEC)
    await runtime.stop()
    await runtime.start(lambda machine, reason: None)
    assert not runtime.is_running("7")
    assert "d1" in runtime.volumes
    assert runtime.base_volumes() == {"debian-12"}
